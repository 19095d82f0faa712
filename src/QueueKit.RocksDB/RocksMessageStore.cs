using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>An open store: one RocksDB database, one of its write batches a commit.</summary>
/// <remarks>
/// RocksDB orders commits and reads itself: a read sees whole commits only, and none before it is as safe as was asked for. What must not happen is that the database is closed,
/// or opened anew for writing, while somebody uses it; whoever does so waits for the others.
/// <para>The database is open for reading alone until the first commit, which comes when the broker has found that nothing is missing. Opened for writing, RocksDB
/// puts what it could read of its log into tables and deletes the log and every file that its list of files does not name, damage and evidence and all.</para>
/// </remarks>
internal sealed class RocksMessageStore : IMessageStore, IBackupStore, IDisposable
{
    /// <summary>The largest record: a commit is in memory four times over, and a database is no place for films.</summary>
    public const int LargestRecord = 64 * 1024 * 1024;

    // What is not worth a compaction.
    private const long FewDeletions = 1_000;
    // So many of all entries at most are deletions when the store is idle.
    private const int DeletionsOneIn = 8;

    private readonly ReaderWriterLockSlim _use = new();
    private readonly StorePaths _paths;
    private readonly RocksDBStoreOptions _options;
    private readonly Action? _beforeWrite;
    private readonly BatchWriter _writer = new();
    private readonly DriveInfo _disk;
    private readonly Lock _watch = new();
    private readonly ITimer _timer;
    private RocksEngine _engine;
    private StoreException? _stopped;
    private volatile bool _isClosing;
    private bool _isDisposed;
    private bool _hasDeletedRanges;
    // Whether something was committed since the timer has looked, and whether the timer is running.
    private bool _isBusy;
    private bool _isWatched;

    /// <param name="paths">Where it is.</param>
    /// <param name="options">How it works.</param>
    /// <param name="time">The clock for maintenance.</param>
    /// <param name="witness">Its lock and witness; null for a store in the making.</param>
    /// <param name="engine">The database.</param>
    /// <param name="beforeWrite">Called before each write: where a test lets one fail.</param>
    private RocksMessageStore(StorePaths paths, RocksDBStoreOptions options, TimeProvider time, Witness? witness, RocksEngine engine, Action? beforeWrite)
    {
        _paths = paths;
        _options = options;
        _beforeWrite = beforeWrite;
        _engine = engine;
        _disk = new DriveInfo(paths.Folder);
        Witness = witness;
        using (ExecutionContext.SuppressFlow())
            _timer = time.CreateTimer(static store => ((RocksMessageStore)store!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    public int MaxRecordBytes => LargestRecord;

    public bool CommitBlocks => true;

    public Witness? Witness { get; }

    /// <summary>Whether the database may be written: not until somebody has committed.</summary>
    internal bool IsWritable => _engine.IsWritable;

    /// <summary>Whether nobody has it open any more.</summary>
    internal bool IsDisposed => Volatile.Read(ref _isDisposed);

    /// <summary>Opens a store, creating it if there is none.</summary>
    public static RocksMessageStore Open(StorePaths paths, RocksDBStoreOptions options, TimeProvider time, Action? beforeWrite = null)
    {
        Witness witness = StoreOpening.Own(paths, time);
        try
        {
            return new RocksMessageStore(paths, options, time, witness, StoreOpening.Open(paths, options), beforeWrite);
        }
        catch
        {
            witness.Dispose();
            throw;
        }
    }

    /// <summary>Creates a store that is in the making and has no witness yet.</summary>
    public static RocksMessageStore Create(StorePaths paths, RocksDBStoreOptions options)
    {
        StoreOpening.CreateEmpty(paths.Folder, options);
        return new RocksMessageStore(paths, options, TimeProvider.System, witness: null, StoreOpening.Open(paths, options), beforeWrite: null);
    }

    public void Commit(StoreBatch batch, FlushLevel level)
    {
        if (batch.Bytes > LargestRecord)
            RefuseTooLarge(batch);
        _use.EnterReadLock();
        try
        {
            ThrowIfStopped();
            RefuseIfDiskIsNearlyFull(batch);
        }
        finally
        {
            _use.ExitReadLock();
        }
        OpenForWriting();
        _use.EnterReadLock();
        try
        {
            ThrowIfStopped();
            Write(batch, level);
        }
        finally
        {
            _use.ExitReadLock();
        }
        SeeBusy();
    }

    public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        page.Clear();
        if (from >= to)
            return false;
        _use.EnterReadLock();
        try
        {
            ThrowIfStopped();
            return ReadRange(from, to, maxCount, maxBytes, page);
        }
        catch (RocksException error)
        {
            page.Clear();
            throw StoreErrors.Unreadable(_paths.Folder, error);
        }
        catch
        {
            page.Clear();
            throw;
        }
        finally
        {
            _use.ExitReadLock();
        }
    }

    public async ValueTask BackupAsync(string folder, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        string target = Path.GetFullPath(folder);
        await Task.Run(() => Backup(target), ct).ConfigureAwait(false);
    }

    /// <summary>Writes everything that is in memory into tables.</summary>
    internal void Flush()
    {
        _use.EnterReadLock();
        try
        {
            _engine.Flush();
        }
        finally
        {
            _use.ExitReadLock();
        }
    }

    /// <summary>Writes everything into tables and closes: then the logs are empty, and opening replays nothing.</summary>
    /// <exception cref="StoreException">It failed, now or earlier: what was confirmed is in the log.</exception>
    public void Close()
    {
        _isClosing = true;
        _use.EnterWriteLock();
        try
        {
            ThrowIfStopped();
            CloseInGoodOrder();
        }
        finally
        {
            _use.ExitWriteLock();
        }
    }

    /// <summary>Closes; if that fails, the next opening goes on from the log, or says what is wrong.</summary>
    public void Dispose()
    {
        _isClosing = true;
        _use.EnterUpgradeableReadLock();
        try
        {
            // A compaction may be under way for long, and is worth nothing to who wants to close.
            if (!_isDisposed)
                _engine.CancelCompaction();
            _use.EnterWriteLock();
            try
            {
                if (_isDisposed)
                    return;
                if (_stopped is null)
                    CloseInGoodOrder();
            }
            catch (StoreException)
            {
                // What was confirmed is in the log, which stays: the next opening goes on from there, or says what is wrong.
                Witness?.Abandon();
            }
            finally
            {
                Release();
                _use.ExitWriteLock();
            }
        }
        finally
        {
            _use.ExitUpgradeableReadLock();
        }
    }

    public ValueTask DisposeAsync()
    {
        Dispose();
        return default;
    }

    private void CloseInGoodOrder()
    {
        bool isFlushed = _engine.IsWritable;
        if (isFlushed)
        {
            try
            {
                _engine.Flush();
            }
            catch (RocksException error)
            {
                throw Stop(StoreErrors.Failed("closing", _paths.Folder, error));
            }
        }
        _engine.Dispose();
        if (isFlushed)
            EmptyLogs();
        Release();
    }

    private void EmptyLogs()
    {
        try
        {
            StoreOpening.EmptyLogs(_paths);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Stop(StoreErrors.Failed("emptying its log", _paths.Folder, error));
        }
    }

    private void Release()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _timer.Dispose();
        _engine.Dispose();
        Witness?.Dispose();
    }

    private void Write(StoreBatch batch, FlushLevel level)
    {
        string doing = "writing a commit";
        try
        {
            ReadOnlySpan<byte> operations = _writer.Write(batch);
            _beforeWrite?.Invoke();
            bool isFlushed = level == FlushLevel.Flushed;
            if (!operations.IsEmpty)
            {
                _engine.Write(operations, isFlushed);
            }
            else if (isFlushed)
            {
                doing = "flushing its log";
                _engine.SyncLog();
            }
        }
        catch (Exception error)
        {
            throw Stop(error as StoreException ?? StoreErrors.Failed(doing, _paths.Folder, error));
        }
        _hasDeletedRanges |= DeletesMessages(batch);
    }

    private bool ReadRange(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        Span<byte> bounds = stackalloc byte[2 * StoreKey.ByteLength];
        from.WriteTo(bounds);
        to.WriteTo(bounds[StoreKey.ByteLength..]);
        using RocksCursor cursor = _engine.Read(bounds[..StoreKey.ByteLength], bounds[StoreKey.ByteLength..]);
        for (cursor.First(); cursor.IsValid; cursor.Next())
        {
            ReadOnlySpan<byte> key = cursor.Key;
            if (!RecordValue.IsKey(key))
                throw StoreErrors.Damaged(_paths.Folder, $"it has a record with a key of {key.Length} bytes, which QueueKit has not written");
            if (!RecordValue.TryRead(key, cursor.Value, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body))
                throw StoreErrors.Damaged(_paths.Folder, $"the record {StoreKey.Read(key)} is not what was written");
            page.Add(StoreKey.Read(key), head, body);
            if (page.Records.Count >= maxCount || page.Bytes >= maxBytes)
                return true;
        }
        cursor.ThrowIfFailed();
        return false;
    }

    private void OpenForWriting()
    {
        if (Volatile.Read(ref _engine).IsWritable)
            return;
        _use.EnterWriteLock();
        try
        {
            ThrowIfStopped();
            if (_engine.IsWritable)
                return;
            _engine.Dispose();
            try
            {
                Volatile.Write(ref _engine, StoreOpening.OpenForWriting(_paths, _options));
            }
            catch (StoreException error)
            {
                if (error.Fault == StoreFault.Unreadable)
                    throw Stop(error);
                // Nothing has been tried yet, and what could be read can be read still.
                OpenForReadingAgain();
                throw new StoreException(StoreFault.Refused, error.Message, error.Path, error);
            }
        }
        finally
        {
            _use.ExitWriteLock();
        }
    }

    private void OpenForReadingAgain()
    {
        try
        {
            Volatile.Write(ref _engine, StoreOpening.OpenForReading(_paths, _options));
        }
        catch (StoreException error)
        {
            throw Stop(error);
        }
    }

    private void Backup(string folder)
    {
        OpenForWriting();
        _use.EnterReadLock();
        try
        {
            ThrowIfStopped();
            BackupFolder.Make(folder, _engine.Checkpoint);
        }
        catch (Exception error) when (error is RocksException or IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.BackupFailed(_paths.Folder, folder, error);
        }
        finally
        {
            _use.ExitReadLock();
        }
    }

    // The timer's: when nothing was committed between two looks.
    private void Look()
    {
        lock (_watch)
        {
            _isWatched = false;
            if (_isBusy && !_isClosing)
            {
                Watch();
                return;
            }
        }
        _use.EnterReadLock();
        try
        {
            if (!_isClosing && !_isDisposed && _stopped is null && _engine.IsWritable)
                GiveSpaceBack();
        }
        catch (RocksException error)
        {
            // Whoever commits or reads next is told why.
            Stop(StoreErrors.Failed("writing what is in memory into tables", _paths.Folder, error));
        }
        finally
        {
            _use.ExitReadLock();
        }
    }

    // Deleted records are gone when they are compacted, and their log when they are in tables. What is committed meanwhile waits for nothing.
    private void GiveSpaceBack()
    {
        bool hasDeletedRanges = _hasDeletedRanges;
        _hasDeletedRanges = false;
        if (hasDeletedRanges || _engine.BufferedDeletions >= FewDeletions)
            _engine.Flush();
        (long entries, long deletions) = _engine.CountEntries();
        if (hasDeletedRanges || (deletions >= FewDeletions && deletions * DeletionsOneIn >= entries))
            _engine.Compact();
    }

    private void SeeBusy()
    {
        if (Volatile.Read(ref _isBusy) && Volatile.Read(ref _isWatched))
            return;
        lock (_watch)
        {
            if (!_isWatched)
                Watch();
            _isBusy = true;
        }
    }

    private void Watch()
    {
        _isBusy = false;
        _isWatched = true;
        _timer.Change(_options.IdleTime, Timeout.InfiniteTimeSpan);
    }

    private void RefuseTooLarge(StoreBatch batch)
    {
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            long bytes = (long)operation.Head.Length + operation.Body.Length;
            if (bytes > LargestRecord)
                throw StoreErrors.TooLarge(_paths.Folder, bytes, LargestRecord);
        }
    }

    private void RefuseIfDiskIsNearlyFull(StoreBatch batch)
    {
        if (_options.MinFreeBytes == 0 || !batch.Grows)
            return;
        long free, needed = _engine.BufferedBytes;
        try
        {
            free = _disk.AvailableFreeSpace;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // Nothing has been tried, and what is in the store is not in doubt.
            throw StoreErrors.SpaceUnknown(_paths.Folder, error);
        }
        if (free - needed < _options.MinFreeBytes)
            throw StoreErrors.DiskNearlyFull(_paths.Folder, free, needed, _options.MinFreeBytes);
    }

    private static bool DeletesMessages(StoreBatch batch)
    {
        foreach (ref readonly StoreOperation operation in batch.Operations)
        {
            if (operation.Kind == StoreOperationKind.DeleteRange && operation.Key.Kind is StoreKind.Message or StoreKind.Parked)
                return true;
        }
        return false;
    }

    private StoreException Stop(StoreException reason)
    {
        Interlocked.CompareExchange(ref _stopped, reason, null);
        return reason;
    }

    private void ThrowIfStopped()
    {
        if (Volatile.Read(ref _stopped) is { } reason)
            throw StoreErrors.Stopped(reason);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
    }
}
