namespace QueueKit.Queues;

/// <summary>The books of a queue: what its gate counts, what has happened, and the states that nothing but a commit's work holds.</summary>
internal sealed class QueueBooks(ArrivalRing? arrivals)
{
    // Drops with shorter pauses between them are one burst, logged once.
    private static readonly TimeSpan s_dropPause = TimeSpan.FromSeconds(10);

    private long _lastDropAt = long.MinValue / 2;

    // Fields, not properties: counted in place.
    public QueueCounters Counts;

    /// <summary>Admitted, and on the way into the store.</summary>
    public Tally Storing;

    /// <summary>Settled, purged or being moved, and the store has not confirmed it.</summary>
    public Tally Leaving;

    public OverflowGate Gate { get; } = new() { Arrivals = arrivals };

    /// <summary>Something is dropped. Returns whether a burst of drops has begun with it.</summary>
    public bool NoteDrop(in Moment moment)
    {
        bool began = moment.Now - _lastDropAt > s_dropPause.Ticks;
        _lastDropAt = moment.Now;
        return began;
    }

    /// <summary>A send is stored, or is not. One that was admitted without the lock is booked as accepted only now.</summary>
    public void EndStoring(PendingSend send)
    {
        if (send.IsPrepaid)
        {
            Gate.Prepaid.Settle(send.MessageCount, send.Bytes);
            Counts.Accepted += send.MessageCount;
        }
        else
        {
            Storing.Remove(send.Bytes, send.MessageCount);
        }
    }
}
