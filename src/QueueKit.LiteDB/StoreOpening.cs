using QueueKit.LiteDB.Files;

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

    /// <summary>Opens the files, creating a store if there is none.</summary>
    public static StoreFiles Open(IStoreFileSystem files, StorePaths paths, LiteDBStoreOptions options)
    {
        foreach (string path in (ReadOnlySpan<string>)[paths.Data, paths.Log])
        {
            if (files.IsFolder(path))
                throw StoreErrors.NotAFile(path);
        }
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
