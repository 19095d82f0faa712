namespace QueueKit.Queues;

/// <summary>How a delivery ended without an ack.</summary>
internal enum DeliveryEnd
{
    /// <summary>The consumer nacked it, or its handler threw.</summary>
    Failed,
    /// <summary>Its lease timed out after it had started.</summary>
    TimedOut,
    /// <summary>The consumer gave it back.</summary>
    Released,
    /// <summary>The consumer gave it up.</summary>
    Rejected,
    /// <summary>It never started, or was taken back by a stop: nobody's fault.</summary>
    TakenBack,
}

/// <summary>What becomes of a message whose delivery ended without an ack.</summary>
internal enum Fate
{
    /// <summary>Ready again, or after a delay.</summary>
    Redeliver,
    /// <summary>To the dead-letter queue.</summary>
    DeadLetter,
    /// <summary>Deleted: the queue keeps no dead letters for this reason.</summary>
    Discard,
}

/// <summary>The decision of <see cref="RedeliveryPolicy"/>.</summary>
internal readonly record struct RedeliveryDecision(Fate Fate, TimeSpan Delay = default, DeadLetterReasons Reason = DeadLetterReasons.None);

/// <summary>Decides what becomes of a message that comes back. Pure: the same history gives the same decision.</summary>
internal static class RedeliveryPolicy
{
    /// <summary>What slows an endless release down: the pause from the second release in a row on.</summary>
    public static readonly TimeSpan ReleasePause = TimeSpan.FromMilliseconds(100);

    /// <param name="options">The queue's.</param>
    /// <param name="isDeadLetterQueue">Such a queue is the end of the line: it gives nothing up.</param>
    /// <param name="end">How the delivery ended.</param>
    /// <param name="delay">The delay the consumer asked for, if any.</param>
    /// <param name="history">The message's history, with this delivery counted already.</param>
    /// <param name="sequence">The message's number, for the jitter.</param>
    public static RedeliveryDecision Decide(QueueOptions options, bool isDeadLetterQueue, DeliveryEnd end, TimeSpan? delay, MessageHistory history, long sequence)
    {
        switch (end)
        {
            case DeliveryEnd.Rejected when isDeadLetterQueue:
                return new(Fate.Redeliver, options.RetryDelay.After(Math.Max(1, history.Releases), sequence));
            case DeliveryEnd.Rejected:
                return GiveUp(options, DeadLetterReasons.Rejected);
            case DeliveryEnd.Failed or DeliveryEnd.TimedOut when !isDeadLetterQueue && history.FailedAttempts >= options.MaxAttempts:
                return GiveUp(options, DeadLetterReasons.AttemptsExhausted);
            case DeliveryEnd.Failed:
                return new(Fate.Redeliver, delay ?? options.RetryDelay.After(history.FailedAttempts, sequence));
            case DeliveryEnd.Released when history.Releases > 1:
                return new(Fate.Redeliver, ReleasePause);
            default:
                // A lease that timed out has been delay enough.
                return new(Fate.Redeliver);
        }
    }

    /// <summary>How a delivery ends that is settled in another way than by an ack.</summary>
    public static DeliveryEnd EndOf(Settlement settlement) => settlement.Kind switch
    {
        SettlementKind.Nack => DeliveryEnd.Failed,
        SettlementKind.Release => DeliveryEnd.Released,
        _ => DeliveryEnd.Rejected,
    };

    private static RedeliveryDecision GiveUp(QueueOptions options, DeadLetterReasons reason) =>
        new((options.DeadLetterOn & reason) != 0 ? Fate.DeadLetter : Fate.Discard, default, reason);
}
