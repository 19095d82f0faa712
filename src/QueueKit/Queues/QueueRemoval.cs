using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Removes what a large queue that was deleted has left in the store, a slice a commit, so that no commit holds all of it or keeps others waiting.</summary>
/// <remarks>
/// The deletion itself is one commit: from then on the queue's record says that it is deleted, and nobody sees it again. The record goes last. What has
/// been cut short is finished after the next opening.
/// </remarks>
internal sealed class QueueRemoval(BrokerContext broker)
{
    /// <summary>What fewer messages leave behind goes with the deletion's own commit.</summary>
    public const int SliceRecords = 1024;

    private const long SliceBytes = 4 * 1024 * 1024;

    private static readonly StoreKind[] s_kinds = [StoreKind.Message, StoreKind.Parked, StoreKind.Attempts];

    /// <summary>Begins, beside everything else.</summary>
    public void Begin(uint queue) => _ = RunAsync(queue);

    /// <summary>Removes everything of a queue but its record.</summary>
    public static void WriteAll(StoreBatch batch, uint queue)
    {
        foreach (StoreKind kind in s_kinds)
            batch.DeleteRange(StoreKey.First(kind, queue), StoreKey.After(kind, queue));
    }

    private async Task RunAsync(uint queue)
    {
        await broker.Scheduler.Yield();
        try
        {
            foreach (StoreKind kind in s_kinds)
            {
                StoreKey end = StoreKey.After(kind, queue);
                for (StoreKey from = StoreKey.First(kind, queue); from < end;)
                {
                    StoreKey first = from, next = EndOfSlice(from, end);
                    await Commit(batch => batch.DeleteRange(first, next)).CountedOn(broker.Scheduler);
                    from = next;
                }
            }
            await Commit(batch => batch.Delete(QueueRecord.KeyOf(queue))).CountedOn(broker.Scheduler);
        }
        catch (Exception error) when (error is StoreException or ObjectDisposedException)
        {
            // The store takes no more, or the broker is closed: the queue's record says that it is deleted, and the next opening goes on from here.
            return;
        }
    }

    private StoreKey EndOfSlice(in StoreKey from, in StoreKey end)
    {
        var page = new StorePage();
        try
        {
            return broker.Store!.Read(from, end, SliceRecords, SliceBytes, page) && page.Records.Count > 0 ? page.Records[^1].Key.Next() : end;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Unreadable)
        {
            // What cannot be read can be deleted: all that is left, in one commit.
            return end;
        }
    }

    // Whatever of it a power cut brings back is removed again.
    private Task Commit(Action<StoreBatch> write) => new AwaitedWork(FlushLevel.Written, write).EnqueueTo(broker);
}
