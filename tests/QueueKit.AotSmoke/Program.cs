using System.Text;
using QueueKit;
using QueueKit.Stores;

// A walk along the lives of a few messages, published natively by .ci/run: what the trimmer or the AOT compiler breaks shows here.
using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30), TimeProvider.System);
CancellationToken ct = deadline.Token;
var store = new InMemoryMessageStore();

MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store }, ct);
await using (broker)
{
    MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { RetryDelay = RetryDelay.None }, ct);
    MessageQueue ticks = await broker.DeclareQueueAsync("ticks", new QueueOptions { Durability = Durability.Transient }, ct);

    SendReceipt stored = await orders.SendAsync(new Message("one"u8.ToArray()) { Headers = new MessageHeaders { { "line", 7L } } }, ct);
    Check(stored is { Outcome: SendOutcome.Accepted, Durability: Durability.Flushed }, "a durable send is confirmed as flushed");
    SendReceipt kept = await ticks.SendAsync(Text("tick"), ct);
    Check(kept is { Outcome: SendOutcome.Accepted, Durability: Durability.Transient }, "a transient send is confirmed as such");

    Delivery first = await orders.ReceiveAsync(ct);
    Check(Read(first) == "one" && (long)first.Message.Headers["line"] == 7 && first.Attempt == 1 && !first.IsRedelivered, "a message arrives as it was sent");
    Check(await first.SettleAsync(Settlement.Nack(error: new InvalidOperationException("not yet")), ct) == SettleResult.Settled, "a nack settles");

    Delivery second = await orders.ReceiveAsync(ct);
    Check(Read(second) == "one" && second.Attempt == 2 && second.IsRedelivered, "a nacked message comes again");
    Check(await second.AckAsync(ct) == SettleResult.Settled, "an ack settles");
    Check(second.Ack() == SettleResult.AlreadySettled, "a second ack changes nothing and says so");

    await orders.SendAsync(Text("bad"), ct);
    Delivery bad = await orders.ReceiveAsync(ct);
    Check(await bad.SettleAsync(Settlement.Reject("unreadable", "no such order"), ct) == SettleResult.Settled, "a reject settles");
    Delivery dead = await broker.GetQueue("orders" + QueueOptions.DeadLetterSuffix).ReceiveAsync(ct);
    Check(Read(dead) == "bad" && dead.DeadLetter is { Source: "orders", Reason: DeadLetterReasons.Rejected, Description: "unreadable", Details: "no such order" },
        "a rejected message is a dead letter with its reason");
    await dead.AckAsync(ct);

    var handled = new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously);
    MessageConsumer consumer = ticks.Consume((delivery, _) =>
    {
        handled.TrySetResult(Read(delivery));
        return ValueTask.CompletedTask;
    });
    Check(await handled.Task.WaitAsync(ct) == "tick", "a handler gets the message");
    await consumer.StopAsync(ct);
    Check(ticks.GetSnapshot() is { Messages: 0, Counts.Acked: 1 }, "a handler that returns has acked");

    await orders.SendAsync(Text("two"), ct);
    await using (BrokerTransaction transaction = broker.BeginTransaction())
    {
        transaction.Settle(await orders.ReceiveAsync(ct), Settlement.Ack);
        transaction.Send(orders, Text("three"));
        await transaction.CommitAsync(ct);
    }
    await broker.CloseAsync(ct);
}

MessageBroker again = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store }, ct);
await using (again)
{
    MessageQueue orders = await again.DeclareQueueAsync("orders", new QueueOptions { RetryDelay = RetryDelay.None }, ct);
    Delivery left = await orders.ReceiveAsync(ct);
    Check(Read(left) == "three", "what was not settled is still there after a restart");
    await left.AckAsync(ct);
    Check(orders.GetSnapshot().Messages == 0, "and nothing else is");
}

Console.WriteLine("OK");

static Message Text(string body) => new(Encoding.UTF8.GetBytes(body));

static string Read(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

static void Check(bool holds, string what)
{
    if (holds)
        return;
    Console.Error.WriteLine($"Not true: {what}.");
    Environment.Exit(1);
}
