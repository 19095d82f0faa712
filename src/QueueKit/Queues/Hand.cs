namespace QueueKit.Queues;

/// <summary>The hand of a receiver that takes one message after the other: the next few are set aside in it, and the last few acks are booked from it, so that neither needs the lock.</summary>
/// <remarks>
/// It changes nothing that anybody can see. A message set aside counts as ready, its lease has not begun, and the queue takes it back the moment
/// another consumer waits, a message comes that goes before it, or the flow is paused: receiver and queue compete for it with the
/// compare-and-swap on its <see cref="LeaseState"/>. An ack is decided on the delivery itself; the books are brought up to date when the hand
/// is filled anew, or before that by whoever needs to know. Filled and searched under the queue's lock; taken from by the one reader without it.
/// </remarks>
internal sealed class Hand
{
    /// <summary>Enough to make the lock's price vanish, few enough to look through.</summary>
    public const int Size = 32;

    // Not more than this share of what is ready is set aside: with little to do, every message is taken by whoever comes first.
    private const int Share = 4;

    private readonly InFlightDelivery?[] _deliveries = new InFlightDelivery?[Size];
    private int _next;
    private int _count;

    /// <summary>Whether the queue knows of it.</summary>
    public bool IsRegistered { get; set; }

    /// <summary>How many to take when so many are ready.</summary>
    public static int CountFor(long ready) => (int)Math.Clamp(ready / Share, 1, Size);

    /// <summary>What is in it, taken or not. Under the lock.</summary>
    public ReadOnlySpan<InFlightDelivery?> Deliveries => _deliveries.AsSpan(0, _count);

    /// <summary>For the reader: the next one, which may have been taken back.</summary>
    public InFlightDelivery? Next() => _next < _count ? _deliveries[_next++] : null;

    /// <summary>Adds one. Under the lock, by the reader.</summary>
    public void Add(InFlightDelivery delivery)
    {
        delivery.IsInHand = true;
        _deliveries[_count++] = delivery;
    }

    /// <summary>Empties it. Under the lock, by the reader.</summary>
    public void Clear()
    {
        Array.Clear(_deliveries, 0, _count);
        _next = _count = 0;
    }

    /// <summary>The first that the reader has not taken yet. Under the lock.</summary>
    public InFlightDelivery? FirstOffered()
    {
        foreach (InFlightDelivery? delivery in Deliveries)
        {
            if (delivery!.State == LeaseState.Offered)
                return delivery;
        }
        return null;
    }
}
