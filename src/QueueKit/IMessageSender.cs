namespace QueueKit;

/// <summary>Something that messages can be sent to. Safe for any thread.</summary>
public interface IMessageSender
{
    /// <summary>The destination's name.</summary>
    string Name { get; }

    /// <summary>Sends a message; returns when it is as durable as the queue promises. Under <see cref="OverflowPolicy.Backpressure"/> it waits for room, first come, first served.</summary>
    /// <param name="message">The message; its body must not change until it is settled.</param>
    /// <param name="ct">Until the message is admitted, withdraws it for certain; afterwards it is ignored until the store has answered.</param>
    /// <exception cref="ArgumentNullException">There is no message.</exception>
    /// <exception cref="MessageTooLargeException">It is larger than the broker or the queue allows, ever.</exception>
    /// <exception cref="QueueFullException">The policy is <see cref="OverflowPolicy.Reject"/> and there is no room, or there was none within <see cref="QueueOptions.BackpressureTimeout"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled: nothing was sent.</exception>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    /// <exception cref="QueueNotFoundException">The queue has been deleted.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    ValueTask<SendReceipt> SendAsync(Message message, CancellationToken ct = default);

    /// <summary>Sends a message if there is room now: never waits for room and never overtakes a sender that does. Full is <see cref="SendOutcome.Refused"/>, no exception. It still waits for the store.</summary>
    /// <inheritdoc cref="SendAsync" path="/param"/>
    /// <exception cref="MessageTooLargeException">It is larger than the broker or the queue allows, ever.</exception>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    ValueTask<SendReceipt> TrySendAsync(Message message, CancellationToken ct = default);
}
