using System.Numerics;

namespace QueueKit.Queues;

/// <summary>Messages that wait for a wall-clock time: scheduled by their sender, or pausing before a retry.</summary>
/// <param name="budget">Of the memory of durable queues; null for a transient one, which has no other place for them.</param>
/// <remarks>
/// Of a durable queue's scheduled messages memory holds only the next few, by band: what is due before a band's cursor is loaded (or has become ready, or is
/// gone), and what is due from the cursor on lies in the store alone and is counted as paged. Where memory would hold too much, the end of it goes back to the
/// store: the cursor moves back.
/// <para>Invariants: the orders by due time hold the same messages as the order by number, and bytes is their sum; no loaded message stands at or behind its
/// band's cursor; no cursor stands before a message that has become ready, though the clock be set back: it would be read a second time.</para>
/// </remarks>
internal sealed class DelayedMessages(MemoryBudget? budget)
{
    /// <summary>So many scheduled messages are kept loaded if the store has them too; a quarter of that is read at a time.</summary>
    public const int LoadedMessages = 4096;

    private const long LoadedBytes = 16 * 1024 * 1024;
    private const int PagesPerLoad = 4;
    private const int ShareOfBuffer = 4;

    // Pausing, or in no store: they have no other place.
    private readonly SortedSet<DueKey> _pausing = [];
    private readonly SortedDictionary<long, QueuedMessage> _bySequence = [];
    // Scheduled, and where their store has them.
    private SortedSet<DueKey>? _scheduled;
    private ScheduledLane?[]? _lanes;
    private List<QueuedMessage>? _cameWhileReading;
    private DelayedPage? _asked;
    private bool _isStale;
    private long _scheduledBytes;
    private int _pagedBands;
    private Tally _paged;
    private DueKey _lastTaken = new(0, long.MinValue);
    private long _lastPlaced = long.MinValue;
    private long _maxLoadedMessages = LoadedMessages;
    private long _maxLoadedBytes = LoadedBytes;

    /// <summary>How many, wherever they are.</summary>
    public long Count => _bySequence.Count + _paged.Messages;

    /// <summary>Their bytes.</summary>
    public long Bytes => LoadedSize + _paged.Bytes;

    /// <summary>Those in memory.</summary>
    public int Loaded => _bySequence.Count;

    /// <summary>Their bytes.</summary>
    public long LoadedSize { get; private set; }

    /// <summary>Whether there are some that are only in the store.</summary>
    public bool HasPaged => _pagedBands != 0;

    /// <summary>What is only in the store.</summary>
    public Tally Paged => _paged;

    /// <summary>The earliest due time of those in memory, in UTC ticks.</summary>
    public long? EarliestDueTicks => First is { } first ? first.DueTicks : null;

    private DueKey? First
    {
        get
        {
            DueKey? first = _pausing.Count > 0 ? _pausing.Min : null;
            return _scheduled is { Count: > 0 } && (first is null || _scheduled.Min.CompareTo(first.Value) < 0) ? _scheduled.Min : first;
        }
    }

    /// <summary>When the message longest in the queue was enqueued, of those in memory.</summary>
    public long? OldestEnqueuedAt()
    {
        foreach (QueuedMessage message in _bySequence.Values)
            return message.EnqueuedAt;
        return null;
    }

    /// <summary>Keeps what is in memory within a share of what the queue's ready messages may take there.</summary>
    public void Limit(long messages, long bytes)
    {
        _maxLoadedMessages = Math.Clamp(messages / ShareOfBuffer, 1, LoadedMessages);
        _maxLoadedBytes = Math.Clamp(bytes / ShareOfBuffer, 1, LoadedBytes);
    }

    /// <summary>Adds a message that is only here until it is due: pausing, or on a transient queue.</summary>
    public void Add(in QueuedMessage message, long dueTicks)
    {
        _pausing.Add(new DueKey(dueTicks, message.Sequence));
        Load(message);
    }

    /// <summary>Takes the message that is due first, if its time is not after <paramref name="nowTicks"/>.</summary>
    public bool TryTakeDue(long nowTicks, out QueuedMessage message)
    {
        if (First is { } first && first.DueTicks <= nowTicks)
            return TryTakeFirst(out message, out _);
        message = default;
        return false;
    }

    /// <summary>Takes the message that is due first of those in memory, whenever that is, and tells when.</summary>
    public bool TryTakeFirst(out QueuedMessage message, out long dueTicks)
    {
        if (First is not { } first)
        {
            message = default;
            dueTicks = 0;
            return false;
        }
        bool isScheduled = _scheduled?.Remove(first) ?? false;
        if (!isScheduled)
            _pausing.Remove(first);
        message = Unload(first.Sequence);
        if (isScheduled)
        {
            _scheduledBytes -= message.Size;
            NoteTaken(first);
        }
        dueTicks = first.DueTicks;
        return true;
    }

    // ---- Scheduled, and in the store ---------------------------------------------------------------------------------------

    /// <summary>Adds a scheduled message that the store has: in memory or, if memory does not go on to there, not.</summary>
    /// <param name="message">The message, with its due time.</param>
    /// <param name="nowTicks">Now: what is due already is the caller's to make ready.</param>
    /// <returns>Whether it has found its place; false if it is to become ready at once.</returns>
    public bool AddStored(in QueuedMessage message, long nowTicks)
    {
        var key = new DueKey(message.History!.ScheduledTicks, message.Sequence);
        _lastPlaced = Math.Max(_lastPlaced, message.Sequence);
        if (LaneIfAny(message.Band) is { IsPaged: true } lane && key.CompareTo(lane.Cursor) >= 0)
        {
            LeaveInStore(lane, message.Band, new Tally { Messages = 1, Bytes = message.Size });
            NoteArrival(message);
            return true;
        }
        if (key.DueTicks <= nowTicks)
        {
            NoteTaken(key);
            return false;
        }
        LoadStored(message, key);
        GiveBackEnd();
        return true;
    }

    /// <summary>Counts a band's messages that the store holds at opening, up to the number <paramref name="lastSequence"/>; they are read as their time comes.</summary>
    public void LeaveInStore(int band, Tally messages, long lastSequence)
    {
        _lastPlaced = Math.Max(_lastPlaced, lastSequence);
        ScheduledLane lane = LaneOf(band);
        lane.Cursor = new DueKey(0, long.MinValue);
        LeaveInStore(lane, band, messages);
    }

    /// <summary>When something that is only in the store is due that nobody has begun to read, in UTC ticks; null where there is nothing or it is due already.</summary>
    public long? NextPagedDueTicks(long nowTicks)
    {
        long next = long.MaxValue;
        for (int bands = _pagedBands; bands != 0; bands &= bands - 1)
        {
            long due = LaneOf(BitOperations.TrailingZeroCount(bands)).Cursor.DueTicks;
            if (due > nowTicks)
                next = Math.Min(next, due);
        }
        return next == long.MaxValue ? null : next;
    }

    /// <summary>Whether something may be due that is only in the store.</summary>
    public bool HasUnread(long nowTicks)
    {
        for (int bands = _pagedBands; bands != 0; bands &= bands - 1)
        {
            if (LaneOf(BitOperations.TrailingZeroCount(bands)).Cursor.DueTicks <= nowTicks)
                return true;
        }
        return false;
    }

    /// <summary>What should be read next: of the band whose cursor is due first. Null if memory holds enough of what is to come, or what is due already has been read as far as it fits beside what is ready.</summary>
    /// <param name="nowTicks">Now.</param>
    /// <param name="hasRoom">Whether there is room for more that is due.</param>
    public DelayedPage? NextPage(long nowTicks, bool hasRoom)
    {
        int first = -1;
        for (int bands = _pagedBands; bands != 0; bands &= bands - 1)
        {
            int band = BitOperations.TrailingZeroCount(bands);
            if (first < 0 || LaneOf(band).Cursor.CompareTo(LaneOf(first).Cursor) < 0)
                first = band;
        }
        if (first < 0)
            return null;
        DueKey cursor = LaneOf(first).Cursor;
        bool isDue = cursor.DueTicks <= nowTicks;
        int loaded = _scheduled?.Count ?? 0;
        bool isScarce = budget is { IsUsedUp: true };
        bool isWanted = !isScarce && loaded <= _maxLoadedMessages / PagesPerLoad && _scheduledBytes <= _maxLoadedBytes / PagesPerLoad;
        if (isDue ? !hasRoom : !isWanted)
            return null;
        return new DelayedPage(first, cursor, isDue,
            (int)Math.Max(1, Math.Min(_maxLoadedMessages / PagesPerLoad, isScarce ? MemoryBudget.ScarceMessages : LoadedMessages)),
            Math.Max(1, Math.Min(_maxLoadedBytes / PagesPerLoad, isScarce ? MemoryBudget.ScarceBytes : LoadedBytes)),
            _lastPlaced);
    }

    /// <summary>A page is being read.</summary>
    public void BeginReading(DelayedPage page)
    {
        _asked = page;
        _isStale = false;
    }

    /// <summary>Whether what is being read is still what it was when it was asked for.</summary>
    public bool EndReading()
    {
        _asked = null;
        if (_isStale)
            _cameWhileReading = null;
        return !_isStale;
    }

    /// <summary>Adds a message that was read and waits for its time, or for its next try.</summary>
    public void AddRead(in WaitingMessage waiting)
    {
        if (IsAsStored(waiting.Message, waiting.DueTicks))
        {
            LoadStored(waiting.Message, new DueKey(waiting.DueTicks, waiting.Message.Sequence));
            return;
        }
        if (waiting.Message.History is { ScheduledTicks: not 0 and var scheduled })
            NoteTaken(new DueKey(scheduled, waiting.Message.Sequence));
        Add(waiting.Message, waiting.DueTicks);
    }

    /// <summary>Counts a message of a page that was read; it is added, or goes elsewhere.</summary>
    public void Unpage(int band, long bytes)
    {
        LaneOf(band).Unpage(bytes);
        _paged.Remove(bytes);
    }

    /// <summary>A scheduled message has become ready: its like are not read again.</summary>
    public void NoteTaken(in DueKey key)
    {
        if (key.CompareTo(_lastTaken) > 0)
            _lastTaken = key;
    }

    /// <summary>Everything of a band up to before <paramref name="cursor"/> has been read; null for all of it.</summary>
    /// <returns>Those that came while it was read and stand before the cursor: they are still counted as paged, and the caller's to load.</returns>
    public List<QueuedMessage> MoveCursor(int band, DueKey? cursor)
    {
        ScheduledLane lane = LaneOf(band);
        lane.Cursor = cursor ?? ScheduledLane.Whole;
        if (!lane.IsPaged)
            _pagedBands &= ~(1 << band);
        List<QueuedMessage> came = _cameWhileReading ?? [];
        _cameWhileReading = null;
        came.RemoveAll(message => new DueKey(message.History!.ScheduledTicks, message.Sequence).CompareTo(lane.Cursor) >= 0);
        return came;
    }

    /// <summary>Where memory holds too much, the half that is due last is left to the store.</summary>
    public void GiveBackEnd()
    {
        bool isScarce = budget is { IsUsedUp: true };
        long messages = isScarce ? Math.Min(_maxLoadedMessages, MemoryBudget.ScarceMessages) : _maxLoadedMessages;
        long bytes = isScarce ? Math.Min(_maxLoadedBytes, MemoryBudget.ScarceBytes) : _maxLoadedBytes;
        if (_scheduled is null || (_scheduled.Count <= messages && _scheduledBytes <= bytes))
            return;
        while ((_scheduled.Count > messages / 2 || _scheduledBytes > bytes / 2) && _scheduled.Count > 1 && _scheduled.Max is var last && last.CompareTo(_lastTaken) > 0)
        {
            _scheduled.Remove(last);
            QueuedMessage message = Unload(last.Sequence);
            _scheduledBytes -= message.Size;
            ScheduledLane lane = LaneOf(message.Band);
            lane.Cursor = last;
            LeaveInStore(lane, message.Band, new Tally { Messages = 1, Bytes = message.Size });
            // A page that is being read would leave a gap before it.
            _isStale |= _asked?.Band == message.Band;
        }
    }

    /// <summary>What is still counted as only in the store, of a band.</summary>
    public Tally PagedAt(int band) => LaneOf(band).Paged;

    // ---- Removal -----------------------------------------------------------------------------------------------------------

    /// <summary>Takes what is only in the store out of the books: it is being removed. Until <see cref="EndRemoval"/> nothing may be read; what comes meanwhile is counted on its own.</summary>
    public List<ScheduledRange> TakePaged()
    {
        _isStale = true;
        var ranges = new List<ScheduledRange>();
        for (int bands = _pagedBands; bands != 0; bands &= bands - 1)
        {
            int band = BitOperations.TrailingZeroCount(bands);
            ScheduledLane lane = LaneOf(band);
            Tally paged = lane.TakePaged();
            _paged.Remove(paged.Bytes, paged.Messages);
            if (paged.Messages > 0)
                ranges.Add(new ScheduledRange(band, lane.Cursor, _lastPlaced, paged));
        }
        return ranges;
    }

    /// <summary>The removal is through or, where something is left, was refused: that counts as paged again.</summary>
    public void EndRemoval(List<ScheduledRange> ranges)
    {
        foreach (ScheduledRange range in ranges)
            LeaveInStore(LaneOf(range.Band), range.Band, range.Paged);
        for (int bands = _pagedBands; bands != 0; bands &= bands - 1)
        {
            int band = BitOperations.TrailingZeroCount(bands);
            if (LaneOf(band).Paged.Messages == 0)
                MoveCursor(band, null);
        }
    }

    /// <summary>Puts a message back that was not removed after all.</summary>
    public void PutBack(in WaitingMessage waiting)
    {
        QueuedMessage message = waiting.Message;
        var key = new DueKey(waiting.DueTicks, message.Sequence);
        if (IsAsStored(message, waiting.DueTicks) && LaneIfAny(message.Band) is { IsPaged: true } lane && key.CompareTo(lane.Cursor) >= 0)
            LeaveInStore(lane, message.Band, new Tally { Messages = 1, Bytes = message.Size });
        else
            AddRead(waiting);
    }

    // ---- Moves -------------------------------------------------------------------------------------------------------------

    // What has never been tried: its record says all that is known of it.
    private bool IsAsStored(in QueuedMessage message, long dueTicks) =>
        budget is not null && message.History is { FailedAttempts: 0, IsStored: false, IsSuspect: false, Slot: 0 } history && history.ScheduledTicks == dueTicks;

    private void LoadStored(in QueuedMessage message, in DueKey key)
    {
        (_scheduled ??= []).Add(key);
        _scheduledBytes += message.Size;
        Load(message);
    }

    private void Load(in QueuedMessage message)
    {
        _bySequence.Add(message.Sequence, message);
        LoadedSize += message.Size;
    }

    private QueuedMessage Unload(long sequence)
    {
        _bySequence.Remove(sequence, out QueuedMessage message);
        LoadedSize -= message.Size;
        return message;
    }

    private void LeaveInStore(ScheduledLane lane, int band, Tally messages)
    {
        lane.Add(messages);
        _paged.Add(messages.Bytes, messages.Messages);
        _pagedBands |= 1 << band;
    }

    // The page that is being read may have been read before this was written.
    private void NoteArrival(in QueuedMessage message)
    {
        if (_asked?.Band != message.Band || _isStale)
            return;
        (_cameWhileReading ??= []).Add(message);
        _isStale = _cameWhileReading.Count > LoadedMessages;
    }

    private ScheduledLane? LaneIfAny(int band) => _lanes?[band];

    private ScheduledLane LaneOf(int band) => (_lanes ??= new ScheduledLane?[Message.MaxPriority + 1])[band] ??= new ScheduledLane();
}

/// <summary>The order in which scheduled messages are due.</summary>
internal readonly record struct DueKey(long DueTicks, long Sequence) : IComparable<DueKey>
{
    public int CompareTo(DueKey other)
    {
        int order = DueTicks.CompareTo(other.DueTicks);
        return order != 0 ? order : Sequence.CompareTo(other.Sequence);
    }

    public DueKey Next() => Sequence == long.MaxValue ? new DueKey(DueTicks + 1, long.MinValue) : this with { Sequence = Sequence + 1 };
}

/// <summary>A band's scheduled messages: where the part begins that is only in the store, and what is counted there.</summary>
internal sealed class ScheduledLane
{
    /// <summary>The cursor of a lane that is loaded whole.</summary>
    public static readonly DueKey Whole = new(long.MaxValue, long.MaxValue);

    private Tally _paged;

    public DueKey Cursor { get; set; } = Whole;

    public bool IsPaged => Cursor != Whole;

    public Tally Paged => _paged;

    public void Add(Tally messages) => _paged.Add(messages.Bytes, messages.Messages);

    public void Unpage(long bytes) => _paged.Remove(bytes);

    public Tally TakePaged()
    {
        Tally paged = _paged;
        _paged = default;
        return paged;
    }
}

/// <summary>Scheduled messages that should be read.</summary>
/// <param name="Band">Their band, as messages count it: the priority.</param>
/// <param name="From">Where to begin.</param>
/// <param name="IsDue">Whether the first of them may be due.</param>
/// <param name="MaxMessages">At most so many.</param>
/// <param name="MaxBytes">Not many more bytes.</param>
/// <param name="LastPlaced">The last number that is in the books; what has a higher one is on its way into them.</param>
internal sealed record DelayedPage(int Band, DueKey From, bool IsDue, int MaxMessages, long MaxBytes, long LastPlaced);

/// <summary>Scheduled messages that are only in the store, up to the number <paramref name="LastPlaced"/>.</summary>
internal readonly record struct ScheduledRange(int Band, DueKey From, long LastPlaced, Tally Paged);
