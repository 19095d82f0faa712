using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>From a path to an open database: the lock, what is there, and what is not.</summary>
internal static class StoreOpening
{
    /// <summary>Makes the caller the store's only owner, by its witness.</summary>
    public static Witness Own(StorePaths paths, TimeProvider time, bool forRepair = false)
    {
        if (File.Exists(paths.Folder))
            throw StoreErrors.NotAFolder(paths.Folder);
        bool exists;
        try
        {
            string[] names = [.. paths.Names()];
            exists = paths.Exists || names.Any(StorePaths.IsOfDatabase);
            if (!exists && !forRepair && Directory.Exists(paths.Repaired))
                throw StoreErrors.RepairCutShort(paths);
            if (!exists && names.Length > 0)
                throw StoreErrors.NotAStore(paths.Folder, "other files are in it, and no database");
            if (!Directory.Exists(paths.Parent))
                throw new DirectoryNotFoundException($"There is no folder '{paths.Parent}'.");
            return Witness.Open(paths.Folder, exists, forRepair, time, repair: "RocksDBStore.RepairAsync");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.NoAccess(paths.Folder, error);
        }
        // The witness is the first file that the disk is asked for: what stands in its way stands in the store's.
        catch (StoreException error) when (error is { Fault: StoreFault.Refused, InnerException: IOException full })
        {
            throw paths.Exists ? StoreErrors.FailedToOpen(paths.Folder, full) : StoreErrors.CannotCreate(paths.Folder, full);
        }
        catch (StoreException error) when (error is { Fault: StoreFault.Unreadable, InnerException: (IOException or UnauthorizedAccessException) and { } cause })
        {
            throw StoreErrors.NoAccess(paths.Folder, cause);
        }
    }

    /// <summary>Opens the database for reading, creating one if there is none. Nothing in it changes.</summary>
    public static RocksEngine Open(StorePaths paths, RocksDBStoreOptions options)
    {
        try
        {
            if (!paths.Exists)
                Create(paths, options);
            RefuseReadOnlyFolder(paths);
            return OpenForReading(paths, options);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.NoAccess(paths.Folder, error);
        }
    }

    /// <summary>Opens a database that has been looked at.</summary>
    public static RocksEngine OpenForWriting(StorePaths paths, RocksDBStoreOptions options)
    {
        try
        {
            return RocksEngine.Open(paths.Folder, RocksMode.ReadWrite, options);
        }
        catch (RocksException error)
        {
            throw Explain(paths, error);
        }
    }

    /// <summary>Opens a database for reading and sees whether it is a store.</summary>
    public static RocksEngine OpenForReading(StorePaths paths, RocksDBStoreOptions options)
    {
        RocksEngine? engine = null;
        try
        {
            engine = RocksEngine.Open(paths.Folder, RocksMode.ReadOnly, options);
            CheckFormat(engine, paths);
            return engine;
        }
        catch (Exception error)
        {
            engine?.Dispose();
            if (error is RocksException cause)
                throw Explain(paths, cause);
            throw;
        }
    }

    // Refuses a database that is not a store, or newer.
    private static void CheckFormat(RocksEngine engine, StorePaths paths)
    {
        if (engine.Get(FormatRecord.Key) is not { } record)
            throw StoreErrors.NotAStore(paths.Folder, "it is a RocksDB database of another program");
        uint version = FormatRecord.Read(record) ?? throw StoreErrors.FormatDamaged(paths.Folder);
        if (version != FormatRecord.Version)
            throw StoreErrors.TooNew(paths.Folder, version);
    }

    // Under a name of its own, which changes when it is complete: a store is there or not.
    private static void Create(StorePaths paths, RocksDBStoreOptions options)
    {
        if (paths.Names().Any(StorePaths.IsOfDatabase))
            throw StoreErrors.CurrentMissing(paths);
        try
        {
            if (Directory.Exists(paths.Folder))
                Directory.Delete(paths.Folder);
        }
        catch (IOException error)
        {
            throw StoreErrors.CannotReplaceFolder(paths.Folder, error);
        }
        try
        {
            CreateEmpty(paths.New, options);
            FolderNames.Rename(paths.New, paths.Folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or RocksException)
        {
            throw StoreErrors.CannotCreate(paths.Folder, error);
        }
    }

    /// <summary>Makes an empty store in a folder; what was there is deleted.</summary>
    public static void CreateEmpty(string folder, RocksDBStoreOptions options)
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
        using (RocksEngine engine = RocksEngine.Open(folder, RocksMode.Create, options))
        {
            engine.Write(FormatRecord.Batch(), isFlushed: true);
            engine.Flush();
        }
        EmptyLogs(new StorePaths(folder));
    }

    /// <summary>After everything was written into tables and the database was closed: its logs hold nothing any more, and RocksDB would keep their space.</summary>
    public static void EmptyLogs(StorePaths paths)
    {
        foreach (FileInfo log in paths.Logs().Where(static log => log.Length > 0))
        {
            using FileStream stream = log.OpenWrite();
            stream.SetLength(0);
        }
    }

    // Opening for reading would not notice.
    private static void RefuseReadOnlyFolder(StorePaths paths)
    {
        string lockFile = Path.Combine(paths.Folder, "LOCK");
        if (File.Exists(lockFile))
            File.OpenHandle(lockFile, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite).Dispose();
    }

    private static StoreException Explain(StorePaths paths, RocksException error) => error switch
    {
        { IsLocked: true } => StoreErrors.InUse(paths.Folder, error),
        { IsDiskFull: true } => StoreErrors.FailedToOpen(paths.Folder, error),
        { IsAccess: true } => StoreErrors.NoAccess(paths.Folder, error),
        _ => StoreErrors.Unreadable(paths.Folder, error),
    };
}
