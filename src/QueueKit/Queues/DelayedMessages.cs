namespace QueueKit.Queues;

/// <summary>Messages that wait for a wall-clock time: scheduled by their sender, or pausing before a retry.</summary>
/// <remarks>Invariant: both orders hold the same messages; bytes is their sum.</remarks>
internal sealed class DelayedMessages
{
    private readonly SortedSet<(long DueTicks, long Sequence)> _byDue = [];
    private readonly SortedDictionary<long, QueuedMessage> _bySequence = [];

    public int Count => _byDue.Count;

    public long Bytes { get; private set; }

    /// <summary>The earliest due time, in UTC ticks.</summary>
    public long? EarliestDueTicks => _byDue.Count == 0 ? null : _byDue.Min.DueTicks;

    /// <summary>When the message longest in the queue was enqueued.</summary>
    public long? OldestEnqueuedAt()
    {
        foreach (QueuedMessage message in _bySequence.Values)
            return message.EnqueuedAt;
        return null;
    }

    public void Add(in QueuedMessage message, long dueTicks)
    {
        _byDue.Add((dueTicks, message.Sequence));
        _bySequence.Add(message.Sequence, message);
        Bytes += message.Size;
    }

    /// <summary>Takes the message that is due first, if its time is not after <paramref name="nowTicks"/>.</summary>
    public bool TryTakeDue(long nowTicks, out QueuedMessage message)
    {
        if (_byDue.Count == 0 || _byDue.Min.DueTicks > nowTicks)
        {
            message = default;
            return false;
        }
        return TryTakeFirst(out message);
    }

    /// <summary>Takes the message that is due first, whenever that is.</summary>
    public bool TryTakeFirst(out QueuedMessage message) => TryTakeFirst(out message, out _);

    /// <summary>Takes the message that is due first, and tells when that is.</summary>
    public bool TryTakeFirst(out QueuedMessage message, out long dueTicks)
    {
        if (_byDue.Count == 0)
        {
            message = default;
            dueTicks = 0;
            return false;
        }
        (long DueTicks, long Sequence) first = _byDue.Min;
        _byDue.Remove(first);
        _bySequence.Remove(first.Sequence, out message);
        Bytes -= message.Size;
        dueTicks = first.DueTicks;
        return true;
    }
}
