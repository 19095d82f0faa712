using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Reads a durable queue's backlog from the store, one page at a time: asked for under the lock, read without it, and put in its place under the lock again.</summary>
internal sealed class LanePages(QueueConductor queue, IMessageStore store) : WorkItem
{
    private readonly StorePage _page = new();
    private readonly List<WaitingMessage> _messages = [];
    // Null where damage stops the queue.
    private readonly UnreadableRecords? _unreadable = queue.Broker.Options.DamagedStore == DamagePolicy.Quarantine ? new(store) : null;
    // Failed attempts at messages that have not been read yet, by number.
    private Dictionary<long, AttemptsRecord> _attempts = [];
    // Messages that consumers had in an earlier life of the store and that have not been read yet, by number.
    private Dictionary<long, WitnessedDelivery> _seen = [];
    private long _doubtfulThrough;
    private LanePage _asked;
    // Set while scheduled messages are asked for, and not a part of a lane.
    private DelayedPage? _askedScheduled;
    private DueKey? _scheduledCursor;
    // What was asked for is being deleted: when it comes it is thrown away.
    private bool _isStale;
    private int _deletions;

    /// <summary>Whether a page is on its way. Guarded by the queue's lock.</summary>
    public bool IsReading { get; private set; }

    /// <summary>Why the backlog cannot be read on; null while it can. Guarded by the queue's lock.</summary>
    public StoreException? Fault { get; private set; }

    /// <summary>How many messages cannot be read and were set aside. Guarded by the queue's lock.</summary>
    public long Unreadable => _unreadable?.Count ?? 0;

    /// <summary>Takes the failed attempts that the store knows of, and what its witness knows of earlier deliveries; while the queue is opened.</summary>
    public void Recover(Dictionary<long, AttemptsRecord> attempts, Dictionary<long, WitnessedDelivery> seen, long doubtfulThrough)
    {
        _attempts = attempts;
        _seen = seen;
        _doubtfulThrough = doubtfulThrough;
    }

    /// <summary>Makes a queued message of a stored one, with its failed attempts.</summary>
    /// <returns>The message, and when it is due; 0 for at once.</returns>
    public WaitingMessage Restore(in StoreRecord record, long now)
    {
        DecodedMessage decoded = MessageRecord.Decode(record);
        bool hasFailed = _attempts.TryGetValue(record.Key.Sequence, out AttemptsRecord attempt);
        bool wasSeen = _seen.TryGetValue(record.Key.Sequence, out WitnessedDelivery seen);
        bool wasDelivered = hasFailed || wasSeen || record.Key.Sequence <= _doubtfulThrough;
        long scheduled = record.Key.Kind == StoreKind.Parked ? record.Key.Order : 0;
        MessageHistory? history = !wasDelivered && scheduled == 0 && decoded.DeadLetter is null ? null : new MessageHistory
        {
            Delivered = wasDelivered,
            IsSuspect = seen.IsSuspect,
            Slot = seen.Slot,
            FailedAttempts = attempt.FailedAttempts,
            Deaths = attempt.Deaths,
            LastError = attempt.LastError,
            IsStored = hasFailed,
            ScheduledTicks = scheduled,
            DeadLetter = decoded.DeadLetter,
        };
        return new WaitingMessage(
            new QueuedMessage(decoded.Message, record.Key.Sequence, queue.Clock.ToMonotonic(decoded.EnqueuedAt, now), history),
            hasFailed ? attempt.DueTicks : scheduled);
    }

    /// <summary>The last move of a lock hold: if there is a page to read, the aftermath gets the reading of it. Nothing is read of a queue that nobody takes from.</summary>
    public void Request(LaneScheduler ready, DelayedMessages delayed, in Moment moment, ref Aftermath aftermath)
    {
        if (IsReading || _deletions > 0 || Fault is not null || queue.Closure is not null || queue.IsStoreStopped)
            return;
        // What is due goes first, what is ready next, and what is to come last.
        DelayedPage? scheduled = delayed.HasPaged ? delayed.NextPage(moment.Utc.UtcTicks, ready) : null;
        if (!(scheduled is { IsDue: true }) && ready.NextPage() is { } page)
            Begin(page);
        else if (scheduled is { } next)
            Begin(next, delayed);
        else
            return;
        aftermath.Wakes.Add(this);
    }

    private void Begin(LanePage page)
    {
        _asked = page;
        _askedScheduled = null;
        IsReading = true;
        _isStale = false;
    }

    private void Begin(DelayedPage page, DelayedMessages delayed)
    {
        _askedScheduled = page;
        IsReading = true;
        _isStale = false;
        delayed.BeginReading(page);
    }

    /// <summary>Reads the first page at once: the victims of a policy that drops the oldest must be at hand. While the queue is opened.</summary>
    public void ReadFirst()
    {
        bool[] begun = [false];
        queue.Step((Pages: this, begun), static (core, x, in _, ref _) =>
        {
            // The dead letters of a queue that was opened before may have asked for it.
            if (x.Pages.IsReading || core.Dispatcher.Ready.NextPage() is not { } page)
                return;
            x.Pages.Begin(page);
            x.begun[0] = true;
        });
        if (begun[0])
            Run();
    }

    /// <summary>What lies only in the store is being deleted: a page that is being read is not what it was, and nothing is read until <see cref="EndDeletion"/>. Under the lock.</summary>
    /// <returns>The numbers of those messages that have failed attempts on record, which go with them.</returns>
    public IReadOnlyCollection<long> BeginDeletion()
    {
        _isStale = true;
        _deletions++;
        return _attempts.Keys;
    }

    /// <summary>It is deleted, and with it what could not be read, or it is not.</summary>
    public void EndDeletion(bool isDeleted, DeliverySlots? slots)
    {
        _deletions--;
        if (!isDeleted)
            return;
        Fault = null;
        foreach (WitnessedDelivery seen in _seen.Values)
            slots?.Free(seen.Slot);
        // Anew and not emptied: a stale page may be being read, off the lock, and looks into these.
        _attempts = [];
        _seen = [];
    }

    protected override void Run()
    {
        _messages.Clear();
        _unreadable?.BeginPage();
        StoreException? fault = null;
        bool hasMore = false;
        try
        {
            hasMore = _askedScheduled is { } scheduled ? ReadScheduled(scheduled) : ReadLane();
        }
        catch (StoreException error)
        {
            fault = error;
        }
#pragma warning disable CA1031 // Not swallowed: whatever a store throws, the queue cannot go on and says so to everybody who waits for a message.
        catch (Exception error)
#pragma warning restore CA1031
        {
            fault = new StoreException(StoreFault.Unreadable, $"The backlog of queue '{queue.Name}' cannot be read, for a reason that the store does not explain ({error.GetType().Name}: {error.Message}).", innerException: error);
        }
        _page.Clear();
        // The next opening repairs it then.
        if (_unreadable is not null && fault is { IsRepairable: true })
            store.Witness?.SetPoison(fault.Message);
        queue.Step((Pages: this, hasMore, fault), static (core, x, in moment, ref aftermath) => x.Pages.Arrive(core, x.hasMore, x.fault, moment, ref aftermath));
    }

    private bool ReadLane()
    {
        byte band = (byte)_asked.Band;
        bool hasMore = Read(StoredMessage.KeyOf(queue.Id, band, 0, _asked.From), StoredMessage.KeyOf(queue.Id, band, 0, _asked.Last).Next(), _asked.MaxMessages, _asked.MaxBytes);
        long now = queue.Clock.Now;
        foreach (StoreRecord record in _page.Records)
            TakeIn(record, now);
        return hasMore;
    }

    private bool Read(in StoreKey from, in StoreKey to, int maxMessages, long maxBytes) => _unreadable is { } unreadable
        ? unreadable.Read(from, to, maxMessages, maxBytes, _page)
        : store.Read(from, to, maxMessages, maxBytes, _page);

    private void TakeIn(in StoreRecord record, long now)
    {
        try
        {
            _messages.Add(Restore(record, now));
        }
        catch (StoreException error) when (_unreadable is not null && error.IsRepairable)
        {
            _unreadable.Note(record.Key, error);
        }
    }

    private bool ReadScheduled(DelayedPage asked)
    {
        _scheduledCursor = asked.From;
        (StoreKey from, StoreKey to) = StoredMessage.ScheduledRange(queue.Id, (byte)asked.Band, asked.From);
        bool hasMore = Read(from, to, asked.MaxMessages, asked.MaxBytes);
        long now = queue.Clock.Now;
        foreach (StoreRecord record in _page.Records)
        {
            // What was written a moment ago is on its way into the books.
            if (record.Key.Sequence <= asked.LastPlaced)
                TakeIn(record, now);
            _scheduledCursor = new DueKey(record.Key.Order, record.Key.Sequence).Next();
        }
        if (!hasMore)
            _scheduledCursor = null;
        else if (_unreadable?.LookedUpTo is { } place)
            _scheduledCursor = new DueKey(place.Order, place.Sequence);
        return hasMore;
    }

    // Under the lock.
    private void Arrive(QueueCore core, bool hasMore, StoreException? fault, in Moment moment, ref Aftermath aftermath)
    {
        IsReading = false;
        DueKey upTo = ScheduledLane.Whole;
        bool isCurrent = _askedScheduled is null || core.Delayed.EndReading(out upTo);
        if (_isStale || !isCurrent || queue.Closure is not null)
            return;
        foreach (WaitingMessage waiting in _messages)
        {
            if (_askedScheduled is not null && new DueKey(waiting.Message.History!.ScheduledTicks, waiting.Message.Sequence).CompareTo(upTo) >= 0)
                break;
            _attempts.Remove(waiting.Message.Sequence);
            _seen.Remove(waiting.Message.Sequence);
            if (_askedScheduled is { } scheduled)
                core.LoadScheduled(scheduled.Band, waiting, moment, ref aftermath);
            else
                core.Load(_asked.Band, waiting, moment, ref aftermath);
        }
        SetAside();
        Tally missing = _askedScheduled is { } asked ? ArriveScheduled(core, asked, moment, ref aftermath) : ArriveLane(core, hasMore || fault is not null);
        if (fault is null && missing.Messages != 0 && !IsSetAside(missing))
            fault = Missing(missing);
        _messages.Clear();
        if (fault is not null)
            Fail(core, fault, moment, ref aftermath);
    }

    // What the store was to have and does not.
    private Tally ArriveLane(QueueCore core, bool hasMore)
    {
        long cursor = !hasMore ? _asked.Last + 1 : _messages.Count == 0 ? _asked.From : _messages[^1].Message.Sequence + 1;
        // Behind what was passed over, so that it is not come upon again and again.
        cursor = Math.Max(cursor, _unreadable?.LookedUpTo?.Sequence ?? 0);
        Tally left = core.Dispatcher.Ready.MoveCursor(_asked.Band, cursor);
        return core.Dispatcher.Ready.IsPagedAt(_asked.Band) ? default : left;
    }

    private Tally ArriveScheduled(QueueCore core, DelayedPage asked, in Moment moment, ref Aftermath aftermath)
    {
        foreach (QueuedMessage message in core.Delayed.MoveCursor(asked.Band, _scheduledCursor))
            core.LoadScheduled(asked.Band, new WaitingMessage(message, message.History!.ScheduledTicks), moment, ref aftermath);
        Tally left = !core.Delayed.IsPagedAt(asked.Band) ? core.Delayed.PagedAt(asked.Band) : default;
        core.Delayed.GiveBackEnd();
        return left;
    }

    private void SetAside()
    {
        foreach ((StoreKey key, string why) in _unreadable?.Take() ?? [])
            queue.Log.MessageUnreadable(queue.Name, key.Sequence, why);
    }

    // Whether what is missing is what was set aside, or nobody wants to stop for it. What is there and should not be is another matter.
    private bool IsSetAside(Tally missing)
    {
        if (_unreadable is null || missing.Messages < 0)
            return false;
        (StoreKind kind, int band) = _askedScheduled is { } scheduled ? (StoreKind.Parked, scheduled.Band) : (StoreKind.Message, _asked.Band);
        long vanished = _unreadable.Settle(kind, StoredMessage.KeyOf(queue.Id, (byte)band, 0, 0).Band, missing.Messages);
        if (vanished > 0)
            queue.Log.MessagesMissing(queue.Name, vanished);
        return true;
    }

    private StoreException Missing(Tally missing) => new(StoreFault.Unreadable, missing.Messages > 0
        ? $"{missing.Messages:N0} messages of queue '{queue.Name}' that its commits speak of are not in the store: confirmed messages are lost. Restore the store from a backup, or repair it."
        : $"The store holds {-missing.Messages:N0} messages of queue '{queue.Name}' that its commits do not speak of. Restore the store from a backup, or repair it.");

    // What is loaded is still delivered; who waits for more is told.
    private void Fail(QueueCore core, StoreException fault, in Moment moment, ref Aftermath aftermath)
    {
        Fault = fault;
        core.Dispatcher.Serve(moment, ref aftermath);
        queue.Log.BacklogUnreadable(queue.Name, fault.Message);
        core.EndWaits(null, _ => fault, ref aftermath);
    }
}
