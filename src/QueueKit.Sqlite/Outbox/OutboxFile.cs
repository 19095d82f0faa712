using System.Text;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>The broker's own connection to the application's database: reads what was appended, deletes what was moved. Safe for any thread; one at a time is in it.</summary>
/// <remarks>
/// In WAL mode a reader waits for nobody and nobody waits for it; it reads little at a time, and lets the page go before anything else is done.
/// A deletion is a write: tried once, in a slice, and put off if the application has the lock.
/// </remarks>
internal sealed class OutboxFile : IDisposable
{
    /// <summary>How long the opening waits for another connection's lock, where it has to change something.</summary>
    public static readonly TimeSpan OpenPatience = TimeSpan.FromSeconds(5);

    private readonly Lock _lock = new();
    private readonly FileStream _owner;
    private readonly Database _database;
    private readonly Statement _version;
    private readonly Statement _look;
    private readonly Statement _read;
    private readonly Statement _isThere;
    private readonly Statement _delete;
    private readonly Statement _setAside;
    private long _seenVersion = -1;
    private bool _isDisposed;

    private OutboxFile(FileStream owner, Database database, Guid id)
    {
        _owner = owner;
        _database = database;
        Id = id;
        NameInSqlite = database.QueryText("SELECT file FROM pragma_database_list WHERE name = 'main'");
        _version = database.Prepare("PRAGMA data_version");
        _look = database.Prepare("SELECT CASE typeof(queue) WHEN 'text' THEN queue END, min(id), max(id) FROM queuekit_outbox WHERE id > ? GROUP BY 1");
        _read = database.Prepare($"SELECT id, {OutboxSchema.Columns} FROM queuekit_outbox WHERE id BETWEEN ? AND ? AND CASE typeof(queue) WHEN 'text' THEN queue END IS ? ORDER BY id");
        _isThere = database.Prepare("SELECT id FROM queuekit_outbox WHERE id = ?");
        _delete = database.Prepare("DELETE FROM queuekit_outbox WHERE id = ?");
        _setAside = database.Prepare($"INSERT INTO queuekit_outbox_dead(id, reason, {OutboxSchema.Columns}, sent_at) SELECT id, ?, {OutboxSchema.Columns}, sent_at FROM queuekit_outbox WHERE id = ?");
    }

    public string Path => _database.Path;

    /// <summary>The file's name as SQLite has found it, behind all links: what the application's connections call it too.</summary>
    public string NameInSqlite { get; }

    /// <summary>Who this outbox is: stays with the file.</summary>
    public Guid Id { get; }

    /// <summary>Opens the outbox, and makes it where it is not there yet.</summary>
    /// <exception cref="StoreException">It cannot be opened.</exception>
    public static OutboxFile Open(string path)
    {
        if (path == ":memory:" || path.StartsWith("file:", StringComparison.OrdinalIgnoreCase))
            throw OutboxErrors.InMemory(path);
        path = Resolve(path);
        RefuseOtherLibrary(path);
        if (Directory.Exists(path))
            throw OutboxErrors.NotAFile(path);
        FileStream owner = Own(path);
        Database? database = null;
        try
        {
            if (File.Exists(path) && new FileInfo(path).IsReadOnly)
                throw OutboxErrors.ReadOnly(path);
            database = new Database(path, create: true);
            return new OutboxFile(owner, database, SetUp(database));
        }
        catch (SqliteError error)
        {
            database?.Dispose();
            owner.Dispose();
            throw OutboxErrors.Explain(path, error);
        }
        catch
        {
            database?.Dispose();
            owner.Dispose();
            throw;
        }
    }

    /// <summary>The number of the last row that was ever appended.</summary>
    public long LastRow
    {
        get
        {
            lock (_lock)
                return _database.QueryNumber("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'queuekit_outbox'), 0)");
        }
    }

    /// <summary>Sees to it that no further row gets a number up to this one.</summary>
    public void SkipTo(long row)
    {
        lock (_lock)
        {
            _database.BusyTimeout = OpenPatience;
            _database.Execute("BEGIN IMMEDIATE");
            _database.Execute($"UPDATE sqlite_sequence SET seq = max(seq, {row}) WHERE name = 'queuekit_outbox'");
            _database.Execute($"INSERT INTO sqlite_sequence(name, seq) SELECT 'queuekit_outbox', {row} WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'queuekit_outbox')");
            _database.Execute("COMMIT");
            _database.BusyTimeout = TimeSpan.Zero;
        }
    }

    /// <summary>Whether anybody has changed the database since this was last asked.</summary>
    public bool HasChanged()
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            _version.Step();
            long version = _version.GetInt64(0);
            _version.Reset();
            bool hasChanged = version != _seenVersion;
            _seenVersion = version;
            return hasChanged;
        }
    }

    /// <summary>For which queues there are rows with higher numbers than <paramref name="seen"/>: first and last of each. A row that names none has the queue null.</summary>
    public List<(string? Queue, long First, long Last)> Look(long seen)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            var found = new List<(string?, long, long)>();
            _look.Bind(1, seen);
            try
            {
                while (_look.Step())
                    found.Add((_look.IsNull(0) ? null : Encoding.UTF8.GetString(_look.GetUtf8(0)), _look.GetInt64(1), _look.GetInt64(2)));
            }
            finally
            {
                _look.Reset();
            }
            return found;
        }
    }

    /// <summary>Reads rows of a queue, in order: at most so many, and so many bytes, but one at least.</summary>
    public List<OutboxRow> Read(string? queue, long first, long last, int maxRows, long maxBytes)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            var rows = new List<OutboxRow>();
            BindRange(queue, first, last);
            try
            {
                for (long bytes = 0; rows.Count < maxRows && bytes < maxBytes && _read.Step();)
                {
                    OutboxRow row = queue is null
                        ? new OutboxRow(_read.GetInt64(0), null, "queue is no text.")
                        : OutboxRow.Read(_read, Id);
                    bytes += row.Message?.Size ?? 0;
                    if (rows.Count == 0 || bytes <= maxBytes)
                        rows.Add(row);
                }
            }
            finally
            {
                _read.Reset();
            }
            return rows;
        }
    }

    /// <summary>The numbers of rows of a queue.</summary>
    public List<long> ReadIds(string? queue, long first, long last)
    {
        lock (_lock)
        {
            var ids = new List<long>();
            BindRange(queue, first, last);
            try
            {
                while (_read.Step())
                    ids.Add(_read.GetInt64(0));
            }
            finally
            {
                _read.Reset();
            }
            return ids;
        }
    }

    /// <summary>Which of these rows are still there.</summary>
    public List<long> StillThere(IEnumerable<long> ids)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            var there = new List<long>();
            foreach (long id in ids)
            {
                _isThere.Bind(1, id);
                if (_isThere.Step())
                    there.Add(id);
                _isThere.Reset();
            }
            return there;
        }
    }

    /// <summary>Deletes rows, in one short transaction; false if somebody else is writing.</summary>
    public bool TryDelete(IReadOnlyList<long> ids) => TryWrite(ids, static (file, ids) =>
    {
        foreach (long id in ids)
            file.Delete(id);
    });

    /// <summary>Puts a row aside for people, with the reason; false if somebody else is writing.</summary>
    public bool TrySetAside(long id, string reason)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            // Flushed: the watermark goes past the row, and were the row back where it was after a power cut, it would count as moved.
            _database.Execute("PRAGMA synchronous = FULL");
            try
            {
                return TryWrite((id, reason), static (file, row) =>
                {
                    file._setAside.Bind(1, row.reason);
                    file._setAside.Bind(2, row.id);
                    file._setAside.Run();
                    file.Delete(row.id);
                });
            }
            finally
            {
                _database.Execute("PRAGMA synchronous = NORMAL");
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            if (_isDisposed)
                return;
            _isDisposed = true;
            _database.Dispose();
            _owner.Dispose();
        }
    }

    private bool TryWrite<T>(T argument, Action<OutboxFile, T> write)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_isDisposed, this);
            try
            {
                _database.Execute("BEGIN IMMEDIATE");
                write(this, argument);
                _database.Execute("COMMIT");
                return true;
            }
            catch (SqliteError error) when (error.Kind is NativeSqlite.Busy or NativeSqlite.Locked)
            {
                return false;
            }
            finally
            {
                if (_database.IsInTransaction)
                    _database.Execute("ROLLBACK");
            }
        }
    }

    private void Delete(long id)
    {
        _delete.Bind(1, id);
        _delete.Run();
    }

    private void BindRange(string? queue, long first, long last)
    {
        _read.Bind(1, first);
        _read.Bind(2, last);
        if (queue is null)
            _read.BindNull(3);
        else
            _read.Bind(3, queue);
    }

    /// <summary>One file, one lock, by whatever link it is named.</summary>
    public static string Resolve(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        try
        {
            return File.Exists(full) ? File.ResolveLinkTarget(full, returnFinalTarget: true)?.FullName ?? full : full;
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw OutboxErrors.NoAccess(full, error);
        }
    }

    // A lock of its own, beside the database: opening and closing the database's file past SQLite would let go of SQLite's locks.
    private static FileStream Own(string path)
    {
        string file = path + "-outbox";
        try
        {
            return new FileStream(file, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 1);
        }
        catch (IOException error) when (File.Exists(file))
        {
            throw OutboxErrors.InUse(path, file, error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw OutboxErrors.NoAccess(path, error);
        }
    }

    private static void RefuseOtherLibrary(string path)
    {
        // The first connection object chooses the library.
        using var any = new SqliteConnection();
        if (SQLitePCL.raw.GetNativeLibraryName() is var name and not "e_sqlite3")
            throw OutboxErrors.OtherLibrary(path, name);
    }

    private static Guid SetUp(Database database)
    {
        string path = database.Path;
        if (database.IsReadOnly)
            throw OutboxErrors.ReadOnly(path);
        database.BusyTimeout = OpenPatience;
        // As the application's own connections do: nothing of it stays behind in the log.
        database.CopiesLogOnClose = true;
        if (database.QueryNumber("PRAGMA application_id") == StoreSchema.ApplicationId)
            throw OutboxErrors.IsAStore(path);
        if (database.QueryText("PRAGMA journal_mode") != "wal" && database.QueryText("PRAGMA journal_mode = WAL") is var mode and not "wal")
            throw OutboxErrors.NotWal(path, mode);
        if (!OutboxSchema.IsComplete(database))
            OutboxSchema.Complete(database);
        if (database.QueryNumber("SELECT version FROM queuekit_outbox_file") is var version and not OutboxSchema.Version)
            throw OutboxErrors.OtherFormat(path, version);
        // A deletion that a power cut takes back is made again: it need not be flushed.
        database.Execute("PRAGMA synchronous = NORMAL");
        database.BusyTimeout = TimeSpan.Zero;
        if (database.QueryNumber("SELECT count(*) FROM queuekit_outbox_file") != 1)
            throw OutboxErrors.NoIdentity(path, "has more than one row");
        return Guid.TryParse(database.QueryText("SELECT id FROM queuekit_outbox_file"), out Guid id) ? id : throw OutboxErrors.NoIdentity(path, "has no id that could be read");
    }
}
