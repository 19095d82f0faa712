namespace QueueKit;

/// <summary>Receives values of one type from a queue, and can do nothing else with it. Safe for any thread.</summary>
/// <remarks>A message that cannot be read as a <typeparamref name="T"/> is rejected as "unreadable" with the cause in its details, its bytes as they are; the receive goes on with the next one.</remarks>
public interface IQueueReceiver<T>
{
    /// <summary>The queue's name.</summary>
    string Name { get; }

    /// <inheritdoc cref="IMessageReceiver.ReceiveAsync(CancellationToken)"/>
    ValueTask<Delivery<T>> ReceiveAsync(CancellationToken ct = default);

    /// <inheritdoc cref="IMessageReceiver.ReceiveAsync(TimeSpan, CancellationToken)"/>
    /// <remarks>After a message that could not be read the wait begins anew.</remarks>
    ValueTask<Delivery<T>?> ReceiveAsync(TimeSpan maxWait, CancellationToken ct = default);

    /// <inheritdoc cref="IMessageReceiver.ReceiveAllAsync"/>
    IAsyncEnumerable<Delivery<T>> ReceiveAllAsync(ReceiveOptions? options = null, CancellationToken ct = default);

    /// <inheritdoc cref="IMessageReceiver.Consume"/>
    MessageConsumer Consume(Func<Delivery<T>, CancellationToken, ValueTask> handler, ConsumeOptions? options = null);
}
