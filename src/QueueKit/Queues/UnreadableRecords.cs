using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Under <see cref="DamagePolicy.Quarantine"/>: the stored messages of a queue that cannot be read. They stay where they are, for a repair to move away, are told of once each, and the others are read around them.</summary>
/// <remarks>A store says that something in a range cannot be read, and not what. So the range is halved until it is one key wide: some 60 short reads for each such message, of 120 for a scheduled one.</remarks>
internal sealed class UnreadableRecords(IMessageStore store)
{
    // More on the way to one page are not damage to records: a disk that is gone, or a file that is.
    private const int MostOnOneWay = 1_000;

    private readonly HashSet<StoreKey> _known = [];
    // By kind and band: what the books have found missing in the end or, until then, what was come upon.
    private readonly Dictionary<(StoreKind Kind, byte Band), long> _counts = [];
    private readonly StorePage _part = new();
    // The first that was come upon on the way.
    private StoreException? _damage;
    // Come upon off the lock, and not yet told.
    private readonly List<(StoreKey Key, string Why)> _found = [];

    /// <summary>How many there are. Guarded by the queue's lock.</summary>
    public long Count { get; private set; }

    /// <summary>The place behind what was looked at last. As long as nothing was skipped, of no interest.</summary>
    public StoreKey? LookedUpTo { get; private set; }

    /// <summary>Forgets what was come upon on the way to a page that never arrived.</summary>
    public void BeginPage()
    {
        _found.Clear();
        LookedUpTo = null;
    }

    /// <summary>Reads a range as the store does, but around what it cannot read. Off the lock.</summary>
    /// <exception cref="StoreException">The store has stopped, or this is more than damage to records.</exception>
    public bool Read(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        page.Clear();
        _damage = null;
        StoreKey band = from;
        UInt128 next = PlaceOf(from), end = At(band, 0) == At(to, 0) ? PlaceOf(to) : UInt128.MaxValue;
        while (next < end && page.Records.Count < maxCount && page.Bytes < maxBytes)
        {
            UInt128 until = end;
            bool more;
            while (TryRead(At(band, next), until == end ? to : At(band, until), maxCount - page.Records.Count, maxBytes - page.Bytes, out more) is { } damage)
            {
                if (until - next > 1)
                {
                    until = next + ((until - next) / 2);
                    continue;
                }
                Note(At(band, next), damage);
                break;
            }
            foreach (StoreRecord record in _part.Records)
                page.Add(record.Key, record.Head, record.Body);
            next = more && _part.Records.Count > 0 ? PlaceOf(_part.Records[^1].Key) + 1 : until;
        }
        LookedUpTo = At(band, next);
        return next < end;
    }

    /// <summary>Notes a message that the store has handed over and that is not what was written. Off the lock.</summary>
    public void Note(in StoreKey key, StoreException damage)
    {
        _found.Add((key, damage.Message));
        if (_found.Count > MostOnOneWay)
            throw damage;
    }

    /// <summary>Counts what was come upon on the way to a page that has arrived, and returns what is new. Under the lock.</summary>
    public IEnumerable<(StoreKey Key, string Why)> Take()
    {
        foreach ((StoreKey key, string why) in _found)
        {
            if (!_known.Add(key))
                continue;
            Change((key.Kind, key.Band), 1);
            yield return (key, why);
        }
        _found.Clear();
    }

    /// <summary>The books say how many messages of a band have not been found. Under the lock.</summary>
    /// <returns>How many of these nobody has come upon: there is no trace of them.</returns>
    public long Settle(StoreKind kind, byte band, long missing)
    {
        long known = _counts.GetValueOrDefault((kind, band));
        Change((kind, band), missing - known);
        return Math.Max(0, missing - known);
    }

    private void Change((StoreKind, byte) band, long by)
    {
        _counts[band] = _counts.GetValueOrDefault(band) + by;
        Count += by;
    }

    private StoreException? TryRead(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, out bool more)
    {
        try
        {
            more = store.Read(from, to, maxCount, maxBytes, _part);
            return null;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Unreadable)
        {
            _part.Clear();
            _damage ??= error;
            more = false;
            return error;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Stopped && _damage is { } damage)
        {
            // It does not survive its damage; that is what is to be told.
            throw new StoreException(damage.Fault, damage.Message, damage.Path, error) { IsRepairable = damage.IsRepairable };
        }
    }

    // The order of keys of one band, as a number.
    private static UInt128 PlaceOf(in StoreKey key) => new((ulong)key.Order ^ (1UL << 63), (ulong)key.Sequence ^ (1UL << 63));

    private static StoreKey At(in StoreKey band, UInt128 place) =>
        band with { Order = (long)((ulong)(place >> 64) ^ (1UL << 63)), Sequence = (long)((ulong)place ^ (1UL << 63)) };
}
