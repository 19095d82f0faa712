using QueueKit;
using QueueKit.Hosting;

namespace QueueKitWorker;

/// <summary>Handles one order; a scope of services for each. A message may come more than once: after a crash, or when its lease was lost. So the work must bear repetition.</summary>
public sealed class OrderHandler(ILogger<OrderHandler> log) : IMessageHandler<Order>
{
    public async ValueTask<Settlement> HandleAsync(Order order, MessageContext context, CancellationToken ct)
    {
        await Task.Delay(20, ct); // your work
        if (order.Product == "unicorn")
            throw new UnknownProductException(order.Product);
        if (order.Number % 10 == 5 && context.Attempt == 1)
            throw new InvalidOperationException("Out of milk.");

        log.LogInformation("Order {Number} is done: {Product}, attempt {Attempt}", order.Number, order.Product, context.Attempt);
        return Settlement.Ack;
    }
}
