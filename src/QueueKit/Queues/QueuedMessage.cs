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

    /// <summary>The message as one that was handed out before.</summary>
    public QueuedMessage AsDelivered()
    {
        QueuedMessage delivered = History is null ? With(new MessageHistory()) : this;
        delivered.History!.Delivered = true;
        return delivered;
    }
}

/// <summary>A message that nobody has, and the time it waits for, in UTC ticks; 0 if it is ready.</summary>
internal readonly record struct WaitingMessage(QueuedMessage Message, long DueTicks);
