using System.Diagnostics.CodeAnalysis;

namespace QueueKit;

/// <summary>Takes deliveries from a queue, in the shape of a <c>ChannelReader</c>: the primitive for hot loops.</summary>
/// <remarks>One reader at a time: a receiver is not thread-safe; open several to compete. Deliveries may be settled from any thread.</remarks>
public abstract class MessageReceiver : IAsyncDisposable
{
    /// <summary>Takes a message if one can be had at once. Its lease starts here.</summary>
    /// <exception cref="StoreException">The queue is durable and its store has stopped.</exception>
    public abstract bool TryReceive([NotNullWhen(true)] out Delivery? delivery);

    /// <summary>Waits until <see cref="TryReceive"/> is worth calling; false when the receiver, the queue or the broker is closed.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled; the receiver can be used on.</exception>
    /// <exception cref="StoreException">The queue is durable and its store has stopped.</exception>
    public abstract ValueTask<bool> WaitToReceiveAsync(CancellationToken ct = default);

    /// <summary>Changes how many deliveries may be unsettled at once.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="credit"/> is below 1.</exception>
    public abstract void SetCredit(int credit);

    /// <summary>Closes the receiver. What was set aside for it and not yet handed out goes back, free of charge; deliveries that are out stay valid.</summary>
    public abstract ValueTask DisposeAsync();
}
