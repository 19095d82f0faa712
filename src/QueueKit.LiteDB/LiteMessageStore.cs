using LiteDB.Engine;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>An open store: one LiteDB engine, one commit a batch, in one LiteDB transaction.</summary>
/// <remarks>
/// LiteDB's transactions belong to threads, and its own locking has had its bugs. So the engine is used under one lock, by whichever thread
/// commits, reads or checkpoints, and every transaction and every query ends before the lock is let go. A worker thread would serialize the same
/// calls and cost two switches each; and a read that waits for a flush is as it should be, because nothing may be handed out before it is on the disk.
/// </remarks>
internal sealed class LiteMessageStore : IMessageStore, IBackupStore, IDisposable
{
    // A monitor, so that whoever needs the files to himself can wait for the slice that is under way.
    private readonly object _gate = new();
    private readonly StorePaths _paths;
    private readonly LiteDBStoreOptions _options;
    private readonly IStoreFileSystem _fileSystem;
    private readonly IDisposable _lock;
    private readonly StoreFiles _files;
    private readonly LiteEngine _engine;
    private readonly RecordTable _records;
    private readonly ITimer _timer;
    private StoreException? _stopped;
    private bool _isDisposed;
    private bool _hasCommitted;
    // Whether something was committed since the timer has looked, and whether the timer is running.
    private bool _isBusy;
    private bool _isWatched;
    // Whether the log is being copied ahead of a checkpoint, and whether a slice of it is being copied at this moment, beside the lock.
    private bool _isCopying;
    private bool _isSliceUnderWay;
    private int _turnsWanted;
    // How many backups are copying data file and log: as long as there is one, neither is changed but by commits.
    private int _backups;

    private LiteMessageStore(IStoreFileSystem fileSystem, StorePaths paths, LiteDBStoreOptions options, TimeProvider time, IDisposable storeLock, Witness? witness, StoreFiles files)
    {
        _fileSystem = fileSystem;
        _paths = paths;
        _options = options;
        _lock = storeLock;
        Witness = witness;
        _files = files;
        _engine = LiteEngines.Open(files.Data, files.Log);
        _records = new RecordTable(_engine, paths.Data);
        using (ExecutionContext.SuppressFlow())
            _timer = time.CreateTimer(static store => ((LiteMessageStore)store!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (files.Log.Length > 0)
            Watch();
    }

    public int MaxRecordBytes => RecordDocument.MaxBytes;

    public bool CommitBlocks => true;

    public Witness? Witness { get; }

    internal bool IsDisposed => Volatile.Read(ref _isDisposed);

    /// <summary>What the log holds.</summary>
    internal long LogBytes => _files.Log.Length;

    // Not before the broker has found out whether everything is there: a log that was damaged at its end is evidence.
    private bool MayChangeFiles => _hasCommitted || Witness is not { IsAccepted: false } || (_files.Log.Length == 0 && !_files.Log.HasRemains);

    /// <summary>Opens a store, creating it if there is none.</summary>
    public static LiteMessageStore Open(IStoreFileSystem fileSystem, StorePaths paths, LiteDBStoreOptions options, TimeProvider time)
    {
        (IDisposable storeLock, Witness? witness) = StoreOpening.Own(fileSystem, paths, time);
        return Open(fileSystem, paths, options, time, storeLock, witness);
    }

    /// <summary>Creates a store that is in the making and has no witness yet.</summary>
    public static LiteMessageStore Create(IStoreFileSystem fileSystem, StorePaths paths, LiteDBStoreOptions options, TimeProvider time) =>
        Open(fileSystem, paths, options, time, StoreOpening.Lock(fileSystem, paths), witness: null);

    private static LiteMessageStore Open(IStoreFileSystem fileSystem, StorePaths paths, LiteDBStoreOptions options, TimeProvider time, IDisposable storeLock, Witness? witness)
    {
        StoreFiles? files = null;
        try
        {
            files = StoreOpening.Open(fileSystem, paths, options);
            return new LiteMessageStore(fileSystem, paths, options, time, storeLock, witness, files);
        }
        catch (Exception error)
        {
            files?.Dispose();
            storeLock.Dispose();
            if (error is StoreException)
                throw;
            throw RecordTable.Unreadable(paths.Data, error);
        }
    }

    public void Commit(StoreBatch batch, FlushLevel level)
    {
        if (batch.Bytes > MaxRecordBytes)
            RefuseTooLarge(batch);
        lock (_gate)
        {
            LetMaintenanceGoFirst();
            ThrowIfStopped();
            RefuseIfDiskIsNearlyFull(batch);
            // The checkpoint beside the commits has not come to its turn: the log must not grow without bound.
            if (_files.Log.Length >= 2 * _options.LogBytes && _backups == 0)
                Checkpoint();
            string doing = "applying a commit";
            try
            {
                if (_records.Apply(batch))
                {
                    _files.Log.WaitForTransaction();
                    doing = "writing a commit";
                    _files.Log.Publish();
                }
                if (level == FlushLevel.Flushed)
                {
                    doing = "flushing a commit";
                    _files.Log.Sync();
                }
            }
            catch (Exception error)
            {
                throw Stop(error as StoreException ?? StoreErrors.Failed(doing, _paths, error));
            }
            _hasCommitted = true;
            if (!_isWatched && _files.Log.Length > 0)
                Watch();
            _isBusy = true;
            if (_files.Log.Length >= _options.LogBytes && _backups == 0)
                _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        page.Clear();
        lock (_gate)
        {
            ThrowIfStopped();
            try
            {
                return _records.Read(from, to, maxCount, maxBytes, page);
            }
            catch (StoreException)
            {
                page.Clear();
                throw;
            }
            catch (Exception error)
            {
                page.Clear();
                // LiteDB has closed itself, or may hold a lock that nobody lets go of.
                throw Stop(RecordTable.Unreadable(_paths.Data, error));
            }
        }
    }

    public async ValueTask BackupAsync(string folder, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        string target = Path.GetFullPath(folder);
        await Task.Run(() => Backup(target, ct), ct).ConfigureAwait(false);
    }

    /// <summary>Copies the log into the data file and closes both: the store is one file then.</summary>
    /// <exception cref="StoreException">It failed, now or earlier: the log stays, and what was confirmed is in it.</exception>
    public void Close()
    {
        lock (_gate)
        {
            ThrowIfStopped();
            Checkpoint();
            _engine.Dispose();
            try
            {
                _files.Close();
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                throw Stop(StoreErrors.Failed("closing", _paths, error));
            }
            Release();
        }
    }

    /// <summary>Closes; if that fails, the next opening goes on from the log, or says what is wrong.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            WaitForBackups();
            if (_isDisposed)
                return;
            try
            {
                if (_stopped is null && MayChangeFiles)
                    Close();
            }
            catch (StoreException error)
            {
                // What was confirmed is in the log, which stays: the next opening goes on from there, or says what is wrong.
                Stop(error);
                Witness?.Abandon();
            }
            finally
            {
                Release();
            }
        }
    }

    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    // Without the lock: commits and reads go on.
    private void Backup(string folder, CancellationToken ct)
    {
        LogPage[] log = BeginBackup();
        try
        {
            BackupFolder.Make(folder, unfinished =>
            {
                StoreBackup.Write(_fileSystem, _paths, _files, log, unfinished, ct);
                // A store that could not flush may have copied what is not on its disk.
                lock (_gate)
                    ThrowIfStopped();
            });
        }
        catch (DamagedPageException error)
        {
            throw RecordTable.Unreadable(_paths.Data, error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or StoreException { Fault: StoreFault.Refused or StoreFault.Failed })
        {
            throw StoreErrors.BackupFailed(_paths.Data, folder, error);
        }
        finally
        {
            EndBackup();
        }
    }

    private LogPage[] BeginBackup()
    {
        TakeTurn();
        lock (_gate)
        {
            EndTurn();
            // First: what is under way must not go on with another slice.
            _backups++;
            try
            {
                WaitForSlice();
                ThrowIfStopped();
                return _files.Log.Published();
            }
            catch
            {
                EndBackup();
                throw;
            }
        }
    }

    private void EndBackup()
    {
        lock (_gate)
        {
            _backups--;
            Monitor.PulseAll(_gate);
            if (_backups == 0 && !_isDisposed && _files.Log.Length >= _options.LogBytes)
                _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    private void WaitForBackups()
    {
        while (_backups > 0)
            Monitor.Wait(_gate);
    }

    private void Release()
    {
        WaitForSlice();
        if (_isDisposed)
            return;
        _isDisposed = true;
        _timer.Dispose();
        _engine.Dispose();
        _files.Dispose();
        _lock.Dispose();
    }

    // The timer's: a checkpoint when the log is long, or when nothing was committed between two looks. Most of it beside the commits.
    private void Look()
    {
        bool isLong;
        lock (_gate)
        {
            _isWatched = false;
            if (_isDisposed || _stopped is not null || _isCopying || _files.Log.Length == 0)
                return;
            if ((_isBusy && _files.Log.Length < _options.LogBytes) || _backups > 0 || !MayChangeFiles)
            {
                Watch();
                return;
            }
            _isCopying = true;
            isLong = _files.Log.Length >= _options.LogBytes;
        }
        // Where nobody commits, nobody waits: the log is cut as it is.
        if (isLong)
            MakeNextLog();
        while (TryRunSlice(_files.Ahead.TryBegin, _files.Ahead.Run, _files.Ahead.End)) { }
        EndCheckpoint(isLong);
        if (isLong)
            MakeNextLog();
        lock (_gate)
        {
            _isCopying = false;
            if (!_isDisposed && _stopped is null && !_isWatched && _files.Log.Length > 0)
                Watch();
        }
    }

    private void EndCheckpoint(bool isLong)
    {
        TakeTurn();
        lock (_gate)
        {
            EndTurn();
            // A commit that came upon twice the limit has done it by itself, or one has come to an idle store.
            if (_isDisposed || _stopped is not null || _backups > 0 || _files.Log.Length == 0 || (_files.Log.Length < _options.LogBytes && (isLong || _isBusy)))
                return;
            try
            {
                Checkpoint();
            }
            catch (StoreException)
            {
                // The store has stopped, and whoever commits or reads next is told why.
                return;
            }
        }
    }

    private void MakeNextLog()
    {
        NextLog next = _files.Next;
        bool hasFailed = false;
        while (!hasFailed && TryRunSlice(() => next.TryBegin(_files.NextState), Make, () => { })) { }

        void Make()
        {
            try
            {
                next.Run(_options.LogBytes);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                // There may be no room for it. It would only have saved time, and a disk that is broken will say so to the commits.
                hasFailed = true;
                next.Delete();
            }
        }
    }

    // Begins under the lock, runs without, and ends under it. False when there is nothing to begin, or the store has stopped.
    private bool TryRunSlice(Func<bool> tryBegin, Action run, Action end)
    {
        Exception? failure = null;
        try
        {
            TakeTurn();
            lock (_gate)
            {
                EndTurn();
                if (_isDisposed || _stopped is not null || _backups > 0)
                    return false;
                // What is not on the disk in the log must not be in the data file.
                _files.Log.Sync();
                _isSliceUnderWay = tryBegin();
                if (!_isSliceUnderWay)
                    return false;
            }
            run();
        }
#pragma warning disable CA1031 // Not swallowed: whatever it is, the store stops with it.
        catch (Exception error)
#pragma warning restore CA1031
        {
            failure = error;
        }
        TakeTurn();
        lock (_gate)
        {
            EndTurn();
            _isSliceUnderWay = false;
            if (failure is null)
                end();
            else
                Stop(CheckpointFailed(failure));
            return failure is null;
        }
    }

    // A thread that commits without a pause takes the lock again before another one has woken up. So maintenance says that it is coming, and the next commit lets it go first.
    private void TakeTurn() => Interlocked.Increment(ref _turnsWanted);

    private void EndTurn()
    {
        Interlocked.Decrement(ref _turnsWanted);
        Monitor.PulseAll(_gate);
    }

    private void LetMaintenanceGoFirst()
    {
        while (Volatile.Read(ref _turnsWanted) > 0)
            Monitor.Wait(_gate);
    }

    private void WaitForSlice()
    {
        while (_isSliceUnderWay)
            Monitor.Wait(_gate);
    }

    private void Watch()
    {
        _isBusy = false;
        _isWatched = true;
        _timer.Change(_options.IdleTime, Timeout.InfiniteTimeSpan);
    }

    private void Checkpoint()
    {
        WaitForSlice();
        ThrowIfStopped();
        try
        {
            _files.Log.Sync();
            _files.Data.IsWritable = _files.Log.IsCheckpoint = true;
            _engine.Checkpoint();
        }
        catch (Exception error)
        {
            throw Stop(CheckpointFailed(error));
        }
        finally
        {
            _files.Data.IsWritable = _files.Log.IsCheckpoint = false;
        }
    }

    private StoreException CheckpointFailed(Exception error) =>
        error is DamagedPageException ? RecordTable.Unreadable(_paths.Data, error) : StoreErrors.Failed("copying its log into the data file", _paths, error);

    private void RefuseTooLarge(StoreBatch batch)
    {
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            long bytes = (long)operation.Head.Length + operation.Body.Length;
            if (bytes > MaxRecordBytes)
                throw StoreErrors.TooLarge(_paths.Data, bytes, MaxRecordBytes);
        }
    }

    private void RefuseIfDiskIsNearlyFull(StoreBatch batch)
    {
        if (_options.MinFreeBytes == 0 || !batch.Grows)
            return;
        long free, needed = _files.PendingGrowth;
        try
        {
            free = _fileSystem.AvailableBytes(_paths.Data);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Nothing has been tried, and what is in the store is not in doubt.
            throw StoreErrors.SpaceUnknown(_paths.Data, error);
        }
        if (free - needed < _options.MinFreeBytes)
            throw StoreErrors.DiskNearlyFull(_paths.Data, free, needed, _options.MinFreeBytes);
    }

    private StoreException Stop(StoreException reason)
    {
        _stopped ??= reason;
        return reason;
    }

    private void ThrowIfStopped()
    {
        if (_stopped is { } reason)
            throw StoreErrors.Stopped(reason);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
    }
}
