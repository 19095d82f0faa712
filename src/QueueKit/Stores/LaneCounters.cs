using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>A lane in a store: the messages of a queue that share a band, and apart from them those that were scheduled.</summary>
internal readonly record struct StoredLane(uint Queue, byte Band, bool IsScheduled = false);

/// <summary>How many messages, and how many bytes of them, lie in a lane, or what is added to that.</summary>
internal readonly record struct LaneCount(long Messages, long Bytes)
{
    public static LaneCount operator +(LaneCount left, LaneCount right) => new(left.Messages + right.Messages, left.Bytes + right.Bytes);
}

/// <summary>What the operations of one batch change in the counts of lanes. Reused from batch to batch.</summary>
internal sealed class LaneChanges
{
    private readonly Dictionary<StoredLane, int> _places = [];
    private readonly List<(StoredLane Lane, LaneCount Change)> _changes = [];
    private readonly List<uint> _deletedQueues = [];
    // Most batches concern one lane.
    private StoredLane _last;
    private int _lastPlace = -1;

    public IReadOnlyList<(StoredLane Lane, LaneCount Change)> Changes => _changes;

    /// <summary>Queues that are deleted with all their lanes.</summary>
    public IReadOnlyList<uint> DeletedQueues => _deletedQueues;

    public void Add(in StoreKey key, long messages, long bytes)
    {
        if (key.Kind is not (StoreKind.Message or StoreKind.Parked))
            return;
        var lane = new StoredLane(key.Queue, key.Band, key.Kind == StoreKind.Parked);
        if (_lastPlace < 0 || _last != lane)
        {
            _last = lane;
            if (!_places.TryGetValue(lane, out _lastPlace))
            {
                _lastPlace = _changes.Count;
                _places.Add(lane, _lastPlace);
                _changes.Add((lane, default));
            }
        }
        _changes[_lastPlace] = (lane, _changes[_lastPlace].Change + new LaneCount(messages, bytes));
    }

    public void Delete(uint queue) => _deletedQueues.Add(queue);

    public void Clear()
    {
        _places.Clear();
        _changes.Clear();
        _deletedQueues.Clear();
        _lastPlace = -1;
    }
}

/// <summary>How many messages lie in each lane of a store: what every commit's record changes, and what opening the store goes by instead of scanning messages.</summary>
internal sealed class LaneCounters
{
    private readonly SortedDictionary<uint, SortedDictionary<(bool IsScheduled, byte Band), LaneCount>> _queues = [];

    /// <summary>How many lanes have, or had, messages.</summary>
    public int Lanes { get; private set; }

    /// <summary>The queues that have, or had, messages.</summary>
    public IEnumerable<uint> Queues => _queues.Keys;

    /// <summary>The lanes of a queue that have messages, by band.</summary>
    public IEnumerable<(byte Band, LaneCount Count)> LanesOf(uint queue) => LanesOf(queue, areScheduled: false);

    /// <summary>Those of its scheduled messages.</summary>
    public IEnumerable<(byte Band, LaneCount Count)> ScheduledOf(uint queue) => LanesOf(queue, areScheduled: true);

    private IEnumerable<(byte Band, LaneCount Count)> LanesOf(uint queue, bool areScheduled) =>
        _queues.TryGetValue(queue, out var lanes) ? lanes.Where(lane => lane.Value != default && lane.Key.IsScheduled == areScheduled).Select(static lane => (lane.Key.Band, lane.Value)) : [];

    public void Apply(LaneChanges changes)
    {
        foreach ((StoredLane lane, LaneCount change) in changes.Changes)
            Add(lane, change);
        foreach (uint queue in changes.DeletedQueues)
            Remove(queue);
    }

    //  Entries, one after the other:
    //
    //  0       1           5       6                   14                22
    //  | kind  | queue u32 | band  | messages i64      | bytes i64       |     little-endian; kind 1: a lane's count, or the change to it;
    //                                                                          kind 2: the queue is deleted, and the rest is zero;
    //                                                                          kind 3: as 1, of a lane's scheduled messages.
    private const int EntryLength = 22;
    private const byte CountEntry = 1;
    private const byte DeletedEntry = 2;
    private const byte ScheduledEntry = 3;

    public static int LengthOf(LaneChanges changes) => (changes.Changes.Count + changes.DeletedQueues.Count) * EntryLength;

    public static void Write(LaneChanges changes, Span<byte> into)
    {
        foreach ((StoredLane lane, LaneCount change) in changes.Changes)
            WriteEntry(lane.IsScheduled ? ScheduledEntry : CountEntry, lane, change, ref into);
        foreach (uint queue in changes.DeletedQueues)
            WriteEntry(DeletedEntry, new StoredLane(queue, 0), default, ref into);
    }

    public byte[] Encode()
    {
        byte[] value = new byte[Lanes * EntryLength];
        Span<byte> rest = value;
        foreach ((uint queue, SortedDictionary<(bool IsScheduled, byte Band), LaneCount> lanes) in _queues)
        {
            foreach (((bool isScheduled, byte band), LaneCount count) in lanes)
                WriteEntry(isScheduled ? ScheduledEntry : CountEntry, new StoredLane(queue, band), count, ref rest);
        }
        return value;
    }

    /// <summary>Adds what <see cref="Write"/> or <see cref="Encode"/> wrote; false if that is not what it is.</summary>
    public bool TryRead(ReadOnlySpan<byte> entries)
    {
        for (; entries.Length >= EntryLength; entries = entries[EntryLength..])
        {
            uint queue = BinaryPrimitives.ReadUInt32LittleEndian(entries[1..]);
            if (entries[0] == DeletedEntry)
                Remove(queue);
            else if (entries[0] is CountEntry or ScheduledEntry)
                Add(new StoredLane(queue, entries[5], entries[0] == ScheduledEntry), new LaneCount(BinaryPrimitives.ReadInt64LittleEndian(entries[6..]), BinaryPrimitives.ReadInt64LittleEndian(entries[14..])));
            else
                return false;
        }
        return entries.IsEmpty;
    }

    private void Add(StoredLane lane, LaneCount change)
    {
        if (!_queues.TryGetValue(lane.Queue, out var lanes))
            _queues.Add(lane.Queue, lanes = []);
        if (!lanes.TryGetValue((lane.IsScheduled, lane.Band), out LaneCount before))
            Lanes++;
        lanes[(lane.IsScheduled, lane.Band)] = before + change;
    }

    private void Remove(uint queue)
    {
        if (_queues.Remove(queue, out var lanes))
            Lanes -= lanes.Count;
    }

    private static void WriteEntry(byte kind, StoredLane lane, LaneCount count, ref Span<byte> into)
    {
        into[0] = kind;
        BinaryPrimitives.WriteUInt32LittleEndian(into[1..], lane.Queue);
        into[5] = lane.Band;
        BinaryPrimitives.WriteInt64LittleEndian(into[6..], count.Messages);
        BinaryPrimitives.WriteInt64LittleEndian(into[14..], count.Bytes);
        into = into[EntryLength..];
    }
}
