namespace QueueKit.Queues;

/// <summary>A message in a queue: what was sent, its number, and, once something has happened to it, its history. The fresh message's 32 bytes are all that a backlog costs.</summary>
internal readonly struct QueuedMessage(Message message, long sequence, long enqueuedAt, MessageHistory? history = null)
{
    public readonly Message Message = message;

    /// <summary>Ascending in the order of admission; unique in the queue.</summary>
    public readonly long Sequence = sequence;

    /// <summary>Monotonic, by <see cref="Scheduling.BrokerClock.Now"/>.</summary>
    public readonly long EnqueuedAt = enqueuedAt;

    /// <summary>Null until a delivery ended without an ack, unless the message was scheduled or is a dead letter.</summary>
    public readonly MessageHistory? History = history;

    public byte Band => Message.Priority;

    public long Size => Message.Size;

    public QueuedMessage With(MessageHistory history) => new(Message, Sequence, EnqueuedAt, history);
}

/// <summary>A message that nobody has, and the time it waits for, in UTC ticks; 0 if it is ready.</summary>
internal readonly record struct WaitingMessage(QueuedMessage Message, long DueTicks);

/// <summary>What has happened to a message that is not fresh any more. Changed only by whoever holds the message, under the queue's lock.</summary>
internal sealed class MessageHistory
{
    /// <summary>Whether it was handed out before.</summary>
    public bool Delivered { get; set; }

    /// <summary>Attempts that started and failed.</summary>
    public int FailedAttempts { get; set; }

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

    public MessageHistory Copy() => (MessageHistory)MemberwiseClone();
}
