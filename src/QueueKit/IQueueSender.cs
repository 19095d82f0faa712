namespace QueueKit;

/// <summary>Sends values of one type to a queue, and can do nothing else with it. Safe for any thread.</summary>
public interface IQueueSender<in T>
{
    /// <summary>The queue's name.</summary>
    string Name { get; }

    /// <summary>Sends a value; returns when it is as durable as the queue promises. Waits for room as <see cref="IMessageSender.SendAsync"/> does.</summary>
    /// <param name="value">What to send; serialized before this returns its task.</param>
    /// <param name="options">What to say about it; null for nothing.</param>
    /// <param name="ct">Until the message is admitted, withdraws it for certain.</param>
    /// <exception cref="ArgumentNullException">There is no value.</exception>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <inheritdoc cref="IMessageSender.SendAsync" path="/exception[@cref='T:QueueKit.QueueFullException' or @cref='T:QueueKit.StoreException']"/>
    ValueTask<SendReceipt> SendAsync(T value, SendOptions? options = null, CancellationToken ct = default);

    /// <summary>Sends a value if there is room now. Full is <see cref="SendOutcome.Refused"/>, no exception.</summary>
    /// <inheritdoc cref="SendAsync" path="/param"/>
    ValueTask<SendReceipt> TrySendAsync(T value, SendOptions? options = null, CancellationToken ct = default);
}
