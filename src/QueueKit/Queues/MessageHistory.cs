using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What has happened to a message that is not fresh any more. Changed only by whoever holds the message, under the queue's lock.</summary>
internal sealed class MessageHistory
{
    /// <summary>Whether it was handed out before.</summary>
    public bool Delivered { get; set; }

    /// <summary>Attempts that started and failed.</summary>
    public int FailedAttempts { get; set; }

    /// <summary>Attempts that ended with the process while no other message could have ended it; failed ones too.</summary>
    public int Deaths { get; set; }

    /// <summary>Whether a consumer had it when the process ended, and it may be the reason: until a delivery of it has come to an end, it is handed out while no other suspect is.</summary>
    public bool IsSuspect { get; set; }

    /// <summary>The witness's slot of a message that nobody has now but somebody had in an earlier life of the store; 0 for none. A delivery takes it over.</summary>
    public int Slot { get; set; }

    /// <summary>Releases since the last attempt that failed: what the pause for endless releases goes by.</summary>
    public int Releases { get; set; }

    /// <summary>Type and message of the last exception.</summary>
    public string? LastError { get; set; }

    /// <summary>Where it comes from, in a queue of dead letters.</summary>
    public DeadLetterInfo? DeadLetter { get; set; }

    /// <summary>Of a message with a due time of its own: that time, in UTC ticks, which is part of its key in a store. Otherwise 0.</summary>
    public long ScheduledTicks { get; set; }

    /// <summary>Whether the store has, or is about to get, a record of the attempts, which must go with the message.</summary>
    public bool IsStored { get; set; }

    /// <summary>Takes the slot over.</summary>
    public int TakeSlot()
    {
        int slot = Slot;
        Slot = 0;
        return slot;
    }

    /// <summary>What a store keeps of it.</summary>
    public AttemptsRecord ToRecord(long dueTicks) => new(FailedAttempts, dueTicks, LastError, Deaths);

    public MessageHistory Copy() => (MessageHistory)MemberwiseClone();

    /// <summary>Counts a delivery that ended without an ack.</summary>
    public void Count(DeliveryEnd end, string? error)
    {
        // Its consumer has come to an end with it, and the process lives.
        IsSuspect &= end == DeliveryEnd.TakenBack;
        switch (end)
        {
            case DeliveryEnd.Failed:
                FailedAttempts++;
                Releases = 0;
                LastError = error ?? LastError;
                break;
            case DeliveryEnd.TimedOut:
                FailedAttempts++;
                Releases = 0;
                break;
            case DeliveryEnd.Rejected or DeliveryEnd.Released:
                Releases++;
                break;
        }
    }
}
