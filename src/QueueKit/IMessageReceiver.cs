namespace QueueKit;

/// <summary>Something that messages can be received from. Safe for any thread; whoever receives competes for the messages, in turn.</summary>
public interface IMessageReceiver
{
    /// <summary>The source's name.</summary>
    string Name { get; }

    /// <summary>Receives a message, however long it takes to come.</summary>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled: no message was taken.</exception>
    /// <exception cref="StoreException">The queue is durable and its store has stopped.</exception>
    /// <exception cref="QueueNotFoundException">The queue has been deleted.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    ValueTask<Delivery> ReceiveAsync(CancellationToken ct = default);

    /// <summary>Receives a message if one comes within <paramref name="maxWait"/>; null if none did. <see cref="TimeSpan.Zero"/> looks once.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxWait"/> is negative.</exception>
    /// <inheritdoc cref="ReceiveAsync(CancellationToken)" path="/exception"/>
    ValueTask<Delivery?> ReceiveAsync(TimeSpan maxWait, CancellationToken ct = default);

    /// <summary>Receives until the broker closes or <paramref name="ct"/> is cancelled. Each delivery still has to be settled. A hot loop is faster on <see cref="OpenReceiver"/>.</summary>
    IAsyncEnumerable<Delivery> ReceiveAllAsync(ReceiveOptions? options = null, CancellationToken ct = default);

    /// <summary>Opens a receiver of its own.</summary>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    MessageReceiver OpenReceiver(ReceiveOptions? options = null);

    /// <summary>Starts a consumer that calls <paramref name="handler"/> for each message: when it returns the message is acked, when it throws it is nacked with the exception, unless the handler has settled it itself.</summary>
    /// <param name="handler">Its token is cancelled when the lease is lost or a stop runs out of time. While it runs the lease renews itself, up to <see cref="QueueOptions.MaxLeaseDuration"/>.</param>
    /// <param name="options">Concurrency, lease and mode; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    MessageConsumer Consume(Func<Delivery, CancellationToken, ValueTask> handler, ConsumeOptions? options = null);
}
