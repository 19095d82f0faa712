namespace QueueKit;

/// <summary>A queue at one instant: every figure was true at the same time.</summary>
public sealed record QueueSnapshot
{
    /// <summary>The queue's name.</summary>
    public required string Name { get; init; }

    /// <summary>What survives what; never <see cref="Durability.Default"/>.</summary>
    public required Durability Durability { get; init; }

    /// <summary>All messages in the queue, whatever their state: what counts against <see cref="QueueOptions.MaxMessages"/>.</summary>
    public required long Messages { get; init; }

    /// <summary>All bytes in the queue: what counts against <see cref="QueueOptions.MaxBytes"/>.</summary>
    public required long Bytes { get; init; }

    /// <summary>The most messages that were ever in the queue at once.</summary>
    public required long PeakMessages { get; init; }

    /// <summary>Admitted and on the way into the store.</summary>
    public required StateSnapshot Storing { get; init; }

    /// <summary>Deliverable now. The oldest age counts from admission, of those in memory.</summary>
    public required StateSnapshot Ready { get; init; }

    /// <summary>The part of <see cref="Ready"/> that is not in memory: it is read from the store, in order, as the messages before it are taken.</summary>
    public required StateSnapshot Paged { get; init; }

    /// <summary>Waiting for a due time or a retry. The oldest age counts from admission, of those in memory.</summary>
    public required StateSnapshot Delayed { get; init; }

    /// <summary>Of <see cref="Paged"/> and <see cref="PagedDelayed"/>, the messages that cannot be read, under <see cref="DamagePolicy.Quarantine"/>: they are not delivered, and keep their places until the store is repaired or the queue deleted.</summary>
    public long Unreadable { get; init; }

    /// <summary>The part of <see cref="Delayed"/> that is not in memory: it is read from the store as it becomes due, as far as there is room beside what is ready.</summary>
    public required StateSnapshot PagedDelayed { get; init; }

    /// <summary>With consumers, under a lease. The oldest age counts from the hand-over.</summary>
    public required StateSnapshot InFlight { get; init; }

    /// <summary>Settled, evicted, purged or being moved, while the store has not yet confirmed it.</summary>
    public required StateSnapshot Leaving { get; init; }

    /// <summary>Sends that wait for room.</summary>
    public required int WaitingSenders { get; init; }

    /// <summary>Receives, receivers and handlers that wait for a message.</summary>
    public required int WaitingReceivers { get; init; }

    /// <summary>Messages above the limit right now: from steps that already held a lease (ack-and-send, dead-lettering) and may not wait.</summary>
    public required long Overshoot { get; init; }

    /// <summary>The directions that are paused.</summary>
    public required QueueFlow Paused { get; init; }

    /// <summary>What has happened since the queue was opened.</summary>
    public required QueueCounts Counts { get; init; }
}

/// <summary>The messages of a queue in one state.</summary>
/// <param name="Messages">How many.</param>
/// <param name="Bytes">Their bytes by <see cref="Message.Size"/>.</param>
/// <param name="OldestAge">The age of the oldest, or null where there is none or the state lasts only as long as one commit.</param>
public readonly record struct StateSnapshot(long Messages, long Bytes, TimeSpan? OldestAge);

/// <summary>What has happened in a queue since it was opened. Always: <c>Recovered + Accepted = Acked + DeadLettered + Discarded + Dropped + Purged + Messages</c>, where the oldest dropped to make room count in Dropped or DeadLettered, and new messages that were dropped in DroppedNewest only.</summary>
public readonly record struct QueueCounts
{
    /// <summary>Found in the store when the queue was opened.</summary>
    public long Recovered { get; init; }
    /// <summary>Admitted and, on a durable queue, stored or on the way: from senders, transactions and as dead letters.</summary>
    public long Accepted { get; init; }
    /// <summary>Handed to consumers, redeliveries included.</summary>
    public long Delivered { get; init; }
    /// <summary>Handed to consumers again.</summary>
    public long Redelivered { get; init; }
    /// <summary>Acked, at-most-once receives included.</summary>
    public long Acked { get; init; }
    /// <summary>Nacked by consumers.</summary>
    public long Nacked { get; init; }
    /// <summary>Released by consumers, or taken back from them without penalty.</summary>
    public long Released { get; init; }
    /// <summary>Leases that timed out.</summary>
    public long LeasesLost { get; init; }
    /// <summary>Moved to the dead-letter queue.</summary>
    public long DeadLettered { get; init; }
    /// <summary>Given up and not kept, because <see cref="QueueOptions.DeadLetterOn"/> does not ask for it.</summary>
    public long Discarded { get; init; }
    /// <summary>Ready messages that <see cref="OverflowPolicy.DropOldest"/> dropped.</summary>
    public long Dropped { get; init; }
    /// <summary>New messages that <see cref="OverflowPolicy.DropNewest"/> or <see cref="OverflowPolicy.DropOldest"/> dropped; never admitted.</summary>
    public long DroppedNewest { get; init; }
    /// <summary>New messages that were refused: no room under <see cref="OverflowPolicy.Reject"/>, without waiting, or in time; never admitted.</summary>
    public long Refused { get; init; }
    /// <summary>Removed by a purge.</summary>
    public long Purged { get; init; }
    /// <summary>Sends that had to wait for room.</summary>
    public long Waited { get; init; }
}
