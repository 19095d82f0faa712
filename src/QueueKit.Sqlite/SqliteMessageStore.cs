using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>An open store: a connection that commits, one that reads beside it, and one that copies the log.</summary>
internal sealed class SqliteMessageStore : IMessageStore, IBackupStore, IDisposable
{
    // Held while commits are under way; a monitor, so that whoever needs a pause between them can ask for one.
    private readonly object _gate = new();
    private readonly Lock _readGate = new();
    // Taken before the other two.
    private readonly Lock _copyGate = new();
    private readonly StorePaths _paths;
    private readonly SqliteStoreOptions _options;
    private readonly Database _committing, _reading, _copying;
    private readonly RecordWriter _writer;
    private readonly RecordReader _reader;
    private readonly Statement _begin, _commit, _rollback;
    private readonly ITimer _timer;
    private readonly LogCopy _log;
    private readonly Action? _beforeWrite;
    private StoreException? _stopped;
    private bool _isDisposed;
    private bool _hasCommitted;
    // Whether commits are flushed at the moment, and whether some are not on the disk yet.
    private bool _isFlushing = true;
    private bool _hasUnflushed;
    // Whether something was committed since the timer has looked, and whether the timer is running.
    private bool _isBusy;
    private bool _isWatched;
    private int _turnsWanted;

    private SqliteMessageStore(StorePaths paths, SqliteStoreOptions options, TimeProvider time, Witness? witness, Database committing, Action? beforeWrite)
    {
        _beforeWrite = beforeWrite;
        _paths = paths;
        _options = options;
        Witness = witness;
        _committing = committing;
        _log = new LogCopy(options.LogBytes / StoreSchema.PageBytes);
        try
        {
            _begin = committing.Prepare("BEGIN IMMEDIATE");
            _commit = committing.Prepare("COMMIT");
            _rollback = committing.Prepare("ROLLBACK");
            _writer = new RecordWriter(committing);
            _reading = StoreOpening.OpenAnother(paths.Data, options.BusyTimeout, options.CacheBytes);
            _reader = new RecordReader(_reading);
            _copying = StoreOpening.OpenAnother(paths.Data, TimeSpan.Zero, 256 * 1024);
        }
        catch
        {
            _reading?.Dispose();
            _copying?.Dispose();
            _writer?.Dispose();
            throw;
        }
        using (ExecutionContext.SuppressFlow())
            _timer = time.CreateTimer(static store => ((SqliteMessageStore)store!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (LogFileBytes > 0)
            Watch();
    }

    public int MaxRecordBytes => RecordRow.MaxBytes;

    public bool CommitBlocks => true;

    public Witness? Witness { get; }

    /// <summary>Whether it is closed.</summary>
    internal bool IsDisposed => Volatile.Read(ref _isDisposed);

    /// <summary>How many pages of the log are in use.</summary>
    internal long LogPages => _log.Pages;

    private long LogFileBytes => new FileInfo(_paths.Log) is { Exists: true } log ? log.Length : 0;

    // Not before the broker has found out whether everything is there: a log that was damaged at its end is evidence.
    private bool MayChangeFiles => _hasCommitted || Witness is not { IsAccepted: false } || LogFileBytes == 0;

    /// <summary>Opens a store, creating it if there is none.</summary>
    /// <param name="paths">Where it is.</param>
    /// <param name="options">How it works.</param>
    /// <param name="time">Its clock.</param>
    /// <param name="beforeWrite">Called before each commit is written: where a test lets it fail.</param>
    public static SqliteMessageStore Open(StorePaths paths, SqliteStoreOptions options, TimeProvider time, Action? beforeWrite = null)
    {
        Witness witness = StoreOpening.Own(paths, time);
        try
        {
            return Open(paths, options, time, witness, beforeWrite);
        }
        catch
        {
            witness.Dispose();
            throw;
        }
    }

    /// <summary>Opens a store that is in the making and has no witness yet.</summary>
    public static SqliteMessageStore OpenUnowned(StorePaths paths, SqliteStoreOptions options, TimeProvider time) => Open(paths, options, time, witness: null, beforeWrite: null);

    private static SqliteMessageStore Open(StorePaths paths, SqliteStoreOptions options, TimeProvider time, Witness? witness, Action? beforeWrite)
    {
        Database? database = null;
        try
        {
            database = StoreOpening.Open(paths, options);
            StoreOpening.Compact(database, paths);
            return new SqliteMessageStore(paths, options, time, witness, database, beforeWrite);
        }
        catch (Exception error)
        {
            database?.Dispose();
            throw error switch
            {
                SqliteError said => StoreOpening.Explain(paths.Data, said),
                IOException or UnauthorizedAccessException => StoreErrors.NoAccess(paths.Data, error),
                _ => error,
            };
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
            if (_log.IsOverdue)
                Copy(_committing);
            string doing = "beginning a commit";
            try
            {
                Flush(level == FlushLevel.Flushed);
                _begin.Run();
                doing = "applying a commit";
                int changes = _committing.TotalChanges;
                _writer.Apply(batch);
                // Whoever asks for a flush means all that went before, too; where nothing changes SQLite writes and flushes nothing.
                if (_isFlushing && _hasUnflushed && _committing.TotalChanges == changes)
                    _committing.Execute($"PRAGMA user_version = {StoreSchema.Version}");
                doing = _isFlushing ? "writing and flushing a commit" : "writing a commit";
                _beforeWrite?.Invoke();
                _commit.Run();
            }
            catch (SqliteError error) when (error.Kind == NativeSqlite.Busy && !_committing.IsInTransaction)
            {
                throw StoreErrors.BusyCommit(_paths.Data, _options.BusyTimeout, error);
            }
            catch (Exception error)
            {
                RollBack();
                throw Stop(StoreErrors.Failed(doing, _paths, error));
            }
            _hasUnflushed = !_isFlushing;
            _hasCommitted = true;
            _isBusy = true;
            if (!_isWatched)
                Watch();
            if (_log.Committed(_committing.LogPages))
                _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);
        }
    }

    public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxCount, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxBytes, 1);
        page.Clear();
        lock (_readGate)
        {
            ThrowIfStopped();
            try
            {
                return _reader.Read(from, to, maxCount, maxBytes, page);
            }
            catch (Exception error)
            {
                page.Clear();
                throw error is SqliteError said ? ReadFailed(said) : error;
            }
        }
    }

    public async ValueTask BackupAsync(string folder, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        string target = Path.GetFullPath(folder);
        await Task.Run(() => Backup(target, ct), ct).ConfigureAwait(false);
    }

    /// <summary>Copies the log into the database and closes: the store is one file then, unless another program is reading it.</summary>
    /// <exception cref="StoreException">It failed, now or earlier: the log stays, and what was confirmed is in it.</exception>
    public void Close()
    {
        lock (_copyGate)
        lock (_gate)
        lock (_readGate)
        {
            ThrowIfStopped();
            _reading.Dispose();
            _copying.Dispose();
            try
            {
                _committing.BusyTimeout = TimeSpan.Zero;
                if (_committing.Checkpoint(truncate: true).Copied >= 0)
                    _committing.CopiesLogOnClose = true;
            }
            catch (SqliteError error)
            {
                throw Stop(CheckpointFailed(error));
            }
            Release();
        }
    }

    /// <summary>Closes; if that fails, the next opening goes on from the log, or says what is wrong.</summary>
    public void Dispose()
    {
        lock (_copyGate)
        lock (_gate)
        lock (_readGate)
        {
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

    // On a connection of its own, in one read transaction: commits go on, and so do checkpoints, as far as it does not need what they would overwrite.
    private void Backup(string folder, CancellationToken ct)
    {
        try
        {
            lock (_readGate)
                ThrowIfStopped();
            BackupFolder.Make(folder, unfinished =>
            {
                Directory.CreateDirectory(unfinished);
                string copy = Path.Combine(unfinished, Path.GetFileName(_paths.Data));
                using (Database source = StoreOpening.OpenAnother(_paths.Data, _options.BusyTimeout, _options.CacheBytes))
                using (ct.Register(source.Interrupt))
                    source.Execute($"VACUUM INTO '{copy.Replace("'", "''", StringComparison.Ordinal)}'");
                // An interruption before the statement has begun is forgotten by SQLite.
                ct.ThrowIfCancellationRequested();
                using (var written = new Database(copy))
                    written.Sync();
            });
        }
        catch (SqliteError) when (ct.IsCancellationRequested)
        {
            throw new OperationCanceledException(ct);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or SqliteError)
        {
            throw StoreErrors.BackupFailed(_paths.Data, folder, error);
        }
    }

    private void Release()
    {
        if (_isDisposed)
            return;
        _isDisposed = true;
        _timer.Dispose();
        _reading.Dispose();
        _copying.Dispose();
        _committing.Dispose();
        _writer.Dispose();
        Witness?.Dispose();
    }

    // The timer's: a checkpoint when the log is long, or when nothing was committed between two looks. Most of it beside the commits.
    private void Look()
    {
        lock (_copyGate)
        {
            lock (_gate)
            {
                _isWatched = false;
                if (_isDisposed || _stopped is not null)
                    return;
                if ((_isBusy && !_log.IsLong) || !MayChangeFiles)
                {
                    Watch();
                    return;
                }
            }
            CopyBesideCommits();
            TakeTurn();
            lock (_gate)
            {
                EndTurn();
                if (_stopped is not null)
                    return;
                bool wasBusy = _isBusy;
                // The few pages that have come in the meantime. Then nobody needs the log, and the next commit begins it anew.
                if (!TryCopy(_copying) || wasBusy || _log.HasMore)
                    Watch();
            }
        }
    }

    // Each round copies what came during the last, so it is shorter; the sync is what takes time, and is done before anybody waits for it.
    private void CopyBesideCommits()
    {
        const int Rounds = 4, FewPages = 64;
        try
        {
            for (int round = 0, before = 0; round < Rounds; round++)
            {
                (int logged, int copied) = _copying.Checkpoint();
                _copying.Sync();
                if (copied < logged || logged - before < FewPages)
                    break;
                before = logged;
            }
        }
        catch (SqliteError error)
        {
            lock (_gate)
                Stop(CheckpointFailed(error));
        }
    }

    private bool TryCopy(Database connection)
    {
        try
        {
            Copy(connection);
            return true;
        }
        catch (StoreException)
        {
            // The store has stopped, and whoever commits or reads next is told why.
            return false;
        }
    }

    private void Copy(Database connection)
    {
        try
        {
            (int logged, int copied) = connection.Checkpoint();
            _log.Copied(logged, copied);
        }
        catch (SqliteError error)
        {
            throw Stop(CheckpointFailed(error));
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

    private void Watch()
    {
        _isBusy = false;
        _isWatched = true;
        _timer.Change(_options.IdleTime, Timeout.InfiniteTimeSpan);
    }

    // A setting of the connection, and not to be changed inside a transaction.
    private void Flush(bool flushes)
    {
        if (_isFlushing == flushes)
            return;
        _committing.Execute(flushes ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
        _isFlushing = flushes;
    }

    private void RollBack()
    {
        _writer.Reset();
        try
        {
            if (_committing.IsInTransaction)
                _rollback.Run();
        }
        catch (SqliteError)
        {
            // The store has stopped; what the log has of the transaction is no commit.
        }
    }

    private StoreException ReadFailed(SqliteError error) => error.Kind switch
    {
        NativeSqlite.Busy or NativeSqlite.Locked => StoreErrors.BusyRead(_paths.Data, error),
        _ => StoreErrors.Unreadable(_paths.Data, error),
    };

    private StoreException CheckpointFailed(SqliteError error) =>
        error.Kind is NativeSqlite.Corrupt or NativeSqlite.NotADatabase ? StoreErrors.Unreadable(_paths.Data, error) : StoreErrors.Failed("copying its log into the database", _paths, error);

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
        // At most what the database will grow by when the log is copied.
        long free, needed = _log.Pages * StoreSchema.PageBytes;
        try
        {
            free = Disk.AvailableBytes(_paths.Data);
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
