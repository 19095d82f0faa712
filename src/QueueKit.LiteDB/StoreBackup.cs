using QueueKit.LiteDB.Files;

namespace QueueKit.LiteDB;

/// <summary>Copies an open store as it is after one commit, and makes one file of it.</summary>
/// <remarks>
/// What is copied does not change meanwhile: the data file is written by checkpoints only, which wait, and commits go to the log behind the pages that are copied.
/// The copies of data file and log are what a kill would leave. They are opened as a store, which checks all that there is to check, and closed, which copies the log into the data file.
/// </remarks>
internal static class StoreBackup
{
    /// <summary>Copies into a folder of that name, which it makes.</summary>
    /// <param name="files">Where the store lies.</param>
    /// <param name="paths">The store's files.</param>
    /// <param name="open">Its open ones; no checkpoint until this returns.</param>
    /// <param name="log">The pages of the log up to the commit.</param>
    /// <param name="folder">Not there yet.</param>
    /// <param name="ct">Gives up between two pages.</param>
    /// <exception cref="DamagedPageException">The store is damaged.</exception>
    /// <exception cref="IOException">The disk does not want to. Or <see cref="UnauthorizedAccessException"/> or <see cref="StoreException"/>.</exception>
    public static void Write(IStoreFileSystem files, StorePaths paths, StoreFiles open, LogPage[] log, string folder, CancellationToken ct)
    {
        Directory.CreateDirectory(folder);
        var target = new StorePaths(Path.Combine(folder, Path.GetFileName(paths.Data)));
        using (IStoreFile copy = files.Create(target.Data))
        {
            open.Data.CopyTo(copy, [.. log.Select(static page => page.PageId)], ct);
            copy.Sync();
        }
        using (IStoreFile copy = files.Create(target.Log))
        {
            open.Log.CopyTo(copy, log, ct);
            copy.Sync();
        }
        using (LiteMessageStore store = LiteMessageStore.Create(files, target, new LiteDBStoreOptions { MinFreeBytes = 0 }, TimeProvider.System))
        {
            if (store.LogBytes != (long)log.Length * PageFormat.Size)
                throw new DamagedPageException(paths.Log, $"of {log.Length} pages of '{paths.Log}' {store.LogBytes / PageFormat.Size} were read back from their copy");
            ct.ThrowIfCancellationRequested();
            store.Close();
        }
        files.Delete(target.Lock);
    }
}
