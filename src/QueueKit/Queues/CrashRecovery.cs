using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What the witness tells of the life of the store before this one: which messages consumers had, and which of them may have ended the process.</summary>
/// <remarks>
/// A process that died in this run of the machine left exact slots. What consumers had then is suspect, and is handed out again one message at a time. A death
/// while only one message, or one suspect, was being handled is counted as a failed attempt at that one; what else was out becomes suspect, uncharged.
/// After a power cut the slots say nothing: every message may have been delivered, and nobody is charged.
/// <para>Recovery can be cut off anywhere and begun again. In this order: the charge and the incarnation it is about go into the store in one commit, so that
/// it is made once; then the witness begins a new life, and only with that forgets what was found (see <see cref="Witness.BeginLife"/>).</para>
/// </remarks>
internal sealed class CrashRecovery
{
    private const int SearchedRecords = 1024;
    private const long SearchedBytes = 8 * 1024 * 1024;

    private readonly BrokerContext _broker;
    private readonly Witness? _witness;
    private readonly CommitRecord _lastCommit;
    private readonly long _judged;
    private readonly Dictionary<uint, Dictionary<long, WitnessedDelivery>> _seen = [];
    private readonly Dictionary<int, WitnessedDelivery> _kept = [];
    private readonly List<Started> _started = [];

    // A message that a consumer had when the process ended, with what is known of its attempts, to which a charge is added.
    private readonly record struct Started(QueueConductor Queue, long Sequence, bool WasSuspect, Dictionary<long, AttemptsRecord> Attempts);

    /// <param name="broker">The broker that is being opened.</param>
    /// <param name="witness">The store's.</param>
    /// <param name="lastCommit">The last commit in the store.</param>
    /// <param name="judged">What the store has under <see cref="MetaRecord.JudgedKey"/>.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: confirmed commits are missing.</exception>
    public CrashRecovery(BrokerContext broker, Witness? witness, CommitRecord lastCommit, StoreRecord judged)
    {
        _broker = broker;
        _witness = witness;
        _lastCommit = lastCommit;
        if (witness is null)
            return;
        witness.Verify(lastCommit.Number);
        _judged = judged.Head.IsEmpty ? 0 : MetaRecord.ReadJudged(judged);
        DoubtfulThrough = witness.IsComplete ? witness.DoubtfulThrough : lastCommit.LastSequence;
        foreach (WitnessedDelivery delivery in witness.Deliveries)
        {
            // Nobody saw what was only offered.
            if (delivery.State == SlotState.Offered && !delivery.IsSuspect)
                continue;
            if (!_seen.TryGetValue(delivery.Queue, out Dictionary<long, WitnessedDelivery>? ofQueue))
                _seen.Add(delivery.Queue, ofQueue = []);
            if (!ofQueue.TryGetValue(delivery.Sequence, out WitnessedDelivery other) || other.State != SlotState.Started)
                ofQueue[delivery.Sequence] = delivery;
        }
    }

    /// <summary>Of messages up to this number nobody knows whether they were delivered before.</summary>
    public long DoubtfulThrough { get; }

    /// <summary>What consumers of a queue have seen of its messages, each suspect if it was started.</summary>
    public Dictionary<long, WitnessedDelivery> SeenOf(uint queue) => _seen.TryGetValue(queue, out Dictionary<long, WitnessedDelivery>? seen)
        ? seen.ToDictionary(static pair => pair.Key, static pair => pair.Value with { IsSuspect = pair.Value.IsSuspect || pair.Value.State == SlotState.Started })
        : [];

    /// <summary>Finds out which of the messages that consumers had are still there: an ack may have been committed at the last moment.</summary>
    /// <param name="store">The store.</param>
    /// <param name="queue">Their queue.</param>
    /// <param name="seen">What <see cref="SeenOf"/> says; what is gone is taken out.</param>
    /// <param name="attempts">The failed attempts at the queue's messages.</param>
    /// <param name="scheduled">How many scheduled messages the queue has, by the store's bands.</param>
    public void LookFor(IMessageStore store, QueueConductor queue, Dictionary<long, WitnessedDelivery> seen, Dictionary<long, AttemptsRecord> attempts, IEnumerable<(byte Band, LaneCount Count)> scheduled)
    {
        if (seen.Count == 0)
            return;
        var page = new StorePage();
        var missing = new HashSet<long>();
        foreach ((long sequence, WitnessedDelivery delivery) in seen)
        {
            StoreKey key = StoredMessage.KeyOf(queue.Id, delivery.Band, 0, sequence);
            store.Read(key, key.Next(), 1, 1, page);
            if (page.Records.Count == 0)
                missing.Add(sequence);
        }
        foreach ((byte band, _) in scheduled)
            LookForScheduled(store, queue.Id, (byte)(Message.MaxPriority - band), missing, page);
        foreach (long sequence in missing)
            seen.Remove(sequence);
        foreach ((long sequence, WitnessedDelivery delivery) in seen)
        {
            _kept.Add(delivery.Slot, delivery);
            if (delivery.State == SlotState.Started)
                _started.Add(new Started(queue, sequence, _seen[queue.Id][sequence].IsSuspect, attempts));
        }
    }

    // The due time in their keys is not known, but they have been due: among what is due by now, they are the first.
    private void LookForScheduled(IMessageStore store, uint queue, byte band, HashSet<long> missing, StorePage page)
    {
        (StoreKey from, StoreKey end) = StoredMessage.ScheduledRange(queue, band, new DueKey(0, long.MinValue));
        long now = _broker.Clock.ToUtc(_broker.Clock.Now).UtcTicks;
        for (bool hasMore = true; hasMore && missing.Count > 0;)
        {
            hasMore = store.Read(from, end, SearchedRecords, SearchedBytes, page);
            foreach (StoreRecord record in page.Records)
            {
                missing.Remove(record.Key.Sequence);
                from = record.Key.Next();
                hasMore &= record.Key.Order <= now;
            }
        }
    }

    /// <summary>All is read: charges whom the last death proves guilty, and begins a new life.</summary>
    public async Task ConcludeAsync()
    {
        if (_witness is null)
            return;
        if (_witness.WasMissing)
            _broker.Log.WitnessMissing(_witness.Path);
        else if (!_witness.IsComplete)
            _broker.Log.DeliveriesUnknown(_witness.StorePath);
        if (_kept.Count > 0)
            _broker.Log.DeliveriesFound(_kept.Count, _started.Count);
        if (_started.Count > 0 && _judged != _witness.Incarnation)
            await JudgeAsync(_witness.Incarnation).ConfigureAwait(false);
        _witness.BeginLife(_broker.Pipeline!.CommitNumber, DoubtfulThrough, _kept);
        _witness.Slots.GrowthWanted = () => _broker.Scheduler.Schedule(new WitnessGrowth(_witness, _broker.Log));
    }

    /// <summary>Whom a death proves guilty: the only one that was started or, if several were, the only suspect among them. Null if it proves nothing.</summary>
    /// <param name="wereSuspect">Of each that was started, whether it was a suspect.</param>
    public static int? Culprit(ReadOnlySpan<bool> wereSuspect)
    {
        if (wereSuspect.Length == 1)
            return 0;
        return wereSuspect.Count(true) == 1 ? wereSuspect.IndexOf(true) : null;
    }

    // Also where nobody is charged: begun again halfway, fewer would seem to have been started.
    private async Task JudgeAsync(long incarnation)
    {
        Started? culprit = Culprit([.. _started.Select(static started => started.WasSuspect)]) is { } index ? _started[index] : null;
        AttemptsRecord charged = default;
        if (culprit is { } guilty)
        {
            AttemptsRecord known = guilty.Attempts.GetValueOrDefault(guilty.Sequence);
            charged = new AttemptsRecord(known.FailedAttempts + 1, 0, "The process ended while this message was being handled.", known.Deaths + 1);
        }
        try
        {
            await new AwaitedWork(FlushLevel.Flushed, batch =>
            {
                MetaRecord.PutJudged(batch, incarnation);
                if (culprit is { } guilty)
                    charged.WriteTo(batch, guilty.Queue.Id, guilty.Sequence);
            }).EnqueueTo(_broker).ConfigureAwait(false);
        }
        catch (StoreException error) when (error.Fault == StoreFault.Refused)
        {
            // A disk that is full must not keep the broker from being opened and emptied: this once nobody is charged.
            if (culprit is { } free)
                _broker.Log.AttemptNotStored(free.Queue.Name, free.Sequence, error.Message);
            return;
        }
        if (culprit is not { } found)
            return;
        found.Attempts[found.Sequence] = charged;
        _broker.Log.ProcessEndedIn(found.Queue.Name, found.Sequence, charged.FailedAttempts);
    }
}
