using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>The backups of a broker's store: one at a time, and none beyond the broker's end.</summary>
internal sealed class BrokerBackups : IDisposable
{
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource _closing = new();

    /// <summary>Copies the store into a folder.</summary>
    public async ValueTask RunAsync(IMessageStore? store, string folder, CancellationToken ct)
    {
        string target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        if (store is null)
            throw Refusal(target, "the broker has no store, and what is in transient queues lives in memory only", "Open it with MessageBrokerOptions.Store");
        if (store is not IBackupStore copied)
            throw Refusal(target, "the broker's store cannot copy itself", "Take one on a disk: LiteDB, RocksDB or SQLite");
        using var either = CancellationTokenSource.CreateLinkedTokenSource(ct, _closing.Token);
        bool hasTurn = false;
        try
        {
            await _turn.WaitAsync(either.Token).ConfigureAwait(false);
            hasTurn = true;
            RemoveIfEmpty(target);
            await copied.BackupAsync(target, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!ct.IsCancellationRequested)
        {
            throw Refusal(target, "the broker was closed before it was complete, and nothing is left of it", "Await backups before closing the broker");
        }
        finally
        {
            if (hasTurn)
                _turn.Release();
        }
    }

    /// <summary>Gives up what is under way, and waits until it has ended.</summary>
    public async Task StopAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        await _turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
    }

    public void Dispose()
    {
        _turn.Dispose();
        _closing.Dispose();
    }

    // Stores make the folder themselves, with everything in it.
    private static void RemoveIfEmpty(string folder)
    {
        if (!Path.Exists(folder))
            return;
        try
        {
            if (!Directory.Exists(folder) || Directory.EnumerateFileSystemEntries(folder).Any())
                throw Refusal(folder, Directory.Exists(folder) ? "the folder is there already, and not empty" : "there is a file of that name", "Name a folder that is empty or not there yet, for example one with the date in its name");
            Directory.Delete(folder);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw Refusal(folder, $"the empty folder that is there cannot be replaced: {error.Message.TrimEnd('.')}", "Name one that is not there yet", error);
        }
    }

    private static StoreException Refusal(string folder, string why, string remedy, Exception? cause = null) =>
        new(StoreFault.Refused, $"There is no backup in '{folder}': {why}. {remedy}. The broker goes on as before.", folder, cause);
}
