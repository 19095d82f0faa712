namespace QueueKit.Hosting;

/// <summary>Sends requests to a queue and waits for their replies. Safe for any thread.</summary>
public interface IQueueRequester<in T>
{
    /// <summary>The queue's name.</summary>
    string Name { get; }

    /// <summary>Sends a request and waits for what its handler gives to <see cref="MessageContext.Reply"/>. The request stands in its queue like any message: it may be handled by a handler that starts later, again after a failure, and also when nobody waits any more.</summary>
    /// <param name="request">What to send.</param>
    /// <param name="timeout">How long to wait, the send included; positive, at most 49 days, null for 30 s.</param>
    /// <param name="ct">Gives up waiting; a request that is in its queue stays there.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is not positive, or longer than 49 days.</exception>
    /// <exception cref="RequestRejectedException">The handler rejected the request, a rule did, nobody can read or handle it, or its last attempt failed. One that fails and is tried again is waited for.</exception>
    /// <exception cref="TimeoutException">No reply came in time: it has not been handled yet, its handler gives none, its last lease timed out, or it was purged or dropped from the queue.</exception>
    /// <exception cref="QueueFullException">The queue is full and did not take the request.</exception>
    /// <exception cref="QueueKitException">The reply cannot be read as a <typeparamref name="TReply"/>, or the request could not be sent; see <see cref="IMessageSender.SendAsync"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled.</exception>
    ValueTask<TReply> RequestAsync<TReply>(T request, TimeSpan? timeout = null, CancellationToken ct = default);
}
