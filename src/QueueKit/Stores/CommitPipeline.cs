using System.Runtime.InteropServices;
using QueueKit.Diagnostics;
using QueueKit.Scheduling;

namespace QueueKit.Stores;

/// <summary>Group commit: while one commit is being flushed, everything that arrives gathers into the next. No timers, no tuning: large batches under load, small ones when idle.</summary>
/// <remarks>
/// One loop at a time seals a batch, commits it and applies it, in the order of arrival: on a thread of its own where the store blocks,
/// otherwise as a work item, so that a simulation can run everything on one thread.
/// A commit has three outcomes: committed; refused, and then each work of the batch is tried alone, so that one bad message never hurts its neighbours;
/// unknown: the store is dead from now on, nothing is retried, and everything that waits or comes later is told so.
/// </remarks>
internal sealed class CommitPipeline : IAsyncDisposable
{
    // Where a batch is cut: enough to make the price of a flush vanish, little enough to bound the wait of the first in it.
    private const int MaxBatchWorks = 8192;
    private const long MaxBatchBytes = 16 * 1024 * 1024;
    private const long NoCommit = long.MinValue;

    private readonly IMessageStore _store;
    private readonly Witness? _witness;
    private readonly WorkScheduler _scheduler;
    private readonly StoreBatch _batch = new();
    // What was taken in last, oldest first; the batch is the part from _first to _sealed, and what lies behind it waits for the next. The loop's own.
    private readonly List<CommitWork> _arrived = [];
    private int _first;
    private int _sealed;
    private FlushLevel _level;
    // Whoever waits for what has been applied.
    private WakeList _wakes;
    private readonly LoopItem _loop;
    private readonly Thread? _thread;
    private readonly ManualResetEventSlim? _signal;
    private readonly TaskCompletionSource _stopped = new();
    private readonly TaskCompletionSource _faulted = new();

    // Works in reverse order of arrival. Pushed from under the locks of queues, so it must not take one itself.
    private CommitWork? _intake;
    private int _running;
    private volatile bool _closing;
    private volatile bool _hasEnded;
    private StoreException? _fault;
    private long _sequence;
    private readonly CommitRecords _records;
    private readonly BrokerTelemetry? _telemetry;
    private readonly BrokerClock? _clock;
    private long _commitBeganAt = NoCommit;

    /// <param name="store">The store, which the pipeline now owns.</param>
    /// <param name="scheduler">Where the loop runs if the store does not block.</param>
    /// <param name="records">What the store has of its commits; the pipeline keeps it from now on.</param>
    /// <param name="telemetry">Who measures commits; null for nobody.</param>
    /// <param name="clock">Tells how long a commit has been under way; null if nobody will ask.</param>
    public CommitPipeline(IMessageStore store, WorkScheduler scheduler, CommitRecords records, BrokerTelemetry? telemetry = null, BrokerClock? clock = null)
    {
        _telemetry = telemetry;
        _clock = clock;
        _records = records;
        _store = store;
        _witness = store.Witness;
        _scheduler = scheduler;
        _loop = new LoopItem(this);
        _sequence = records.Last.LastSequence;
        if (!store.CommitBlocks)
            return;
        _signal = new ManualResetEventSlim();
        _thread = new Thread(RunThread) { IsBackground = true, Name = "QueueKit commit" };
        _thread.UnsafeStart();
    }

    /// <summary>The number of the last commit.</summary>
    public long CommitNumber => _records.Last.Number;

    /// <summary>How many works were committed: with <see cref="CommitNumber"/>, the mean batch.</summary>
    public long CommittedWorks { get; private set; }

    /// <summary>For how long the store has been at the commit that is under way; null if none is. Safe for any thread.</summary>
    public TimeSpan? RunningCommitAge =>
        Volatile.Read(ref _commitBeganAt) is var beganAt && beganAt == NoCommit ? null : new TimeSpan(Math.Max(0, _clock!.Now - beganAt));

    /// <summary>Why the store has stopped; null while it works.</summary>
    public StoreException? Fault => Volatile.Read(ref _fault);

    /// <summary>Completes, without fault, when the store has stopped: in the loop, so it is awaited with <see cref="CountedAwait"/>.</summary>
    public Task Faulted => _faulted.Task;

    public int MaxRecordBytes => _store.MaxRecordBytes;

    public IMessageStore Store => _store;

    public Witness? Witness => _witness;

    /// <summary>Adds a work behind all others. Safe for any thread and under any lock: neither blocks nor calls back.</summary>
    public void Enqueue(CommitWork work)
    {
        CommitWork? top = Volatile.Read(ref _intake);
        while (true)
        {
            work.NextInPipeline = top;
            CommitWork? seen = Interlocked.CompareExchange(ref _intake, work, top);
            if (ReferenceEquals(seen, top))
                break;
            top = seen;
        }
        if (_thread is not null && !_hasEnded)
            _signal!.Set();
        else if (Volatile.Read(ref _running) == 0 && Interlocked.Exchange(ref _running, 1) == 0)
            _scheduler.Schedule(_loop);
    }

    /// <summary>Commits what has arrived, then closes the store. What is added later fails.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopAsync().AsTask().CountedOn(_scheduler);
        if (!_faulted.Task.IsCompleted)
            _witness?.ComeToRest();
        await _store.DisposeAsync().ConfigureAwait(false);
    }

    /// <summary>Commits what has arrived, and leaves the store to the caller.</summary>
    public async ValueTask StopAsync()
    {
        _closing = true;
        if (_thread is not null)
            _signal!.Set();
        else if (Interlocked.Exchange(ref _running, 1) == 0)
            _scheduler.Schedule(_loop);
        await _stopped.Task.CountedOn(_scheduler);
        _signal?.Dispose();
    }

    // The loop as a work item: it ends when it finds nothing, and whoever adds the next work starts it again.
    private void RunItem()
    {
        while (true)
        {
            // Asked before the last look at the intake: what arrived before the closing is seen by that look.
            bool closing = _closing;
            if (Gather())
            {
                CommitGathered();
                // On in the midst of the completions: what the first half of them sends next is one batch, and is committed while the second half runs.
                _wakes.ScheduleOn(_scheduler, between: _loop);
                return;
            }
            if (closing)
                End();
            Volatile.Write(ref _running, 0);
            // A work may have come between the last look and the line above; whoever sets the flag first runs it.
            Interlocked.MemoryBarrier();
            if ((Volatile.Read(ref _intake) is null && (!_closing || _hasEnded)) || Interlocked.Exchange(ref _running, 1) != 0)
                return;
        }
    }

    private void RunThread()
    {
        while (true)
        {
            // Asked before the last look at the intake: what arrived before the closing is seen by that look.
            bool closing = _closing;
            while (Gather())
            {
                CommitGathered();
                _wakes.ScheduleOn(_scheduler);
            }
            if (closing)
            {
                End();
                // What came too late for this thread is told so by the loop as a work item.
                Interlocked.MemoryBarrier();
                if (Volatile.Read(ref _intake) is not null && Interlocked.Exchange(ref _running, 1) == 0)
                    _scheduler.Schedule(_loop);
                return;
            }
            _signal!.Wait();
            _signal.Reset();
        }
    }

    // Everything is committed. What is added from now on is told that the store has stopped, so that nobody waits for an answer for ever.
    private void End()
    {
        if (_fault is null)
            Volatile.Write(ref _fault, new StoreException(StoreFault.Stopped, "The broker is closed; nothing was done. Open it again."));
        _hasEnded = true;
        _stopped.TrySetResult();
    }

    // Seals the next batch: the works that have arrived, oldest first, up to the limits; false if none has.
    private bool Gather()
    {
        bool hasMore = _sealed < _arrived.Count || TakeIntake();
        // Also before a rest: idle, it would keep the bodies of the last batch alive.
        _batch.Clear();
        if (!hasMore)
            return false;
        _first = _sealed;
        _level = FlushLevel.Written;
        ReadOnlySpan<CommitWork> arrived = CollectionsMarshal.AsSpan(_arrived);
        int end = Math.Min(arrived.Length, _first + MaxBatchWorks);
        for (; _sealed < end && _batch.Bytes < MaxBatchBytes; _sealed++)
        {
            CommitWork work = arrived[_sealed];
            if (work.Level > _level)
                _level = work.Level;
            if (_fault is null)
                work.WriteTo(_batch, ref _sequence);
        }
        return true;
    }

    private bool TakeIntake()
    {
        _arrived.Clear();
        _sealed = 0;
        CommitWork? newest = Volatile.Read(ref _intake) is null ? null : Interlocked.Exchange(ref _intake, null);
        while (newest is not null)
        {
            _arrived.Add(newest);
            CommitWork? older = newest.NextInPipeline;
            newest.NextInPipeline = null;
            newest = older;
        }
        _arrived.Reverse();
        return _arrived.Count > 0;
    }

    private void CommitGathered()
    {
        ReadOnlySpan<CommitWork> works = CollectionsMarshal.AsSpan(_arrived)[_first.._sealed];
        if (_fault is { } fault)
        {
            Stopped(fault, works);
            return;
        }
        switch (TryCommit(_level, works.Length, out StoreException? reason))
        {
            case CommitOutcome.Committed:
                Apply(works);
                break;
            case CommitOutcome.Refused when works.Length == 1:
                works[0].Refused(reason!);
                break;
            case CommitOutcome.Refused:
                CommitInParts(works);
                break;
            default:
                Fail(reason!, works, untried: []);
                break;
        }
    }

    // Somebody in the batch is to blame, or there is no room for more: what only deletes goes first, in one commit, and the rest in halves, until those who are refused stand alone.
    // One by one, a batch of acks would cost a flush each just when the store has to be emptied.
    private void CommitInParts(ReadOnlySpan<CommitWork> works)
    {
        CommitWork[] ordered = [.. works];
        int deleting = 0;
        for (int i = 0; i < works.Length; i++)
        {
            if (works[i].OnlyDeletes)
                ordered[deleting++] = works[i];
        }
        for (int i = 0, next = deleting; i < works.Length; i++)
        {
            if (!works[i].OnlyDeletes)
                ordered[next++] = works[i];
        }
        var parts = new Stack<Range>();
        Split(0, deleting == 0 || deleting == ordered.Length ? ordered.Length / 2 : deleting, ordered.Length);
        while (parts.TryPop(out Range part))
        {
            ReadOnlySpan<CommitWork> tried = ordered.AsSpan(part);
            FlushLevel level = FlushLevel.Written;
            _batch.Clear();
            foreach (CommitWork work in tried)
            {
                if (work.Level > level)
                    level = work.Level;
                work.WriteTo(_batch, ref _sequence);
            }
            switch (TryCommit(level, tried.Length, out StoreException? reason))
            {
                case CommitOutcome.Committed:
                    Apply(tried);
                    break;
                case CommitOutcome.Refused when tried.Length == 1:
                    tried[0].Refused(reason!);
                    break;
                case CommitOutcome.Refused:
                    Split(part.Start.Value, (part.Start.Value + part.End.Value) / 2, part.End.Value);
                    break;
                default:
                    Fail(reason!, tried, ordered.AsSpan(part.End.Value));
                    return;
            }
        }

        void Split(int from, int middle, int to)
        {
            parts.Push(middle..to);
            parts.Push(from..middle);
        }
    }

    private CommitOutcome TryCommit(FlushLevel level, int works, out StoreException? reason)
    {
        if (_telemetry?.CommitBegins() is not { } began)
            return TryCommit(level, out reason);
        CommitOutcome outcome = TryCommit(level, out reason);
        _telemetry.CommitEnded(began, works, reason);
        return outcome;
    }

    private CommitOutcome TryCommit(FlushLevel level, out StoreException? reason)
    {
        CommitRecord record = _records.AddTo(_batch, _sequence);
        if (_clock is not null)
            Volatile.Write(ref _commitBeganAt, _clock.Now);
        try
        {
            _store.Commit(_batch, level);
        }
        catch (StoreException error) when (error.Fault == StoreFault.Refused)
        {
            reason = error;
            return CommitOutcome.Refused;
        }
        catch (StoreException error)
        {
            reason = error;
            return CommitOutcome.Unknown;
        }
#pragma warning disable CA1031 // Not swallowed: whatever a store throws, the outcome of the commit is unknown, and everybody concerned is told.
        catch (Exception error)
#pragma warning restore CA1031
        {
            reason = new StoreException(StoreFault.Failed, $"The store failed in a way it does not explain ({error.GetType().Name}: {error.Message}). Whether the commit was written is unknown; open the broker again to find out.", innerException: error);
            return CommitOutcome.Unknown;
        }
        finally
        {
            Volatile.Write(ref _commitBeganAt, NoCommit);
        }
        _records.Committed(record, _batch);
        // Before anybody hears of it: what was confirmed is known to have been.
        _witness?.Committed(CommitNumber, level);
        reason = null;
        return CommitOutcome.Committed;
    }

    private void Apply(ReadOnlySpan<CommitWork> works)
    {
        CommittedWorks += works.Length;
        while (!works.IsEmpty)
        {
            ICommitTarget target = works[0].Target;
            int length = 1;
            while (length < works.Length && ReferenceEquals(works[length].Target, target))
                length++;
            target.Committed(works[..length], ref _wakes);
            works = works[length..];
        }
    }

    // The fault is there before anybody hears of it: whoever is told must not go on with a store that looks alive.
    private void Fail(StoreException reason, ReadOnlySpan<CommitWork> tried, ReadOnlySpan<CommitWork> untried)
    {
        var fault = new StoreException(StoreFault.Stopped, $"The store has stopped: {reason.Message} Close the broker and open it again.", reason.Path, reason);
        Volatile.Write(ref _fault, fault);
        // A store that says that nothing was tried has said before why, or was taken away.
        if (reason.Fault != StoreFault.Stopped)
            _witness?.SetPoison(reason.Message);
        foreach (CommitWork work in tried)
            work.Failed(reason.Fault is StoreFault.Failed or StoreFault.Stopped ? reason : new StoreException(StoreFault.Failed, reason.Message, reason.Path, reason));
        Stopped(fault, untried);
        _faulted.TrySetResult();
    }

    private static void Stopped(StoreException fault, ReadOnlySpan<CommitWork> works)
    {
        foreach (CommitWork work in works)
            work.Failed(fault);
    }

    private enum CommitOutcome
    {
        Unknown = 0,
        Refused,
        Committed,
    }

    private sealed class LoopItem(CommitPipeline pipeline) : WorkItem
    {
        protected override void Run() => pipeline.RunItem();
    }
}
