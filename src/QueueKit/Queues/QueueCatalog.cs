using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Which queues there are, in the store: creates, changes, deletes and recovers them. Called under the broker's lock, or before there is anybody else.</summary>
internal sealed class QueueCatalog(BrokerContext broker)
{
    /// <summary>What a message's head can take at most: its properties, headers and dead-letter texts.</summary>
    public const int LargestHead = 256 * 1024;

    private const int PageRecords = 1024;
    private const long PageBytes = 8 * 1024 * 1024;

    private readonly QueueRemoval _removal = new(broker);
    private uint _lastId;

    /// <summary>What <see cref="Durability.Default"/> comes to, and whether the broker can keep the promise.</summary>
    public Durability Resolve(string name, QueueOptions options)
    {
        if (options.Durability == Durability.Default)
            return broker.Pipeline is null ? Durability.Transient : Durability.Flushed;
        if (options.Durability != Durability.Transient && broker.Pipeline is null)
        {
            throw new QueueDeclarationException(name,
                $"Queue '{name}' is declared {options.Durability}, but this broker has no store. Set MessageBrokerOptions.Store when it is opened, or declare the queue Transient.");
        }
        return options.Durability;
    }

    /// <summary>Creates a queue. What uses it may go to the pipeline at once: the pipeline keeps the order.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="maybeLater">What becomes of it if the store refuses its record: whether the first message brings the record along, or the queue never was.</param>
    /// <param name="committed">Completes when the store has it; null for a transient one.</param>
    public QueueConductor Create(string name, QueueOptions options, bool maybeLater, out Task? committed)
    {
        committed = null;
        if (options.Durability == Durability.Transient)
            return new QueueConductor(broker, name, 0, options);
        uint id = checked(++_lastId);
        var queue = new QueueConductor(broker, name, id, options);
        byte[] record = QueueRecord.Encode(id, name, options);
        Action<StoreBatch> write = batch =>
        {
            MetaRecord.Put(batch, MetaRecord.FormatKey, MetaRecord.Format);
            MetaRecord.Put(batch, MetaRecord.LastQueueIdKey, Volatile.Read(ref _lastId));
            batch.Put(QueueRecord.KeyOf(id), record);
        };
        committed = Write(write, _ =>
        {
            queue.Commits.IsGone = !maybeLater;
            queue.Commits.WriteUnstoredRecord = write;
        });
        return queue;
    }

    /// <summary>Stores changed options; null for a transient queue.</summary>
    public Task? Update(QueueConductor queue, QueueOptions options)
    {
        if (!queue.IsDurable)
            return null;
        byte[] record = QueueRecord.Encode(queue.Id, queue.Name, options);
        return Write(batch =>
        {
            if (queue.Commits.TryBeginWrite(batch))
                batch.Put(QueueRecord.KeyOf(queue.Id), record);
        });
    }

    /// <summary>Deletes a queue, which is closed, and its messages; if the store refuses, it is open again when this fails. What a large one leaves in the store is removed afterwards.</summary>
    /// <param name="queue">The queue.</param>
    /// <param name="committed">Called, on the pipeline's thread, when it is gone.</param>
    public Task DeleteAsync(QueueConductor queue, Action committed)
    {
        bool isLarge = queue.Upkeep.Snapshot().Messages > QueueRemoval.SliceRecords;
        return Write(
            batch =>
            {
                queue.Commits.IsGone = true;
                batch.LaneChanges.Delete(queue.Id);
                if (isLarge)
                {
                    batch.Put(QueueRecord.KeyOf(queue.Id), QueueRecord.EncodeDeleted(queue.Id, queue.Name));
                    return;
                }
                batch.Delete(QueueRecord.KeyOf(queue.Id));
                QueueRemoval.WriteAll(batch, queue.Id);
            },
            notCommitted: error =>
            {
                queue.Commits.IsGone = false;
                queue.Upkeep.EndDeletion(error);
            },
            committed: () =>
            {
                committed();
                queue.Upkeep.EndDeletion(null);
                if (isLarge)
                    _removal.Begin(queue.Id);
            });
    }

    /// <summary>Reads what the store holds and starts the pipeline.</summary>
    public async IAsyncEnumerable<QueueConductor> RecoverAsync(IMessageStore store, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        var meta = new Dictionary<StoreKey, StoreRecord>();
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Meta), ct).ConfigureAwait(false))
            meta[record.Key] = record;
        if (meta.TryGetValue(MetaRecord.FormatKey, out StoreRecord format))
            MetaRecord.RefuseOtherFormat(MetaRecord.Read(format));
        if (meta.TryGetValue(MetaRecord.LastQueueIdKey, out StoreRecord lastId))
            _lastId = MetaRecord.Read(lastId);
        var places = new List<StoreRecord>();
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Delta), StoreKey.After(StoreKind.Delta), ct).ConfigureAwait(false))
            places.Add(record);
        var commits = CommitRecords.Read(meta.TryGetValue(CommitRecord.FoldKey, out StoreRecord fold) ? fold : null, places);
        CommitRecord lastCommit = commits.Last;
        var recovery = new CrashRecovery(broker, store.Witness, lastCommit, meta.GetValueOrDefault(MetaRecord.JudgedKey));
        broker.Store = store;
        broker.Pipeline = new CommitPipeline(store, broker.Scheduler, commits, broker.Telemetry, broker.Clock);

        var queues = new List<StoreRecord>();
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Queue), StoreKey.After(StoreKind.Queue), ct).ConfigureAwait(false))
            queues.Add(record);
        foreach (StoreRecord record in queues.Where(static record => !QueueRecord.IsDeleted(record)))
        {
            (string name, QueueOptions options) = QueueRecord.Decode(record);
            var queue = new QueueConductor(broker, name, record.Key.Queue, options);
            await RecoverMessagesAsync(store, queue, recovery, commits.Counters, lastCommit.LastSequence, ct).ConfigureAwait(false);
            yield return queue;
        }
        await recovery.ConcludeAsync().ConfigureAwait(false);
        foreach (StoreRecord record in queues.Where(QueueRecord.IsDeleted))
            _removal.Begin(record.Key.Queue);
    }

    // Messages are counted and not read: they come when it is their turn.
    private static async Task RecoverMessagesAsync(IMessageStore store, QueueConductor queue, CrashRecovery recovery, LaneCounters counters, long lastSequence, CancellationToken ct)
    {
        var attempts = new Dictionary<long, AttemptsRecord>();
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Attempts, queue.Id), StoreKey.After(StoreKind.Attempts, queue.Id), ct).ConfigureAwait(false))
            attempts.Add(record.Key.Sequence, AttemptsRecord.Decode(record));
        Dictionary<long, WitnessedDelivery> seen = recovery.SeenOf(queue.Id);
        queue.Upkeep.Pages.Recover(attempts, seen, recovery.DoubtfulThrough);
        recovery.LookFor(store, queue, seen, attempts, counters.ScheduledOf(queue.Id));
        foreach ((byte band, LaneCount count) in counters.ScheduledOf(queue.Id))
            queue.Upkeep.RecoverScheduled(Message.MaxPriority - band, new Tally { Messages = count.Messages, Bytes = count.Bytes }, lastSequence);
        foreach ((byte band, LaneCount count) in counters.LanesOf(queue.Id))
            queue.Upkeep.Recover(Message.MaxPriority - band, new Tally { Messages = count.Messages, Bytes = count.Bytes }, lastSequence);
    }

    private static async IAsyncEnumerable<StoreRecord> ReadAsync(IMessageStore store, StoreKey from, StoreKey to, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken ct)
    {
        var page = new StorePage();
        bool more = true;
        while (more)
        {
            more = store.Read(from, to, PageRecords, PageBytes, page);
            foreach (StoreRecord record in page.Records)
                yield return record;
            if (page.Records.Count > 0)
                from = page.Records[^1].Key.Next();
        }
    }

    private Task Write(Action<StoreBatch> write, Action<StoreException>? notCommitted = null, Action? committed = null) => new AwaitedWork(FlushLevel.Flushed, write, committed, notCommitted).EnqueueTo(broker);
}
