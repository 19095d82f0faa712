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
    // Most queues of an application are declared alike: they share what nobody changes. Under the broker's lock.
    private QueueOptions _commonOptions = new();

    /// <summary>How many messages were found at opening.</summary>
    public long RecoveredMessages { get; private set; }

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
        options = Common(options);
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

        var deleted = new List<uint>();
        var reader = new QueueRecordReader();
        var attempts = new QueueByQueue(store, StoreKind.Attempts);
        // Sources ask for theirs when the store is open already; damage is found before.
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Watermark), StoreKey.After(StoreKind.Watermark), ct).ConfigureAwait(false))
            WatermarkRecord.Read(record);
        await foreach (StoreRecord record in ReadAsync(store, StoreKey.First(StoreKind.Queue), StoreKey.After(StoreKind.Queue), ct).ConfigureAwait(false))
        {
            if (QueueRecord.IsDeleted(record))
            {
                deleted.Add(record.Key.Queue);
                continue;
            }
            (string name, QueueOptions options) = reader.Decode(record);
            var queue = new QueueConductor(broker, name, record.Key.Queue, options);
            RecoverMessages(store, queue, recovery, attempts, commits.Counters, lastCommit.LastSequence);
            yield return queue;
        }
        await recovery.ConcludeAsync().ConfigureAwait(false);
        foreach (uint queue in deleted)
            _removal.Begin(queue);
    }

    // Messages are counted and not read: they come when it is their turn.
    private void RecoverMessages(IMessageStore store, QueueConductor queue, CrashRecovery recovery, QueueByQueue attemptRecords, LaneCounters counters, long lastSequence)
    {
        var attempts = new Dictionary<long, AttemptsRecord>();
        foreach (StoreRecord record in attemptRecords.Of(queue.Id))
            attempts.Add(record.Key.Sequence, AttemptsRecord.Decode(record));
        Dictionary<long, WitnessedDelivery> seen = recovery.SeenOf(queue.Id);
        bool hasMessages = counters.LanesOf(queue.Id).Concat(counters.ScheduledOf(queue.Id)).Any();
        // Of an empty queue there is nothing to know.
        if (attempts.Count > 0 || seen.Count > 0 || (hasMessages && recovery.DoubtfulThrough != 0))
            queue.Upkeep.Pages.Recover(attempts, seen, recovery.DoubtfulThrough);
        if (!hasMessages && seen.Count == 0)
            return;
        recovery.LookFor(store, queue, seen, attempts, counters.ScheduledOf(queue.Id));
        foreach ((byte band, LaneCount count) in counters.ScheduledOf(queue.Id))
        {
            queue.Upkeep.RecoverScheduled(Message.MaxPriority - band, new Tally { Messages = count.Messages, Bytes = count.Bytes }, lastSequence);
            RecoveredMessages += count.Messages;
        }
        foreach ((byte band, LaneCount count) in counters.LanesOf(queue.Id))
        {
            queue.Upkeep.Recover(Message.MaxPriority - band, new Tally { Messages = count.Messages, Bytes = count.Bytes }, lastSequence);
            RecoveredMessages += count.Messages;
        }
    }

    private QueueOptions Common(QueueOptions options) => options == _commonOptions ? _commonOptions : _commonOptions = options;

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

    // The records of one kind, for one queue after the other in the order of their ids. Read in pages across queues: a look into the store for each of a hundred
    // thousand queues, most of which have none, takes longer than everything else in an opening.
    private sealed class QueueByQueue(IMessageStore store, StoreKind kind)
    {
        private readonly StorePage _page = new();
        private int _next;
        private StoreKey _from = StoreKey.First(kind);
        private bool _hasMore = true;

        public IEnumerable<StoreRecord> Of(uint queue)
        {
            while (GoTo(queue) && _page.Records[_next].Key.Queue == queue)
                yield return _page.Records[_next++];
        }

        // What a queue that was deleted has left is passed over, and where it goes beyond the page not even read.
        private bool GoTo(uint queue)
        {
            while (true)
            {
                while (_next < _page.Records.Count && _page.Records[_next].Key.Queue < queue)
                    _next++;
                if (_next < _page.Records.Count || !_hasMore)
                    return _next < _page.Records.Count;
                if (StoreKey.First(kind, queue) is var first && _from < first)
                    _from = first;
                _hasMore = store.Read(_from, StoreKey.After(kind), PageRecords, PageBytes, _page);
                _next = 0;
                if (_page.Records.Count > 0)
                    _from = _page.Records[^1].Key.Next();
            }
        }
    }
}
