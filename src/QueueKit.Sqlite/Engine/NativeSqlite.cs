using System.Runtime.InteropServices;

namespace QueueKit.Sqlite.Engine;

/// <summary>The functions of SQLite that the store calls, in the library that Microsoft.Data.Sqlite brings along.</summary>
/// <remarks>
/// Called past SQLitePCL: a row costs a dozen calls, and there each has the price of a safe handle and of a copy. The short ones do not even tell the garbage collector
/// (<see cref="SuppressGCTransitionAttribute"/>): they touch one statement, wait for nothing and call nobody back.
/// </remarks>
internal static unsafe partial class NativeSqlite
{
    private const string Library = "e_sqlite3";

    public const int Ok = 0, Busy = 5, Locked = 6, NoMemory = 7, ReadOnly = 8, IOError = 10, Corrupt = 11, Full = 13, CannotOpen = 14, NotADatabase = 26, Row = 100, Done = 101;
    public const int PermissionDenied = 3, Authorization = 23;
    public const int OpenReadWrite = 0x2, OpenCreate = 0x4, OpenReadOnly = 0x1, OpenNoMutex = 0x8000, OpenExtendedResultCodes = 0x2000000;
    public const int CheckpointPassive = 0, CheckpointTruncate = 3;
    public const int ConfigNoCheckpointOnClose = 1006;
    public const int ControlFilePointer = 7;
    public const int SyncNormal = 2, SyncDataOnly = 0x10;

    [LibraryImport(Library)]
    public static partial int sqlite3_open_v2(byte* path, out nint database, int flags, byte* vfs);

    [LibraryImport(Library)]
    public static partial int sqlite3_close_v2(nint database);

    [LibraryImport(Library)]
    public static partial int sqlite3_extended_errcode(nint database);

    [LibraryImport(Library)]
    public static partial byte* sqlite3_errmsg(nint database);

    [LibraryImport(Library)]
    public static partial int sqlite3_system_errno(nint database);

    [LibraryImport(Library)]
    public static partial void sqlite3_interrupt(nint database);

    [LibraryImport(Library)]
    public static partial int sqlite3_busy_timeout(nint database, int milliseconds);

    [LibraryImport(Library)]
    public static partial int sqlite3_db_readonly(nint database, byte* schema);

    [LibraryImport(Library)]
    public static partial int sqlite3_get_autocommit(nint database);

    [LibraryImport(Library)]
    public static partial int sqlite3_total_changes(nint database);

    // A function of C with "...": on ARM processors of Apple's its arguments go on the stack, which is what the six empty ones before them are for.
    [LibraryImport(Library)]
    private static partial int sqlite3_db_config(nint database, int option, int value, int* result);

    [LibraryImport(Library, EntryPoint = "sqlite3_db_config")]
    private static partial int ConfigureOnAppleArm(nint database, int option, nint _3, nint _4, nint _5, nint _6, nint _7, nint _8, int value, int* result);

    public static int Configure(nint database, int option, int value) => OperatingSystem.IsMacOS() && RuntimeInformation.ProcessArchitecture == Architecture.Arm64
        ? ConfigureOnAppleArm(database, option, 0, 0, 0, 0, 0, 0, value, null)
        : sqlite3_db_config(database, option, value, null);

    [LibraryImport(Library)]
    public static partial int sqlite3_file_control(nint database, byte* schema, int operation, void* argument);

    [LibraryImport(Library)]
    public static partial int sqlite3_wal_checkpoint_v2(nint database, byte* schema, int mode, out int logged, out int copied);

    [LibraryImport(Library)]
    public static partial void* sqlite3_wal_hook(nint database, delegate* unmanaged[Cdecl]<void*, nint, byte*, int, int> hook, void* state);

    [LibraryImport(Library)]
    public static partial int sqlite3_prepare_v3(nint database, byte* sql, int length, uint flags, out nint statement, byte** tail);

    [LibraryImport(Library)]
    public static partial int sqlite3_finalize(nint statement);

    [LibraryImport(Library)]
    public static partial int sqlite3_step(nint statement);

    [LibraryImport(Library)]
    public static partial int sqlite3_reset(nint statement);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial int sqlite3_bind_int64(nint statement, int index, long value);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial int sqlite3_bind_blob(nint statement, int index, void* value, int length, nint destructor);

    [LibraryImport(Library)]
    public static partial int sqlite3_bind_text(nint statement, int index, byte* value, int length, nint destructor);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial int sqlite3_bind_null(nint statement, int index);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial int sqlite3_column_type(nint statement, int column);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial long sqlite3_column_int64(nint statement, int column);

    [LibraryImport(Library)]
    public static partial byte* sqlite3_column_blob(nint statement, int column);

    [LibraryImport(Library)]
    public static partial byte* sqlite3_column_text(nint statement, int column);

    [LibraryImport(Library), SuppressGCTransition]
    public static partial int sqlite3_column_bytes(nint statement, int column);
}
