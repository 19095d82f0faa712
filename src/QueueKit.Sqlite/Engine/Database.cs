using System.Runtime.InteropServices;
using System.Runtime.InteropServices.Marshalling;
using static QueueKit.Sqlite.Engine.NativeSqlite;

namespace QueueKit.Sqlite.Engine;

/// <summary>A connection to a database. One thread at a time.</summary>
internal sealed unsafe class Database : IDisposable
{
    // In memory that does not move: SQLite writes to it from inside a commit.
    private int* _logPages = (int*)NativeMemory.AllocZeroed(sizeof(int));
    private readonly List<Statement> _statements = [];
    private nint _handle;

    /// <summary>Opens a connection; the file itself is first read when something is asked of it.</summary>
    /// <exception cref="SqliteError">The file is not there, or may not be opened.</exception>
    public Database(string path, bool create = false, bool readOnly = false)
    {
        Path = path;
        byte* utf8 = Utf8StringMarshaller.ConvertToUnmanaged(path);
        try
        {
            int mode = readOnly ? OpenReadOnly : create ? OpenReadWrite | OpenCreate : OpenReadWrite;
            int code = sqlite3_open_v2(utf8, out _handle, mode | OpenNoMutex | OpenExtendedResultCodes, null);
            if (code != Ok)
                throw Error(code);
            // Whoever closes the last connection decides by himself whether the log is copied and deleted.
            Check(Configure(_handle, ConfigNoCheckpointOnClose, 1));
            // And nobody but this store makes checkpoints.
            sqlite3_wal_hook(_handle, &RememberLogPages, _logPages);
        }
        catch
        {
            Dispose();
            throw;
        }
        finally
        {
            Utf8StringMarshaller.Free(utf8);
        }
    }

    public string Path { get; }

    /// <summary>How many pages the log had after the last commit of this connection.</summary>
    public int LogPages => *_logPages;

    /// <summary>Whether the file can only be read, whatever was asked for.</summary>
    public bool IsReadOnly => sqlite3_db_readonly(_handle, null) != 0;

    /// <summary>Whether a transaction is open.</summary>
    public bool IsInTransaction => sqlite3_get_autocommit(_handle) == 0;

    /// <summary>How many rows this connection has changed.</summary>
    public int TotalChanges => sqlite3_total_changes(_handle);

    /// <summary>How long SQLite tries again by itself when another connection is in its way.</summary>
    public TimeSpan BusyTimeout
    {
        set => Check(sqlite3_busy_timeout(_handle, (int)value.TotalMilliseconds));
    }

    /// <summary>Whether the log is copied and deleted with the last connection.</summary>
    public bool CopiesLogOnClose
    {
        set => Check(Configure(_handle, ConfigNoCheckpointOnClose, value ? 0 : 1));
    }

    /// <summary>Ends the statement that is running with an error. From any thread.</summary>
    public void Interrupt() => sqlite3_interrupt(_handle);

    /// <summary>Runs a statement that returns nothing of interest.</summary>
    public void Execute(string sql)
    {
        using Statement statement = Compile(sql, isKept: false);
        while (statement.Step()) { }
    }

    /// <summary>Asks for one number.</summary>
    public long QueryNumber(string sql)
    {
        using Statement statement = Compile(sql, isKept: false);
        return statement.Step() ? statement.GetInt64(0) : throw new InvalidOperationException($"'{sql}' returns nothing.");
    }

    /// <summary>Asks for one text.</summary>
    public string QueryText(string sql)
    {
        using Statement statement = Compile(sql, isKept: false);
        return statement.Step() ? statement.GetText(0) : throw new InvalidOperationException($"'{sql}' returns nothing.");
    }

    /// <summary>Compiles a statement that lives as long as the connection.</summary>
    public Statement Prepare(string sql) => Compile(sql, isKept: true);

    /// <summary>Copies the log into the database as far as nobody reads older pages.</summary>
    /// <returns>How many pages the log has, and how many of them are copied; -1 if another connection is copying.</returns>
    public (int Logged, int Copied) Checkpoint(bool truncate = false)
    {
        int code = sqlite3_wal_checkpoint_v2(_handle, null, truncate ? CheckpointTruncate : CheckpointPassive, out int logged, out int copied);
        if ((code & 0xFF) == Busy)
            return (logged, -1);
        Check(code);
        return (logged, copied);
    }

    /// <summary>Reads the beginning of the file as it is, past all that SQLite makes of it.</summary>
    /// <remarks>Not through a handle of our own: on Unix, closing that would let go of the locks of all connections of this process.</remarks>
    public void ReadRaw(Span<byte> into)
    {
        const int ShortRead = IOError | 2 << 8;
        fixed (byte* buffer = into)
        {
            void*** file = File;
            int code = ((delegate* unmanaged[Cdecl]<void*, void*, int, long, int>)(*file)[2])(file, buffer, into.Length, 0);
            if (code is not (Ok or ShortRead))
                throw Error(code);
        }
    }

    /// <summary>Brings what was written to the file onto the disk.</summary>
    public void Sync()
    {
        void*** file = File;
        int code = ((delegate* unmanaged[Cdecl]<void*, int, int>)(*file)[5])(file, SyncNormal | SyncDataOnly);
        if (code != Ok)
            throw new SqliteError(code, "disk I/O error");
    }

    public void Check(int code)
    {
        if (code != Ok)
            throw Error(code);
    }

    public SqliteError Error(int code)
    {
        string message = _handle == 0 ? "out of memory" : Utf8StringMarshaller.ConvertToManaged(sqlite3_errmsg(_handle)) ?? "no message";
        int extended = _handle == 0 ? code : sqlite3_extended_errcode(_handle);
        int system = _handle == 0 ? 0 : sqlite3_system_errno(_handle);
        // The system's own word where SQLite only knows that it failed.
        if ((code & 0xFF) is IOError or CannotOpen or Full && system != 0)
            message += $": {Marshal.GetPInvokeErrorMessage(system)}";
        return new SqliteError((extended & 0xFF) == (code & 0xFF) ? extended : code, message);
    }

    public void Dispose()
    {
        foreach (Statement statement in _statements)
            statement.Dispose();
        _statements.Clear();
        if (_handle != 0)
            _ = sqlite3_close_v2(_handle);
        _handle = 0;
        NativeMemory.Free(_logPages);
        _logPages = null;
    }

    // SQLite's object for the file. It begins with a pointer to its methods: a number, then close, read, write, truncate, sync and others.
    private void*** File
    {
        get
        {
            void*** file;
            Check(sqlite3_file_control(_handle, null, ControlFilePointer, &file));
            return *file == null ? throw new SqliteError(CannotOpen, "the file is not open") : file;
        }
    }

    private Statement Compile(string sql, bool isKept)
    {
        const uint Persistent = 1;
        byte* utf8 = Utf8StringMarshaller.ConvertToUnmanaged(sql);
        try
        {
            Check(sqlite3_prepare_v3(_handle, utf8, -1, isKept ? Persistent : 0, out nint handle, null));
            var statement = new Statement(this, handle);
            if (isKept)
                _statements.Add(statement);
            return statement;
        }
        finally
        {
            Utf8StringMarshaller.Free(utf8);
        }
    }

    [UnmanagedCallersOnly(CallConvs = [typeof(System.Runtime.CompilerServices.CallConvCdecl)])]
    private static int RememberLogPages(void* state, nint database, byte* schema, int pages)
    {
        *(int*)state = pages;
        return Ok;
    }
}
