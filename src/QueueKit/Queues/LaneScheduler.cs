using System.Numerics;

namespace QueueKit.Queues;

/// <summary>The ready messages of a queue: a set of lanes and the choice among their heads. Today one lane per priority, the highest first; the plain queue has one lane and pays for one.</summary>
/// <remarks>Invariant: a lane's bit is set exactly while it has messages; count and bytes are the sums over the lanes.</remarks>
internal sealed class LaneScheduler
{
    private Lane?[] _lanes = new Lane?[1];
    private uint _occupied;

    public long Count { get; private set; }

    public long Bytes { get; private set; }

    public bool IsEmpty => _occupied == 0;

    /// <summary>Adds a message that is younger than all others of its band.</summary>
    public void Append(in QueuedMessage message)
    {
        LaneOf(message).Append(message);
        Added(message);
    }

    /// <summary>Puts a message that was here before, or that was delayed, in its place.</summary>
    public void Insert(in QueuedMessage message)
    {
        LaneOf(message).Insert(message);
        Added(message);
    }

    /// <summary>Takes the message that is next: the oldest of the highest band.</summary>
    public bool TryTake(out QueuedMessage message) => TryTakeFrom(31 - BitOperations.LeadingZeroCount(_occupied), out message);

    /// <summary>Takes the message that matters least: the oldest of the lowest band.</summary>
    public bool TryTakeVictim(out QueuedMessage message) => TryTakeFrom(_occupied == 0 ? -1 : BitOperations.TrailingZeroCount(_occupied), out message);

    /// <summary>When the oldest message was enqueued; null if there is none.</summary>
    public long? OldestEnqueuedAt()
    {
        long? oldest = null;
        for (uint rest = _occupied; rest != 0; rest &= rest - 1)
        {
            long head = _lanes[BitOperations.TrailingZeroCount(rest)]!.Head.EnqueuedAt;
            oldest = Math.Min(oldest ?? head, head);
        }
        return oldest;
    }

    private bool TryTakeFrom(int band, out QueuedMessage message)
    {
        if (band < 0)
        {
            message = default;
            return false;
        }
        Lane lane = _lanes[band]!;
        message = lane.Take();
        Count--;
        Bytes -= message.Size;
        if (lane.Count == 0)
            _occupied &= ~(1u << band);
        return true;
    }

    private void Added(in QueuedMessage message)
    {
        Count++;
        Bytes += message.Size;
        _occupied |= 1u << message.Band;
    }

    private Lane LaneOf(in QueuedMessage message)
    {
        int band = message.Band;
        if (band >= _lanes.Length)
            Array.Resize(ref _lanes, Message.MaxPriority + 1);
        return _lanes[band] ??= new Lane();
    }
}
