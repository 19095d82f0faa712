namespace QueueKit.Queues;

/// <summary>Acked deliveries of a transient queue that wait for the next lock hold, whoever's it is, to leave the books.</summary>
/// <remarks>
/// An ack is decided by the compare-and-swap on its delivery; only the book-keeping needs the lock, and every send, receive, expiry and
/// snapshot takes that anyway. So an ack costs two swaps and no lock: a third of the lock traffic of a send-receive-ack cycle.
/// Nothing waits for ever: the lease timer comes by too. Many push, one drains at a time. (R. K. Treiber, 1986.)
/// </remarks>
internal struct AckStack
{
    private InFlightDelivery? _top;

    public readonly bool IsEmpty => _top is null;

    /// <summary>Adds a delivery; a full fence.</summary>
    public void Push(InFlightDelivery delivery)
    {
        InFlightDelivery? top = Volatile.Read(ref _top);
        while (true)
        {
            delivery.NextAcked = top;
            InFlightDelivery? seen = Interlocked.CompareExchange(ref _top, delivery, top);
            if (ReferenceEquals(seen, top))
                return;
            top = seen;
        }
    }

    /// <summary>Takes all, linked by <see cref="InFlightDelivery.NextAcked"/>.</summary>
    public InFlightDelivery? TakeAll() => Volatile.Read(ref _top) is null ? null : Interlocked.Exchange(ref _top, null);
}
