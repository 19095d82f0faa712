using System.Numerics;

namespace QueueKit.Queues;

/// <summary>The ready messages of a queue: a set of lanes and the choice among their heads. Today one lane per priority, the highest first; the plain queue has one lane and pays for one.</summary>
/// <remarks>Invariant: a lane's bit is set exactly while it has messages; count and bytes are the sums over the lanes.</remarks>
internal sealed class LaneScheduler
{
    private readonly Lane _plain = new();
    private Lane?[]? _lanes;
    private uint _occupied;

    public long Count { get; private set; }

    public long Bytes { get; private set; }

    public bool IsEmpty => _occupied == 0;

    /// <summary>Adds a message that is younger than all others of its band.</summary>
    public void Append(in QueuedMessage message)
    {
        int band = message.Band;
        LaneOf(band).Append(message);
        Added(band, message.Size);
    }

    /// <summary>Puts a message that was here before, or that was delayed, in its place.</summary>
    public void Insert(in QueuedMessage message)
    {
        int band = message.Band;
        LaneOf(band).Insert(message);
        Added(band, message.Size);
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
            long head = LaneOf(BitOperations.TrailingZeroCount(rest)).Head.EnqueuedAt;
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
        Lane lane = LaneOf(band);
        message = lane.Take();
        Count--;
        Bytes -= message.Size;
        if (lane.Count == 0)
            _occupied &= ~(1u << band);
        return true;
    }

    private void Added(int band, long size)
    {
        Count++;
        Bytes += size;
        _occupied |= 1u << band;
    }

    private Lane LaneOf(int band) => band == 0 ? _plain : (_lanes ??= new Lane?[Message.MaxPriority + 1])[band] ??= new Lane();
}
