namespace QueueKit.Queues;

/// <summary>What the waiting messages of all durable queues take in memory, and how much they may: where it is used up, further ones are left in the store, and read a few at a time.</summary>
/// <remarks>Safe for any thread. What a queue has is noted at the end of its lock holds, and only when that has changed by so much that it matters: it is written by all of them.</remarks>
internal sealed class MemoryBudget(long? maxBytes)
{
    /// <summary>The most messages that a queue reads at a time, and keeps of what is not due yet, while the budget is used up; it must go on.</summary>
    public const int ScarceMessages = 64;

    /// <summary>The most bytes that it reads at a time then.</summary>
    public const long ScarceBytes = 64 * 1024;

    /// <summary>What is around a message's bytes in memory: objects, and its place in the queue.</summary>
    public const long Around = 200;

    private readonly long _max = maxBytes ?? long.MaxValue;
    private long _used;

    public bool IsUsedUp => Volatile.Read(ref _used) >= _max;

    /// <summary>What has been noted, in bytes.</summary>
    public long Used => Volatile.Read(ref _used);

    public void Add(long bytes) => Interlocked.Add(ref _used, bytes);
}

/// <summary>A queue's part of the <see cref="MemoryBudget"/>. Under the queue's lock.</summary>
internal sealed class MemoryShare(MemoryBudget budget)
{
    private const long Unnoted = 1024;
    private long _noted;

    /// <summary>Notes what the queue has in memory now; of one that is closed, null for nothing.</summary>
    public void Note(LaneScheduler? ready, DelayedMessages delayed)
    {
        long bytes = ready is null ? 0 : ready.Bytes + delayed.LoadedSize + (ready.Count + delayed.Loaded) * MemoryBudget.Around;
        long change = bytes - _noted;
        if (change == 0 || (bytes != 0 && Math.Abs(change) <= Unnoted + (_noted >> 3)))
            return;
        _noted = bytes;
        budget.Add(change);
    }
}
