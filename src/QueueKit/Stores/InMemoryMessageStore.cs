using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Stores;

/// <summary>A store whose disk is this object: durable queues for tests, samples and trials.</summary>
/// <remarks>
/// The messages live as long as the instance. A broker that is opened with it later finds what an earlier one left, as it would on a disk;
/// one broker at a time. A process that ends takes everything with it.
/// </remarks>
/// <example><code>
/// var store = new InMemoryMessageStore();
/// await using (var broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store })) { ... }
/// await using (var broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store })) { ... } // the messages are still there
/// </code></example>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A session is its broker's; here it is only known.")]
public sealed class InMemoryMessageStore : IMessageStoreProvider
{
    // What a power cut would take with it: the way back from every operation since the last flush, oldest first.
    private readonly record struct UndoStep(StoreKey Key, bool Existed, ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> Body);

    private const int MaxRecordBytes = 1 << 30;

    private readonly Lock _gate = new();
    private readonly SortedRecords _records = new();
    private readonly List<UndoStep> _undo = [];
    private readonly StorePage _rangeBeforeDelete = new();
    private readonly CommitFaults _faults = new();
    private Session? _session;
    private bool _hasCommits;

    /// <inheritdoc/>
    public string Description => "in memory";

    /// <summary>Whether the store remembers what was written but not flushed, so that <see cref="CrashLosingUnflushed"/> can take it away.</summary>
    /// <remarks>Not the default: a broker that never flushes would keep every message it ever deleted.</remarks>
    internal bool TracksFlushes { get; init; }

    /// <summary>Whether sessions say that their commits block, which makes a broker commit on a thread of its own. They say so anyway while a stall is armed.</summary>
    internal bool CommitBlocks { get; init; }

    /// <summary>Where the store would lie if it were on a disk: its sessions keep a witness beside it. Null for none.</summary>
    internal string? WitnessedAt { get; set; }

    /// <summary>The clock of the witness.</summary>
    internal TimeProvider TimeProvider { get; init; } = TimeProvider.System;

    /// <summary>Which run of the machine it is: another one after a power cut.</summary>
    internal Guid Boot { get; set; } = Guid.NewGuid();

    /// <summary>Told of the witness of each session before anything is done with it.</summary>
    internal Action<Witness>? Witnessed { get; set; }

    /// <inheritdoc/>
    ValueTask<IMessageStore> IMessageStoreProvider.OpenAsync(CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<IMessageStore>(ct);
        lock (_gate)
        {
            if (_session is not null)
            {
                throw new StoreException(
                    StoreFault.InUse,
                    "The in-memory store is open in another broker. Dispose that broker first, or give each broker an InMemoryMessageStore of its own.");
            }
            Witness? witness = WitnessedAt is null ? null : Witness.Open(WitnessedAt, storeExists: _hasCommits, forRepair: false, TimeProvider, Boot);
            _session = new Session(this, witness);
            if (witness is not null)
                Witnessed?.Invoke(witness);
            return new(_session);
        }
    }

    /// <summary>Refuses the next <paramref name="count"/> commits, or the next that <paramref name="when"/> says yes to: nothing is written and the store goes on.</summary>
    /// <param name="count">How many; 0 to refuse no more.</param>
    /// <param name="when">Which; it is asked on the committing thread. Null for any.</param>
    internal void RefuseCommits(int count = 1, Predicate<StoreBatch>? when = null) => _faults.Refuse(count, when);

    /// <summary>Makes the next commit fail: its outcome is unknown to the caller, and the session is dead.</summary>
    /// <param name="written">Whether it is written all the same. It is not flushed then, whatever its level.</param>
    internal void FailNextCommit(bool written) => _faults.FailNext(written);

    /// <summary>Makes commits wait, before they write anything, until <see cref="CommitStall.Release"/>.</summary>
    /// <remarks>To go on by one commit: arm the next stall, release this one, await that <see cref="CommitStall.Entered"/>.</remarks>
    internal CommitStall StallCommits() => _faults.Stall();

    /// <summary>The process ends here: whatever the open session is asked from now on fails as <see cref="StoreFault.Stopped"/>, and what was committed stays.</summary>
    /// <remarks>A stalled commit fails too and has written nothing.</remarks>
    internal void Crash() => Crash(losesUnflushed: false);

    /// <summary>The power fails here: as <see cref="Crash()"/>, and everything committed after the last flushed commit is gone.</summary>
    internal void CrashLosingUnflushed()
    {
        if (!TracksFlushes)
            throw new InvalidOperationException($"Create the store with {nameof(TracksFlushes)} = true: this one has not kept what to go back to.");
        Crash(losesUnflushed: true);
    }

    private void Crash(bool losesUnflushed)
    {
        lock (_gate)
        {
            _session?.Stop("The store's process has crashed, on a test's demand.");
            _session?.Witness?.Abandon();
            _session = null;
            if (losesUnflushed)
                Undo();
        }
        _faults.LetGo();
    }

    private void Close(Session session)
    {
        lock (_gate)
        {
            session.MarkDisposed();
            session.Witness?.Dispose();
            if (_session == session)
                _session = null;
        }
    }

    private void Commit(Session session, StoreBatch batch, FlushLevel level)
    {
        _faults.WaitWhileStalled(session);
        session.ThrowIfStopped();
        if (batch.Bytes > MaxRecordBytes)
            RefuseTooLarge(batch);
        if (_faults.TakeRefusal(batch))
            throw new StoreException(StoreFault.Refused, "The in-memory store refused the commit, on a test's demand. Nothing was written.");

        lock (_gate)
        {
            session.ThrowIfStopped();
            if (_faults.TakeFailure() is { } failure)
            {
                session.Stop("The in-memory store has stopped after a failed commit.");
                if (failure.Written)
                    Apply(batch, tracked: TracksFlushes);
                throw new StoreException(StoreFault.Failed, "The in-memory store failed the commit, on a test's demand. Its outcome is unknown until the store is opened again.");
            }

            try
            {
                Apply(batch, tracked: TracksFlushes && level != FlushLevel.Flushed);
            }
            catch
            {
                session.Stop("The in-memory store has stopped after a failed commit.");
                throw;
            }
            if (level == FlushLevel.Flushed)
                _undo.Clear();
        }
    }

    private static void RefuseTooLarge(StoreBatch batch)
    {
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            long bytes = (long)operation.Head.Length + operation.Body.Length;
            if (bytes > MaxRecordBytes)
                throw new StoreException(StoreFault.Refused, $"A record of {bytes} bytes is too large for the in-memory store, which takes {MaxRecordBytes}. Nothing was written.");
        }
    }

    private void Apply(StoreBatch batch, bool tracked)
    {
        _hasCommits = true;
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            if (tracked)
                Track(operation);
            switch (operation.Kind)
            {
                case StoreOperationKind.Insert:
                case StoreOperationKind.Put:
                    _records.Put(operation.Key, operation.Head, operation.Body);
                    break;
                case StoreOperationKind.Delete:
                    _records.Delete(operation.Key);
                    break;
                case StoreOperationKind.DeleteRange:
                    _records.DeleteRange(operation.Key, operation.To);
                    break;
                default:
                    throw new ArgumentException($"The batch contains an operation of the unknown kind {operation.Kind}.", nameof(batch));
            }
        }
    }

    private void Track(in StoreOperation operation)
    {
        if (operation.Kind == StoreOperationKind.DeleteRange)
        {
            _rangeBeforeDelete.Clear();
            _records.Read(operation.Key, operation.To, int.MaxValue, long.MaxValue, _rangeBeforeDelete);
            foreach (StoreRecord record in _rangeBeforeDelete.Records)
                _undo.Add(new UndoStep(record.Key, true, record.Head.ToArray(), record.Body.ToArray()));
            _rangeBeforeDelete.Clear();
            return;
        }
        // Copied, because the caller may use the memory of a deleted record again.
        bool existed = _records.TryGet(operation.Key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body);
        _undo.Add(new UndoStep(operation.Key, existed, head.ToArray(), body.ToArray()));
    }

    private void Undo()
    {
        for (int i = _undo.Count - 1; i >= 0; i--)
        {
            UndoStep step = _undo[i];
            if (step.Existed)
                _records.Put(step.Key, step.Head, step.Body);
            else
                _records.Delete(step.Key);
        }
        _undo.Clear();
    }

    private bool Read(Session session, StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        page.Clear();
        lock (_gate)
        {
            session.ThrowIfStopped();
            return _records.Read(from, to, maxCount, maxBytes, page);
        }
    }

    /// <summary>What one broker holds open.</summary>
    internal sealed class Session(InMemoryMessageStore store, Witness? witness) : IMessageStore
    {
        private volatile string? _stopped;
        private volatile bool _isDisposed;

        public Witness? Witness => witness;

        public int MaxRecordBytes => InMemoryMessageStore.MaxRecordBytes;

        public bool CommitBlocks => store.CommitBlocks || store._faults.IsStalling;

        public bool IsStopped => _stopped is not null;

        public void Commit(StoreBatch batch, FlushLevel level) => store.Commit(this, batch, level);

        public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(maxCount, 1);
            ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
            return store.Read(this, from, to, maxCount, maxBytes, page);
        }

        public ValueTask DisposeAsync()
        {
            store.Close(this);
            return default;
        }

        public void Stop(string reason) => _stopped ??= reason;

        public void MarkDisposed() => _isDisposed = true;

        public void ThrowIfStopped()
        {
            if (_stopped is { } reason)
                throw new StoreException(StoreFault.Stopped, reason + " Nothing was done. Dispose the broker and open another one on the store.");
            ObjectDisposedException.ThrowIf(_isDisposed, this);
        }
    }
}
