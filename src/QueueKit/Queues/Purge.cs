using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Removes what is ready and delayed: out of the queue at once, out of the store in one commit or, if it is much, a slice a commit, the oldest first.</summary>
/// <remarks>If the store refuses a slice, or the process ends, what was not removed by then is there again.</remarks>
internal sealed class Purge(QueueConductor queue)
{
    private const int SliceMessages = QueueRemoval.SliceRecords;
    private const long SliceBytes = 4 * 1024 * 1024;

    private PurgedMessages? _taken;
    private Task? _committed;

    public long Count => _taken!.Count;

    /// <summary>Takes the messages out. Under the lock: the pipeline takes the work in, and neither blocks nor calls back.</summary>
    public void Begin(QueueCore core)
    {
        // In the same hold: a queue that is closed in between would be emptied, and its store asked in vain.
        if (queue.Unavailability is { } reason)
        {
            _committed = Task.FromException(QueueErrors.Again(reason));
            return;
        }
        _taken = new PurgedMessages(core);
        if (!queue.IsDurable)
        {
            _taken.Purged();
            _committed = Task.CompletedTask;
        }
        else if (_taken.Count <= SliceMessages && _taken.Scheduled.Count == 0)
        {
            _committed = new AwaitedWork(queue.FlushLevel, WriteAll, () => queue.Step(new PurgeStep(_taken.Purged)), NotAll).EnqueueTo(queue.Broker);
        }
    }

    /// <summary>Removes them from the store.</summary>
    public async Task RunAsync()
    {
        if (_committed is not null)
        {
            await _committed.CountedOn(queue.Broker.Scheduler);
            return;
        }
        // The store is read on the way, which may block.
        await queue.Broker.Scheduler.Yield();
        try
        {
            for (int from = 0; from < _taken!.Loaded.Count; from += SliceMessages)
                await RemoveLoadedAsync(from, Math.Min(SliceMessages, _taken.Loaded.Count - from)).CountedOn(queue.Broker.Scheduler);
            for (int i = 0; i < _taken.Ranges.Count; i++)
            {
                while (_taken.Ranges[i] is { Paged.Messages: > 0 } range)
                    await RemoveRangeAsync(i, FirstSlice(range)).CountedOn(queue.Broker.Scheduler);
            }
            for (int i = 0; i < _taken.Scheduled.Count; i++)
            {
                while (_taken.Scheduled[i] is { Paged.Messages: > 0 } range)
                    await RemoveScheduledAsync(i, range).CountedOn(queue.Broker.Scheduler);
            }
            // Last: as long as a message may be back, it is known how often it has failed.
            await Commit(WriteFailed, _taken.Purged).CountedOn(queue.Broker.Scheduler);
        }
        catch (StoreException error)
        {
            NotAll(error);
            throw;
        }
    }

    private void WriteAll(StoreBatch batch)
    {
        if (queue.Commits.IsGone)
            return;
        foreach (WaitingMessage waiting in _taken!.Loaded)
            StoredMessage.WriteRemoval(batch, queue.Id, waiting.Message);
        foreach (PagedRange range in _taken.Ranges)
            StoredMessage.WriteRemoval(batch, queue.Id, range);
        WriteFailed(batch);
    }

    private void WriteFailed(StoreBatch batch)
    {
        foreach (long sequence in _taken!.FailedUnread)
            batch.Delete(AttemptsRecord.KeyOf(queue.Id, sequence));
    }

    private Task RemoveLoadedAsync(int from, int count) => Commit(
        batch =>
        {
            foreach (WaitingMessage waiting in _taken!.Loaded.Slice(from, count))
                StoredMessage.WriteRemoval(batch, queue.Id, waiting.Message);
        },
        () => _taken!.PurgedLoaded(count));

    private Task RemoveRangeAsync(int index, PagedRange slice) => Commit(
        batch => StoredMessage.WriteRemoval(batch, queue.Id, slice),
        () => _taken!.PurgedOf(index, slice));

    // One by one: what is sent meanwhile may be due between them.
    private Task RemoveScheduledAsync(int index, ScheduledRange range)
    {
        var page = new StorePage();
        var keys = new List<StoreKey>();
        Tally found = default;
        DueKey next = range.From;
        for (bool hasMore = true; hasMore && keys.Count == 0;)
        {
            (StoreKey from, StoreKey end) = StoredMessage.ScheduledRange(queue.Id, (byte)range.Band, next);
            hasMore = queue.Broker.Store!.Read(from, end, SliceMessages, SliceBytes, page);
            foreach (StoreRecord record in page.Records)
            {
                next = new DueKey(record.Key.Order, record.Key.Sequence).Next();
                if (record.Key.Sequence > range.LastPlaced)
                    continue;
                keys.Add(record.Key);
                found.Add(SizeOf(record));
            }
            // All that is left, by the books: what could not be read counts in them.
            if (!hasMore)
                found = range.Paged;
        }
        return Commit(
            batch =>
            {
                foreach (StoreKey key in keys)
                    batch.Delete(key);
                batch.LaneChanges.Add(StoredMessage.ScheduledRange(queue.Id, (byte)range.Band, range.From).From, -found.Messages, -found.Bytes);
            },
            () => _taken!.PurgedOfScheduled(index, next, found));
    }

    private static long SizeOf(in StoreRecord record)
    {
        try
        {
            return MessageRecord.Decode(record).Message.Size;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Unreadable)
        {
            return 0;
        }
    }

    private Task Commit(Action<StoreBatch> write, Action done) => new AwaitedWork(
        queue.FlushLevel,
        batch =>
        {
            if (!queue.Commits.IsGone)
                write(batch);
        },
        () => queue.Step(new PurgeStep(done))).EnqueueTo(queue.Broker);

    // The beginning of a range; all of it, where the rest of it is little, or cannot be read but can be deleted.
    private PagedRange FirstSlice(PagedRange range)
    {
        var page = new StorePage();
        try
        {
            byte band = (byte)range.Band;
            bool hasMore = queue.Broker.Store!.Read(StoredMessage.KeyOf(queue.Id, band, 0, range.First), StoredMessage.KeyOf(queue.Id, band, 0, range.Last).Next(), SliceMessages, SliceBytes, page);
            Tally found = default;
            foreach (StoreRecord record in page.Records)
                found.Add(MessageRecord.Decode(record).Message.Size);
            return hasMore && found.Messages > 0 && found.Messages < range.Paged.Messages
                ? range with { Last = page.Records[^1].Key.Sequence, Paged = found }
                : range;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Unreadable)
        {
            return range;
        }
    }

    // After a failure nobody knows what is stored, and the queue delivers nothing any more.
    private void NotAll(StoreException reason)
    {
        if (reason.Fault is StoreFault.Refused or StoreFault.Unreadable)
            queue.Step(new PurgeStep(_taken!));
    }
}

/// <summary>The removal of waiting messages is committed, in whole or in part, or it was refused.</summary>
internal sealed class PurgeStep : ITransferStep
{
    private readonly Action? _done;
    private readonly PurgedMessages? _refused;

    public PurgeStep(Action done) => _done = done;

    public PurgeStep(PurgedMessages refused) => _refused = refused;

    public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
    {
        _done?.Invoke();
        _refused?.NotPurged(moment, ref aftermath);
    }
}
