using System.Buffers.Binary;
using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>From a path to an open database: the witness, what is there, and what is not.</summary>
internal static class StoreOpening
{
    private const string RepairCall = "SqliteStore.RepairAsync";
    private const int HeaderBytes = 100;

    /// <summary>Makes the caller the store's only owner, by its witness.</summary>
    public static Witness Own(StorePaths paths, TimeProvider time, bool forRepair = false)
    {
        RefuseFolders(paths);
        bool exists = File.Exists(paths.Data);
        try
        {
            return Directory.Exists(paths.Folder)
                ? Witness.Open(paths.Data, exists, forRepair, time, RepairCall)
                : throw new DirectoryNotFoundException($"There is no folder '{paths.Folder}'.");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.NoAccess(paths.Data, error);
        }
        // The witness is the first file that the disk is asked for: what stands in its way stands in the store's.
        catch (StoreException error) when (error is { Fault: StoreFault.Refused, InnerException: IOException full })
        {
            throw exists ? StoreErrors.FailedToOpen(paths.Data, full) : StoreErrors.CannotCreate(paths.Data, full);
        }
        catch (StoreException error) when (error is { Fault: StoreFault.Unreadable, InnerException: (IOException or UnauthorizedAccessException) and { } cause })
        {
            throw StoreErrors.NoAccess(paths.Data, cause);
        }
    }

    /// <summary>Opens the database, creating a store if there is none. Nothing is changed before it is known to be one.</summary>
    public static Database Open(StorePaths paths, SqliteStoreOptions options)
    {
        if (!File.Exists(paths.Data))
            Create(paths);
        return OpenExisting(paths.Data, options.BusyTimeout, options.CacheBytes);
    }

    /// <summary>Gives the disk back what is free, if that is most of the file. Only where there is no log: what is in one has not been judged yet.</summary>
    public static void Compact(Database database, StorePaths paths)
    {
        // Less is soon used again.
        const long FewPages = 16 * 1024 * 1024 / StoreSchema.PageBytes;
        if (new FileInfo(paths.Log) is { Exists: true, Length: > 0 })
            return;
        long free = database.QueryNumber("PRAGMA freelist_count");
        if (free < FewPages || free < database.QueryNumber("PRAGMA page_count") / 2)
            return;
        try
        {
            // What is not free is copied into a file of its own, and back through the log: killed anywhere, the store is as it was, or done.
            database.Execute("PRAGMA temp_store = FILE");
            database.Execute("VACUUM");
            database.Checkpoint(truncate: true);
        }
        catch (SqliteError error) when (error.Kind is NativeSqlite.Full or NativeSqlite.Busy or NativeSqlite.Locked or NativeSqlite.CannotOpen)
        {
            // No room for the copies, or somebody is reading. It would only have saved space.
        }
        finally
        {
            database.Execute("PRAGMA temp_store = MEMORY");
        }
    }

    /// <summary>Opens one more connection to a store that is open.</summary>
    public static Database OpenAnother(string path, TimeSpan busyTimeout, long cacheBytes)
    {
        var database = new Database(path);
        try
        {
            SetUp(database, busyTimeout, cacheBytes);
            return database;
        }
        catch
        {
            database.Dispose();
            throw;
        }
    }

    /// <summary>Says in our words why a database cannot be opened.</summary>
    public static StoreException Explain(string path, SqliteError error) => error.Kind switch
    {
        NativeSqlite.Busy or NativeSqlite.Locked => StoreErrors.LockedByAnother(path, error),
        NativeSqlite.NotADatabase or NativeSqlite.Corrupt => StoreErrors.Unreadable(path, error),
        NativeSqlite.CannotOpen or NativeSqlite.PermissionDenied or NativeSqlite.Authorization or NativeSqlite.ReadOnly => StoreErrors.NoAccess(path, error),
        _ => StoreErrors.FailedToOpen(path, error),
    };

    private static Database OpenExisting(string path, TimeSpan busyTimeout, long cacheBytes)
    {
        var database = new Database(path);
        try
        {
            if (database.IsReadOnly)
                throw StoreErrors.NoAccess(path, new UnauthorizedAccessException("It may only be read."));
            RefuseForeign(database);
            SetUp(database, busyTimeout, cacheBytes);
            return database;
        }
        catch
        {
            database.Dispose();
            throw;
        }
    }

    private static void SetUp(Database database, TimeSpan busyTimeout, long cacheBytes)
    {
        database.BusyTimeout = busyTimeout;
        if (database.QueryText("PRAGMA journal_mode = WAL") is var mode and not "wal")
            throw StoreErrors.NotAStore(database.Path, $"its journal mode cannot be changed from '{mode}' to 'wal'");
        database.Execute($"PRAGMA cache_size = {-cacheBytes / 1024}");
        database.Execute("PRAGMA mmap_size = 0");
        database.Execute("PRAGMA temp_store = MEMORY");
        database.Execute("PRAGMA synchronous = FULL");
        // On macOS an ordinary sync stops at the drive's cache.
        database.Execute("PRAGMA fullfsync = 1");
        database.Execute("PRAGMA checkpoint_fullfsync = 1");
    }

    // By the file's first bytes, before SQLite looks at them: it would roll back, recover or delete what lies beside a database.
    private static void RefuseForeign(Database database)
    {
        Span<byte> header = stackalloc byte[HeaderBytes];
        database.ReadRaw(header);
        string path = database.Path;
        if (!header.ContainsAnyExcept((byte)0))
            throw StoreErrors.NotAStore(path, new FileInfo(path).Length == 0 ? "it is empty" : "it begins with zeros");
        if (!header.StartsWith("SQLite format 3\0"u8))
            throw StoreErrors.NotAStore(path, "it is no SQLite database");
        if (BinaryPrimitives.ReadInt32BigEndian(header[68..]) != StoreSchema.ApplicationId)
            throw StoreErrors.NotAStore(path, "it is a SQLite database of another program");
        if (BinaryPrimitives.ReadInt32BigEndian(header[60..]) is var version and not StoreSchema.Version)
            throw StoreErrors.TooNew(path, version);
    }

    private static void RefuseFolders(StorePaths paths)
    {
        foreach (string path in (ReadOnlySpan<string>)[paths.Data, paths.Log])
        {
            if (Directory.Exists(path))
                throw StoreErrors.NotAFile(path);
        }
    }

    private static void Create(StorePaths paths)
    {
        // A new store beside what is left of an old one would hide a loss.
        foreach (string other in (ReadOnlySpan<string>)[paths.Repaired, paths.Log])
        {
            if (File.Exists(other))
                throw other == paths.Repaired ? StoreErrors.RepairCutShort(paths) : StoreErrors.DataMissing(paths, other);
        }
        try
        {
            Create(paths.New);
            Disk.Replace(paths.New, paths.Data);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or SqliteError)
        {
            throw StoreErrors.CannotCreate(paths.Data, error);
        }
    }

    /// <summary>Makes an empty store under a name that nobody opens; when it returns, it is one file and on the disk.</summary>
    public static void Create(string path)
    {
        DeleteDatabase(path);
        using var database = new Database(path, create: true);
        StoreSchema.Create(database);
        database.CopiesLogOnClose = true;
        database.Checkpoint(truncate: true);
    }

    /// <summary>Deletes a database that nobody needs, with what belongs to it.</summary>
    public static void DeleteDatabase(string path)
    {
        foreach (string file in (ReadOnlySpan<string>)[path, StorePaths.LogOf(path), StorePaths.IndexOf(path)])
            File.Delete(file);
    }
}
