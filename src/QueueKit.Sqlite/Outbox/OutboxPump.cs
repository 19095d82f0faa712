using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>Finds what was appended, has it moved, and deletes what is moved. A round at a time, each short and started by something that has happened: idle, there is no timer and no thread.</summary>
internal sealed class OutboxPump : IAsyncDisposable
{
    // What the broker deletes by itself: when nobody has appended for a while, so much at once, and then nothing for a moment.
    private static readonly TimeSpan s_quiet = TimeSpan.FromMilliseconds(200), s_pauseBetweenSlices = TimeSpan.FromMilliseconds(10), s_longestPause = TimeSpan.FromSeconds(2);
    private const int SliceRows = 100;
    // What a close still deletes: the rest is found moved at the next opening.
    private const int SlicesAtClose = 20;
    private const int MostIdleLanes = 1000;

    private readonly Lock _gate = new();
    private readonly Dictionary<string, OutboxLane> _lanes = new(StringComparer.Ordinal);
    private readonly TimeProvider _time;
    private readonly ITimer _timer;
    private readonly CancellationTokenSource _closing = new();
    private readonly MovedRows _moved = new();
    private OutboxLane? _nameless;
    private TaskCompletionSource? _changed;
    private int _isDue;
    private bool _isStarted;
    private bool _isDisposed;
    private long _fileMark;
    private long _lastSeen;
    private bool _mustLook = true;
    private long _sweepAt;
    private TimeSpan _sweepPause = s_pauseBetweenSlices;
    private TimeSpan _errorPause = s_pauseBetweenSlices;
    // Rows that transactions which have ended had deleted, if they were committed.
    private readonly List<long> _unverified = [];
    private Exception? _error;
    private StoreException? _stopped;
    private long _movedCount;
    private long _setAsideCount;

    public OutboxPump(OutboxFile file, MessageBroker broker, TimeProvider time, OutboxLog log)
    {
        File = file;
        Broker = broker;
        Log = log;
        _time = time;
        Appends = new OpenAppends(time);
        // Whoever opens the broker has nothing to do with what the timer starts.
        using (ExecutionContext.SuppressFlow())
            _timer = time.CreateTimer(static self => ((OutboxPump)self!).Signal(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public OutboxFile File { get; }

    public MessageBroker Broker { get; }

    public OutboxLog Log { get; }

    public OpenAppends Appends { get; }

    /// <summary>The highest row that was ever found.</summary>
    public long LastSeen => Volatile.Read(ref _lastSeen);

    /// <summary>Notes that a lane has written how far the file has been seen; false if another had written more before, which is to be written again.</summary>
    public bool NoteFileMark(long seen)
    {
        long highest = Volatile.Read(ref _fileMark);
        while (highest < seen)
        {
            long before = Interlocked.CompareExchange(ref _fileMark, seen, highest);
            if (before == highest)
                return true;
            highest = before;
        }
        return highest == seen;
    }

    /// <summary>Rows for an append to delete.</summary>
    public long[] TakeMoved() => _moved.Take(OutboxAppender.MovedPerAppend);

    /// <summary>What an append has not deleted after all.</summary>
    public void GiveBack(long[] moved) => _moved.Add(moved);

    /// <summary>Moves what is there, as far as it has room, before anybody else has the broker.</summary>
    /// <exception cref="StoreException">The outbox does not fit what the broker's store knows of it, or cannot be read; or the store failed.</exception>
    public async Task OpenAsync(CancellationToken ct)
    {
        OutboxLane[] lanes = FindLeftovers();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, _closing.Token);
        await Task.WhenAll(lanes.Select(lane => lane.MoveAsync(mayWait: false, either.Token))).ConfigureAwait(false);
        ct.ThrowIfCancellationRequested();
        if (Volatile.Read(ref _stopped) is { } stopped)
            throw stopped;
        Log.Opened(File.Path, Interlocked.Read(ref _movedCount), lanes.Count(static lane => lane.HasRows));
        lock (_gate)
            _isStarted = true;
        Signal();
    }

    /// <summary>Something has happened: starts a round, on another thread.</summary>
    public void Signal()
    {
        if (Interlocked.Exchange(ref _isDue, 1) == 0)
            ThreadPool.UnsafeQueueUserWorkItem(static self => self.Round(), this, preferLocal: false);
    }

    /// <summary>Looks now, whatever the clock says, and waits until everything that is there is in its queue, set aside, or waits for a queue to be declared.</summary>
    public async Task DrainAsync(CancellationToken ct)
    {
        lock (_gate)
        {
            _mustLook = true;
            foreach (OutboxLane lane in Lanes)
                lane.RetryAt = 0;
        }
        await Task.Run(Round, ct).ConfigureAwait(false);
        while (true)
        {
            Task changed;
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_isDisposed, typeof(SqliteOutbox));
                if (_stopped is { } stopped)
                    throw new StoreException(stopped.Fault, stopped.Message, stopped.Path, stopped);
                if (_error is { } error)
                    throw OutboxErrors.Unreadable(File.Path, error);
                if (Lanes.All(static lane => lane.Moving.IsCompleted && (!lane.HasRows || lane.NeedsQueue)))
                    return;
                changed = (_changed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }
            await changed.WaitAsync(ct).ConfigureAwait(false);
        }
    }

    public SqliteOutboxSnapshot GetSnapshot()
    {
        lock (_gate)
        {
            return new SqliteOutboxSnapshot
            {
                Moved = Interlocked.Read(ref _movedCount),
                SetAside = Interlocked.Read(ref _setAsideCount),
                Undeleted = _moved.Count,
                Held = [.. from lane in Lanes where lane.HasRows && lane.HeldBecause is not null select new HeldRows(lane.Queue, lane.HeldBecause!)],
                Error = _stopped?.Message ?? _error?.Message,
            };
        }
    }

    /// <summary>A lane's rows are in their queue.</summary>
    public void Moved(List<OutboxRow> rows)
    {
        Interlocked.Add(ref _movedCount, rows.Count);
        _moved.Add(rows.Select(static row => row.Id));
    }

    /// <summary>A row is in the table for those that cannot be messages.</summary>
    public void SetAside(string? queue, in OutboxRow row)
    {
        Interlocked.Increment(ref _setAsideCount);
        Log.SetAside(File.Path, row.Id, queue, row.Unreadable!);
    }

    /// <summary>The broker's store has stopped: what it holds is unknown, and the next opening finds out.</summary>
    public void StopForGood(StoreException reason)
    {
        if (Interlocked.CompareExchange(ref _stopped, reason, null) is null)
            Log.StoreStopped(File.Path, reason.Message);
    }

    public long TimestampAfter(TimeSpan time) => _time.GetTimestamp() + (long)(time.TotalSeconds * _time.TimestampFrequency);

    /// <summary>What is under way and needs nobody is finished; what waits stays in the outbox.</summary>
    public async ValueTask DisposeAsync()
    {
        Task[] moving;
        lock (_gate)
        {
            if (_isDisposed)
                return;
            _isDisposed = true;
            moving = [.. Lanes.Select(static lane => lane.Moving)];
            Changed();
        }
        await _closing.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(moving).ConfigureAwait(false);
        await _timer.DisposeAsync().ConfigureAwait(false);
        await Task.Run(DeleteAtClose).ConfigureAwait(false);
        File.Dispose();
        _closing.Dispose();
    }

    private IEnumerable<OutboxLane> Lanes => _nameless is null ? _lanes.Values : _lanes.Values.Append(_nameless);

    // What an earlier life has left: its rows, moved or not.
    private OutboxLane[] FindLeftovers()
    {
        lock (_gate)
        {
            long last = File.LastRow, moved = Broker.FindWatermark(File.Id) ?? 0;
            var leftovers = new List<long>();
            foreach ((string? queue, long first, long to) in File.Look(0))
            {
                OutboxLane lane = AddLane(queue, out long mark);
                moved = Math.Max(moved, mark);
                lane.Last = to;
                _lastSeen = Math.Max(_lastSeen, to);
                if (first <= mark)
                    leftovers.AddRange(File.ReadIds(queue, first, Math.Min(mark, to)));
            }
            bool hasGoneBack = last < moved;
            // Nothing is deleted that is not known to be what was moved.
            if (hasGoneBack && leftovers.Count > 0)
                throw OutboxErrors.GoneBack(File.Path, last, moved, leftovers.Count);
            _moved.Add(leftovers);
            if (hasGoneBack)
            {
                File.SkipTo(moved);
                Log.WentBack(File.Path, moved + 1);
            }
            _lastSeen = Math.Max(_lastSeen, Math.Max(last, moved));
            return [.. Lanes];
        }
    }

    private OutboxLane AddLane(string? queue, out long mark)
    {
        mark = queue is null ? 0 : Broker.FindWatermark(OutboxLane.MarkOf(File.Id, queue)) ?? 0;
        return AddLane(queue, mark);
    }

    private OutboxLane AddLane(string? queue, long moved)
    {
        var lane = new OutboxLane(this, queue, moved);
        if (queue is null)
            _nameless = lane;
        else
            _lanes.Add(queue, lane);
        return lane;
    }

    private void Round()
    {
        Exception? trouble = null;
        lock (_gate)
        {
            Volatile.Write(ref _isDue, 0);
            if (_isStarted && !_isDisposed && _stopped is null)
                trouble = TryRound();
            Changed();
        }
        if (trouble is not null)
            Log.Unreadable(File.Path, trouble.Message);
    }

    // What is in the way, the first time that it is.
    private Exception? TryRound()
    {
        bool isNew = _error is null;
        try
        {
            // First who has ended: what they have committed, the look then sees.
            List<long> deleted = Appends.TakeEnded();
            _unverified.AddRange(deleted);
            Look();
            _moved.Add(File.StillThere(_unverified));
            _unverified.Clear();
            StartLanes();
            Sweep();
            _error = null;
            _errorPause = s_pauseBetweenSlices;
        }
        catch (ObjectDisposedException)
        {
            // The broker closes: this outbox is about to be told.
            return null;
        }
#pragma warning disable CA1031 // Not swallowed: it is logged and in the snapshot, and the round is tried again.
        catch (Exception error)
#pragma warning restore CA1031
        {
            _error = error;
            _mustLook = true;
            _errorPause = Longer(_errorPause);
        }
        Arm();
        return isNew ? _error : null;
    }

    private void Look()
    {
        _mustLook |= File.HasChanged();
        if (!_mustLook)
            return;
        foreach ((string? queue, long first, long last) in File.Look(_lastSeen))
        {
            OutboxLane? lane = queue is null ? _nameless : _lanes.GetValueOrDefault(queue);
            // What came before has been moved, or the lane would be known.
            lane ??= AddLane(queue, first - 1);
            lane.Last = last;
            Volatile.Write(ref _lastSeen, Math.Max(_lastSeen, last));
        }
        _mustLook = false;
        if (_lanes.Count <= MostIdleLanes)
            return;
        foreach (OutboxLane idle in _lanes.Values.Where(static lane => !lane.HasRows && lane.Moving.IsCompleted).ToArray())
            _lanes.Remove(idle.Queue!);
    }

    private void StartLanes()
    {
        long now = _time.GetTimestamp();
        foreach (OutboxLane lane in Lanes)
        {
            if (!lane.HasRows || !lane.Moving.IsCompleted || lane.RetryAt > now || (lane.NeedsQueue && !lane.HasQueue))
                continue;
            using (ExecutionContext.SuppressFlow())
                lane.Moving = Task.Run(() => lane.MoveAsync(mayWait: true, _closing.Token));
            // More may have come at the last moment; and somebody may wait for the end.
            lane.Moving.ContinueWith(static (_, self) => ((OutboxPump)self!).Signal(), this, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        }
    }

    private void Sweep()
    {
        if (_moved.Count == 0)
        {
            _sweepAt = 0;
            return;
        }
        if (Appends.NextLook is not null || _sweepAt == 0)
        {
            _sweepAt = TimestampAfter(s_quiet);
            return;
        }
        if (_time.GetTimestamp() < _sweepAt)
            return;
        _sweepPause = TryDeleteSlice() ? s_pauseBetweenSlices : Longer(_sweepPause);
        _sweepAt = TimestampAfter(_sweepPause);
    }

    private bool TryDeleteSlice()
    {
        long[] slice = _moved.Take(SliceRows);
        bool isDeleted = false;
        try
        {
            return isDeleted = File.TryDelete(slice);
        }
        finally
        {
            if (!isDeleted)
                _moved.Add(slice);
        }
    }

    private void DeleteAtClose()
    {
        try
        {
            _moved.Add(File.StillThere(Appends.TakeEnded()));
            for (int i = 0; i < SlicesAtClose && _moved.Count > 0 && TryDeleteSlice(); i++) { }
        }
        catch (SqliteError error)
        {
            Log.Unreadable(File.Path, error.Message);
        }
    }

    // The next round by the clock, if one is needed.
    private void Arm()
    {
        long now = _time.GetTimestamp(), due = long.MaxValue;
        if (_error is not null)
            due = TimestampAfter(_errorPause);
        if (Appends.NextLook is { } look)
            due = Math.Min(due, TimestampAfter(look));
        if (_moved.Count > 0)
            due = Math.Min(due, _sweepAt);
        foreach (OutboxLane lane in Lanes)
        {
            if (lane.HasRows && lane.Moving.IsCompleted && !lane.NeedsQueue)
                due = Math.Min(due, lane.RetryAt);
        }
        if (due == long.MaxValue)
            _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        else
            _timer.Change(TimeSpan.FromMilliseconds(Math.Ceiling(Math.Max(0, _time.GetElapsedTime(now, due).TotalMilliseconds))), Timeout.InfiniteTimeSpan);
    }

    private void Changed()
    {
        _changed?.TrySetResult();
        _changed = null;
    }

    private static TimeSpan Longer(TimeSpan pause) => pause * 2 < s_longestPause ? pause * 2 : s_longestPause;
}
