using System.Text;
using QueueKit;

await using MessageBroker broker = await MessageBroker.OpenAsync();
MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = 1_000 });

await using MessageConsumer consumer = orders.Consume(async (delivery, ct) =>
{
    string order = Encoding.UTF8.GetString(delivery.Message.Body.Span);
    if (order == "latte" && delivery.Attempt == 1)
        throw new InvalidOperationException("Out of milk."); // comes back after a pause
    await Task.Delay(100, ct);
    Console.WriteLine($"{order}, attempt {delivery.Attempt}"); // returning acks it
}, new ConsumeOptions { Concurrency = 2 });

foreach (string order in (string[])["espresso", "latte", "mocha"])
    await orders.SendAsync(new Message(Encoding.UTF8.GetBytes(order))); // waits while the queue is full

while (orders.GetSnapshot().Messages > 0)
    await Task.Delay(50);
