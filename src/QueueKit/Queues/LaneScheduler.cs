using System.Numerics;

namespace QueueKit.Queues;

/// <summary>The ready messages of a queue: a set of lanes and the choice among their heads. Today one lane per priority, the highest first; the plain queue has one lane and pays for one.</summary>
/// <remarks>
/// Of a durable queue's lanes the ends may lie in the store alone: behind a backlog found at opening, or because memory holds no more. A lane whose next
/// message has yet to be read holds up those of lower bands.
/// Invariants: a lane's bit is set exactly while it has loaded messages, and another one while a part of it is paged; count, bytes and paged are the sums over the lanes.
/// </remarks>
internal sealed class LaneScheduler
{
    /// <summary>So many bytes of a lane are kept loaded if there is more of it in the store, unless the queue's policy wants it otherwise.</summary>
    public const long LoadedBytes = 16 * 1024 * 1024;

    // So much of a lane is kept loaded if there is more of it in the store, and so much is read at a time.
    private const long LoadedMessages = 4096;

    private const int PagesPerLoad = 4;

    private readonly Lane _plain = new();
    private Lane?[]? _lanes;
    private uint _occupied;
    private uint _pagedBands;
    private Tally _paged;

    /// <summary>The loaded messages.</summary>
    public long Count { get; private set; }

    /// <summary>Their bytes.</summary>
    public long Bytes { get; private set; }

    /// <summary>What is only in the store.</summary>
    public Tally Paged => _paged;

    /// <summary>Whether a part of a lane is only in the store.</summary>
    public bool HasPaged => _pagedBands != 0;

    /// <summary>The most messages to keep in memory where the store holds them too.</summary>
    public long MaxLoadedMessages { get; set; } = long.MaxValue;

    /// <summary>The most bytes of them.</summary>
    public long MaxLoadedBytes { get; set; } = long.MaxValue;

    /// <summary>What the broker's queues may take in memory together; null where this queue does not go by it.</summary>
    public MemoryBudget? Budget { get; set; }

    /// <summary>Whether nothing can be taken now.</summary>
    public bool IsEmpty => NextBand < 0;

    private bool IsScarce => Budget is { IsUsedUp: true };

    private int NextBand
    {
        get
        {
            if (_pagedBands == 0)
                return 31 - BitOperations.LeadingZeroCount(_occupied);
            int band = 31 - BitOperations.LeadingZeroCount(_occupied | _pagedBands);
            return LaneOf(band).HasNext ? band : -1;
        }
    }

    /// <summary>Adds a message that is younger than all others of its band: in memory or, where the lane goes on in the store or memory is full, there.</summary>
    public void Append(in QueuedMessage message)
    {
        int band = message.Band;
        if (IsPagedAt(band) || Count >= MaxLoadedMessages || Bytes + message.Size > MaxLoadedBytes || (Count > 0 && IsScarce))
        {
            LeaveInStore(band, message.Sequence, message.Sequence, new Tally { Messages = 1, Bytes = message.Size });
            return;
        }
        LaneOf(band).Append(message);
        Added(band, message.Size);
    }

    /// <summary>Adds messages that are in the store and have not been read; their numbers lie between <paramref name="first"/> and <paramref name="last"/>.</summary>
    public void LeaveInStore(int band, long first, long last, Tally messages)
    {
        LaneOf(band).LeaveInStore(first, last, messages);
        _paged.Add(messages.Bytes, messages.Messages);
        _pagedBands |= 1u << band;
    }

    /// <summary>Puts a message that was here before, or that was delayed, in its place.</summary>
    public void Insert(in QueuedMessage message)
    {
        int band = message.Band;
        LaneOf(band).Insert(message);
        Added(band, message.Size);
    }

    /// <summary>Takes the message that is next: the oldest of the highest band.</summary>
    public bool TryTake(out QueuedMessage message) => TryTakeFrom(NextBand, out message);

    /// <summary>Takes the message that matters least: the oldest loaded one of the lowest band.</summary>
    public bool TryTakeVictim(out QueuedMessage message) => TryTakeFrom(_occupied == 0 ? -1 : BitOperations.TrailingZeroCount(_occupied), out message);

    /// <summary>Takes any loaded message.</summary>
    public bool TryTakeLoaded(out QueuedMessage message) => TryTakeVictim(out message);

    /// <summary>The loaded messages that came back, or were scheduled.</summary>
    public Tally Returned()
    {
        Tally sum = default;
        for (uint rest = _occupied; rest != 0; rest &= rest - 1)
        {
            Tally returned = LaneOf(BitOperations.TrailingZeroCount(rest)).Returned;
            sum.Add(returned.Bytes, returned.Messages);
        }
        return sum;
    }

    /// <summary>When the oldest loaded message was enqueued; null if there is none.</summary>
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

    // ---- Pages -------------------------------------------------------------------------------------------------------------

    /// <summary>Whether there is room for a page of messages that were scheduled and are due, beside those that are ready.</summary>
    public bool HasRoomForDue => Returned() is var returned && (IsScarce
        ? returned is { Messages: <= MemoryBudget.ScarceMessages / 2, Bytes: <= MemoryBudget.ScarceBytes / 2 }
        : returned.Messages <= Math.Min(LoadedMessages, MaxLoadedMessages) / 2 && returned.Bytes <= Math.Min(LoadedBytes, MaxLoadedBytes) / 2);

    /// <summary>What should be read next: of the highest band that has little loaded and more in the store. Null for nothing.</summary>
    public LanePage? NextPage()
    {
        long page = Math.Max(1, Math.Min(LoadedMessages, MaxLoadedMessages) / PagesPerLoad);
        long pageBytes = Math.Max(1, Math.Min(LoadedBytes, MaxLoadedBytes) / PagesPerLoad);
        bool isScarce = IsScarce;
        if (isScarce)
            (page, pageBytes) = (Math.Min(page, MemoryBudget.ScarceMessages), Math.Min(pageBytes, MemoryBudget.ScarceBytes));
        for (uint rest = _pagedBands; rest != 0;)
        {
            int band = 31 - BitOperations.LeadingZeroCount(rest);
            rest &= ~(1u << band);
            Lane lane = LaneOf(band);
            bool fits = !isScarce && Count + page <= MaxLoadedMessages && Bytes + pageBytes <= MaxLoadedBytes;
            // A band that holds up others is read whatever the lower ones have loaded.
            if (!lane.HasNext || (fits && lane.Count <= LoadedMessages / 2))
                return new LanePage(band, lane.Cursor, lane.LastPaged, (int)page, pageBytes);
        }
        return null;
    }

    /// <summary>Counts a message of a page that was read; it is added with <see cref="AppendLoaded"/>, or goes elsewhere.</summary>
    public void Unpage(int band, long bytes)
    {
        LaneOf(band).Unpage(bytes);
        _paged.Remove(bytes);
    }

    /// <summary>Adds a message that was read from the store.</summary>
    public void AppendLoaded(in QueuedMessage message)
    {
        LaneOf(message.Band).Append(message);
        Added(message.Band, message.Size);
    }

    /// <summary>Everything of a lane up to before <paramref name="cursor"/> has been read. Returns what is still counted as paged.</summary>
    public Tally MoveCursor(int band, long cursor)
    {
        Lane lane = LaneOf(band);
        lane.MoveCursor(cursor);
        if (!lane.IsPaged)
            _pagedBands &= ~(1u << band);
        return lane.Paged;
    }

    /// <summary>Whether a part of that lane is only in the store.</summary>
    public bool IsPagedAt(int band) => (_pagedBands >> band & 1) != 0;

    /// <summary>Takes what is only in the store out of the books: it is being deleted. Until <see cref="EndDeletion"/> nothing may be read.</summary>
    public List<PagedRange> TakePaged()
    {
        var ranges = new List<PagedRange>();
        for (uint rest = _pagedBands; rest != 0; rest &= rest - 1)
        {
            int band = BitOperations.TrailingZeroCount(rest);
            Lane lane = LaneOf(band);
            long cursor = lane.Cursor;
            Tally paged = lane.TakePaged();
            _paged.Remove(paged.Bytes, paged.Messages);
            ranges.Add(new PagedRange(band, cursor, lane.LastPaged, paged));
        }
        return ranges;
    }

    /// <summary>The deletion of what was only in the store is through or, with <paramref name="putBack"/>, was refused.</summary>
    public void EndDeletion(List<PagedRange> ranges, bool putBack)
    {
        foreach (PagedRange range in ranges)
        {
            Lane lane = LaneOf(range.Band);
            if (putBack)
            {
                lane.PutBackPaged(range.First, range.Paged);
                _paged.Add(range.Paged.Bytes, range.Paged.Messages);
            }
            MoveCursor(range.Band, lane.Cursor);
        }
    }

    // ---- One lane ----------------------------------------------------------------------------------------------------------

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

/// <summary>A part of a lane that should be read.</summary>
/// <param name="Band">The lane's, as messages count it: the priority.</param>
/// <param name="From">The lowest number.</param>
/// <param name="Last">The highest number.</param>
/// <param name="MaxMessages">At most so many.</param>
/// <param name="MaxBytes">Not many more bytes.</param>
internal readonly record struct LanePage(int Band, long From, long Last, int MaxMessages, long MaxBytes);

/// <summary>A part of a lane that is only in the store.</summary>
internal readonly record struct PagedRange(int Band, long First, long Last, Tally Paged);
