using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>Acked deliveries of a transient queue that wait for the next lock hold, whoever's it is, to leave the books.</summary>
/// <remarks>
/// An ack is decided by the compare-and-swap on its delivery; only the book-keeping needs the lock, and every send, receive, expiry and
/// snapshot takes that anyway. So an ack costs two swaps and no lock: a third of the lock traffic of a send-receive-ack cycle.
/// Nothing waits for ever: the lease timer comes by too. Many push, one drains at a time. (R. K. Treiber, 1986.)
/// </remarks>
internal sealed class AckStack : CacheLines
{
    private InFlightDelivery? _top;
#pragma warning disable CA1823, IDE0051, CS0169 // Nobody's: see CacheLines.
    private readonly Lines _behind;
#pragma warning restore CA1823, IDE0051, CS0169

    public bool IsEmpty => _top is null;

    /// <summary>Adds a delivery; a full fence.</summary>
    public void Push(InFlightDelivery delivery) => Push(delivery, delivery);

    /// <summary>Adds several with one swap; a full fence.</summary>
    public void PushAll(ReadOnlySpan<InFlightDelivery> deliveries)
    {
        for (int i = 1; i < deliveries.Length; i++)
            deliveries[i - 1].NextAcked = deliveries[i];
        Push(deliveries[0], deliveries[^1]);
    }

    private void Push(InFlightDelivery first, InFlightDelivery last)
    {
        InFlightDelivery? top = Volatile.Read(ref _top);
        while (true)
        {
            last.NextAcked = top;
            InFlightDelivery? seen = Interlocked.CompareExchange(ref _top, first, top);
            if (ReferenceEquals(seen, top))
                return;
            top = seen;
        }
    }

    /// <summary>Takes all, linked by <see cref="InFlightDelivery.NextAcked"/>.</summary>
    public InFlightDelivery? TakeAll() => Volatile.Read(ref _top) is null ? null : Interlocked.Exchange(ref _top, null);
}
