using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>From a path to open files: the lock, what is there, and what is not.</summary>
internal static class StoreOpening
{
    /// <summary>Takes the store's lock.</summary>
    public static IDisposable Lock(IStoreFileSystem files, StorePaths paths)
    {
        try
        {
            return files.TryLock(paths.Lock) ?? throw StoreErrors.InUse(paths);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.NoAccess(paths.Data, error);
        }
    }

    /// <summary>Makes the caller the store's only owner, by its witness where it has one.</summary>
    public static (IDisposable Lock, Witness? Witness) Own(IStoreFileSystem files, StorePaths paths, TimeProvider time, bool forRepair = false)
    {
        RefuseFolders(files, paths);
        bool exists = files.Exists(paths.Data);
        try
        {
            Witness? witness = files.OpenWitness(paths.Data, exists, time, forRepair);
            return (witness ?? Lock(files, paths), witness);
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

    /// <summary>Opens the files, creating a store if there is none.</summary>
    public static StoreFiles Open(IStoreFileSystem files, StorePaths paths, LiteDBStoreOptions options)
    {
        RefuseFolders(files, paths);
        try
        {
            if (!files.Exists(paths.Data))
                Create(files, paths);
            return StoreFiles.Open(files, paths, (int)Math.Min(LogFile.MostAheadBytes, options.LogBytes / 4));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.NoAccess(paths.Data, error);
        }
    }

    private static void RefuseFolders(IStoreFileSystem files, StorePaths paths)
    {
        foreach (string path in (ReadOnlySpan<string>)[paths.Data, paths.Log])
        {
            if (files.IsFolder(path))
                throw StoreErrors.NotAFile(path);
        }
    }

    private static void Create(IStoreFileSystem files, StorePaths paths)
    {
        // A new store beside what is left of an old one would hide a loss.
        foreach (string other in (ReadOnlySpan<string>)[paths.Repaired, paths.Log, paths.LiteBackup])
        {
            if (files.Exists(other))
                throw other == paths.Repaired ? StoreErrors.RepairCutShort(paths) : StoreErrors.DataMissing(paths, other);
        }
        try
        {
            LiteEngines.Create(files, paths);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.CannotCreate(paths.Data, error);
        }
    }
}
