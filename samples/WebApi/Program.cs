using QueueKit;
using WebApi;

// POST /orders takes an order and answers at once: 202 with a receipt when it is in its queue, 429 with Retry-After when the queue is full.
await using WebApplication app = OrderApi.Build(args);
await app.StartAsync();
MessageQueue orders = app.Services.GetRequiredKeyedService<MessageQueue>("orders");
await app.WaitForShutdownAsync();

QueueSnapshot end = orders.GetSnapshot();
Console.WriteLine($"{end.Counts.Accepted} orders taken, {end.Counts.Refused} refused, {end.Counts.Acked} cooked, {end.Messages} left");
