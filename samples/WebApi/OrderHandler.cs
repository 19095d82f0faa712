using QueueKit;
using QueueKit.Hosting;

namespace WebApi;

internal sealed class OrderHandler(IKitchen kitchen) : IMessageHandler<Order>
{
    public async ValueTask<Settlement> HandleAsync(Order message, MessageContext context, CancellationToken ct)
    {
        await kitchen.CookAsync(message, ct);
        return Settlement.Ack;
    }
}

/// <summary>Does the work.</summary>
public interface IKitchen
{
    Task CookAsync(Order order, CancellationToken ct);
}

internal sealed class Kitchen : IKitchen
{
    public Task CookAsync(Order order, CancellationToken ct) => Task.Delay(50, ct);
}
