namespace QueueKit.Queues;

/// <summary>What has happened in a queue: <see cref="QueueCounts"/> while it is being counted. Guarded by the queue's lock.</summary>
internal struct QueueCounters
{
    public long Recovered;
    public long Accepted;
    public long Delivered;
    public long Redelivered;
    public long Acked;
    public long Nacked;
    public long Released;
    public long LeasesLost;
    public long DeadLettered;
    public long Discarded;
    public long Dropped;
    public long DroppedNewest;
    public long Refused;
    public long Purged;
    public long Waited;
    // For the instruments only: of what was delivered, what went to handlers; of what was accepted, dead letters of other queues; sends that the store did not take; and the dead letters by reason, where overflow is the rest.
    public long ToHandlers;
    public long Letters;
    public long NotStored;
    public long DeadRejected;
    public long DeadExhausted;

    /// <summary>Counts a delivery that ended without an ack.</summary>
    public void Count(DeliveryEnd end)
    {
        switch (end)
        {
            case DeliveryEnd.Failed:
                Nacked++;
                break;
            case DeliveryEnd.TimedOut:
                LeasesLost++;
                break;
            case DeliveryEnd.Released or DeliveryEnd.TakenBack:
                Released++;
                break;
        }
    }

    /// <summary>Counts a message that was given up: it is in the dead-letter queue or, where that did not keep it, gone.</summary>
    public void CountGivenUp(DeadLetterReasons reason, bool isKept)
    {
        (isKept ? ref DeadLettered : ref Discarded)++;
        if (isKept && reason == DeadLetterReasons.Rejected)
            DeadRejected++;
        else if (isKept && reason == DeadLetterReasons.AttemptsExhausted)
            DeadExhausted++;
    }

    /// <summary>Takes back what was counted as accepted: the store did not take it.</summary>
    public void CountNotStored(long messages)
    {
        Accepted -= messages;
        NotStored += messages;
    }

    public readonly QueueCounts ToCounts() => new()
    {
        Recovered = Recovered,
        Accepted = Accepted,
        Delivered = Delivered,
        Redelivered = Redelivered,
        Acked = Acked,
        Nacked = Nacked,
        Released = Released,
        LeasesLost = LeasesLost,
        DeadLettered = DeadLettered,
        Discarded = Discarded,
        Dropped = Dropped,
        DroppedNewest = DroppedNewest,
        Refused = Refused,
        Purged = Purged,
        Waited = Waited,
    };
}

/// <summary>Messages in a state that nothing but a commit's work holds: how many, and their bytes.</summary>
internal struct Tally
{
    public long Messages;
    public long Bytes;

    public void Add(long bytes, long messages = 1)
    {
        Messages += messages;
        Bytes += bytes;
    }

    public void Remove(long bytes, long messages = 1)
    {
        Messages -= messages;
        Bytes -= bytes;
    }
}
