using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Stores;

/// <summary>Makes a store that a broker can open from the records that were saved of a damaged one: what every kind of store's repair calls.</summary>
/// <remarks>
/// Whoever repairs reads what can be read, in any order, and hands over each record and each key of which only the key was found; then <see cref="Complete"/>.
/// Every message that is what was written is kept, in its place. Whatever the broker goes by when it opens a store is made anew from that: the counts,
/// the number of the last commit, the last number and queue id that were given out. No number and no id is used a second time.
/// <para>Messages whose queue's own record is lost are kept in a queue of a new name; nothing is left out without being named in the findings.</para>
/// </remarks>
/// <example><code>
/// var rebuild = new StoreRebuild(newStore, witness);
/// foreach (StoreRecord record in saved) rebuild.Add(record);
/// foreach (StoreKey key in lost) rebuild.AddLost(key);
/// IReadOnlyList&lt;string&gt; findings = rebuild.Complete(isDamaged: true);
/// </code></example>
[Experimental("QUEUEKIT001")]
public sealed class StoreRebuild
{
    private const int BatchRecords = 256;
    private const long BatchBytes = 4 * 1024 * 1024;
    // More than one commit can give out: its batch is cut at 16 MiB and one more send, and a message has 14 bytes at least.
    private const long NumbersPerCommit = 10_000_000;
    // More queues than a few lost commits can have made.
    private const uint SparedIds = 1000;

    private readonly IMessageStore _target;
    private readonly Witness? _witness;
    private readonly StoreBatch _batch = new();
    private readonly LaneChanges _found = new();
    // By queue: its messages, ready and parked.
    private readonly SortedDictionary<uint, long> _messages = [];
    private readonly SortedDictionary<uint, StoreRecord> _queues = [];
    private readonly HashSet<uint> _withAttempts = [];
    private readonly SortedDictionary<long, StoreRecord> _commits = [];
    private readonly List<StoreKey> _lost = [];
    private StoreRecord? _fold;
    private long _lastSequence;
    private uint _lastQueueId;

    /// <summary>Begins.</summary>
    /// <param name="target">An empty store, which nobody else has.</param>
    /// <param name="witness">The damaged store's, opened for the repair; it will be the new one's. Null if there is none.</param>
    public StoreRebuild(IMessageStore target, Witness? witness)
    {
        ArgumentNullException.ThrowIfNull(target);
        _target = target;
        _witness = witness;
    }

    /// <summary>How many messages the new store has.</summary>
    public long Messages { get; private set; }

    /// <summary>How many queues it has.</summary>
    public int Queues { get; private set; }

    /// <summary>Takes over a record that was saved; each once.</summary>
    /// <exception cref="StoreException">The new store cannot take it; or <see cref="StoreFault.Unreadable"/>: a newer version of QueueKit has written it.</exception>
    public void Add(StoreRecord record)
    {
        switch (record.Key.Kind)
        {
            case StoreKind.Meta:
                AddMeta(record);
                break;
            case StoreKind.Queue when QueueRecord.IsRight(record):
                _queues.Add(record.Key.Queue, record);
                break;
            case StoreKind.Message or StoreKind.Parked when MessageRecord.IsRight(record):
                long size = MessageRecord.Decode(record).Message.Size;
                _found.Add(record.Key, 1, size);
                _messages[record.Key.Queue] = _messages.GetValueOrDefault(record.Key.Queue) + 1;
                Messages++;
                See(record.Key);
                Insert(record);
                break;
            case StoreKind.Attempts when RecordChecksum.IsRight(record.Head.Span, record.Key):
                _withAttempts.Add(record.Key.Queue);
                See(record.Key);
                Insert(record);
                break;
            case StoreKind.Watermark when RecordChecksum.IsRight(record.Head.Span, record.Key):
                Insert(record);
                break;
            case StoreKind.Delta when CommitRecord.TryReadNumber(record, out long number):
                _commits.Add(number, record);
                break;
            case var kind when !Enum.IsDefined(kind):
                throw new StoreException(StoreFault.Unreadable, $"The store has records of the kind {(int)kind}, which a newer version of QueueKit has written. Repair it with that version. Nothing was changed.");
            default:
                AddLost(record.Key);
                break;
        }
    }

    /// <summary>Notes a record of which there is only the key.</summary>
    public void AddLost(StoreKey key)
    {
        _lost.Add(key);
        if (key.Kind is StoreKind.Message or StoreKind.Parked or StoreKind.Attempts)
            See(key);
        else if (key.Kind == StoreKind.Queue)
            _lastQueueId = Math.Max(_lastQueueId, key.Queue);
    }

    /// <summary>Writes what opening the store goes by. Everything is flushed when it returns.</summary>
    /// <param name="isDamaged">Whether there may be losses of which not even a key was found.</param>
    /// <returns>What is lost and what was made anew, in sentences; nothing if the store was whole.</returns>
    /// <exception cref="StoreException">The new store or the witness cannot take it.</exception>
    public IReadOnlyList<string> Complete(bool isDamaged)
    {
        var findings = new RebuildFindings();
        var before = new LaneCounters();
        CommitRecord last = ReadCommits(before, findings, out bool isCounted);
        long confirmed = Math.Max(last.Number, _witness?.ConfirmedCommit ?? 0);
        findings.MissingAtTheEnd(last.Number, confirmed);
        // Only the witness knows whether the places behind the last commit had older records or newer ones.
        if (_witness is null or { WasMissing: true } && LastPossible(last.Number) is var possible && possible > last.Number)
        {
            findings.MaybeMissingAtTheEnd(last.Number, possible);
            confirmed = possible;
        }
        if (_witness is { WasMissing: true })
            findings.NoWitness(_witness.Path);
        Dictionary<uint, string> names = NameQueues(findings);
        findings.Lost(_lost, names);
        var counters = new LaneCounters();
        counters.Apply(_found);
        if (isCounted && confirmed == last.Number)
            findings.Compare(before, counters, names);

        bool isUncertain = isDamaged || findings.MissingCommits > 0 || _lost.Count > 0 || _witness is { WasMissing: true };
        long lastSequence = Math.Max(_lastSequence, last.LastSequence);
        if (isUncertain)
        {
            lastSequence = checked(lastSequence + NumbersPerCommit * Math.Max(1, findings.MissingCommits));
            findings.NumbersGoOn(lastSequence + 1);
        }
        // What a broker has done with a message is not known if a commit is missing that may have been about it.
        if (_witness is not null && (findings.MissingCommits > 0 || findings.LosesAttempts || !_witness.AreSlotsReadable))
        {
            _witness.DoubtDeliveries();
            findings.DeliveriesInDoubt();
        }

        MetaRecord.Put(_batch, MetaRecord.FormatKey, MetaRecord.Format);
        MetaRecord.Put(_batch, MetaRecord.LastQueueIdKey, isUncertain ? checked(_lastQueueId + SparedIds) : _lastQueueId);
        // The number that a witness compares with what was confirmed, at whatever level.
        var rebuilt = new CommitRecord(Math.Max(confirmed, _witness?.WrittenCommit ?? 0), lastSequence);
        rebuilt.WriteFoldTo(_batch, counters);
        Commit(FlushLevel.Flushed);
        return findings.Sentences;
    }

    private void AddMeta(in StoreRecord record)
    {
        if (!RecordChecksum.IsRight(record.Head.Span, record.Key))
            AddLost(record.Key);
        else if (record.Key == MetaRecord.FormatKey)
            MetaRecord.RefuseOtherFormat(MetaRecord.Read(record));
        else if (record.Key == MetaRecord.LastQueueIdKey)
            _lastQueueId = Math.Max(_lastQueueId, MetaRecord.Read(record));
        else if (record.Key == CommitRecord.FoldKey)
            _fold = record;
        else
            Insert(record);
    }

    // The last commit there is a record of; what is missing on the way to it is noted.
    private CommitRecord ReadCommits(LaneCounters before, RebuildFindings findings, out bool isCounted)
    {
        CommitRecord last = _fold is { } fold ? CommitRecord.Read(fold, before) : default;
        // What has been folded may still be in the places that were not used again.
        long folded = _commits.Count > 0 ? _commits.Last().Key - 1 - _commits.Last().Value.Key.Sequence : 0;
        // Without the last fold nobody knows what it had counted; but its number tells the place of every commit behind it.
        isCounted = _fold is null ? folded == 0 && _commits.ContainsKey(1) : last.Number >= folded;
        last = last with { Number = Math.Max(last.Number, folded) };
        foreach ((long number, StoreRecord record) in _commits)
        {
            if (number <= last.Number)
                continue;
            if (number != last.Number + 1)
            {
                isCounted = false;
                findings.MissingInBetween(last.Number + 1, number - 1);
            }
            CommitRecord commit = CommitRecord.Read(record, before);
            last = commit with { LastSequence = Math.Max(last.LastSequence, commit.LastSequence) };
        }
        return last;
    }

    // The last commit of which a lost record may have been: its place is behind that of the last one found.
    private long LastPossible(long last)
    {
        HashSet<StoreKey> lost = [.. _lost.Where(static key => key.Kind == StoreKind.Delta)];
        bool isFolded = _fold is { } fold && CommitRecord.NumberOf(fold) == last;
        long place = !isFolded && _commits.TryGetValue(last, out StoreRecord record) ? record.Key.Sequence + 1 : 0;
        long possible = last;
        for (; lost.Contains(CommitRecord.KeyOf(place)); place++)
            possible++;
        return possible;
    }

    // The queues that are kept, by id; each has a name of its own when this returns.
    private Dictionary<uint, string> NameQueues(RebuildFindings findings)
    {
        var names = new Dictionary<uint, string>();
        var taken = new HashSet<string>(StringComparer.Ordinal);
        var unnamed = new List<(uint Id, string? OldName, QueueOptions Options)>();
        foreach ((uint id, StoreRecord record) in _queues)
        {
            if (QueueRecord.IsDeleted(record))
            {
                // What it has left goes when the store is opened.
                _found.Delete(id);
                Insert(record);
                continue;
            }
            (string name, QueueOptions options) = QueueRecord.Decode(record);
            if (taken.Add(name))
            {
                names.Add(id, name);
                Insert(record);
            }
            else
            {
                unnamed.Add((id, name, options));
            }
        }
        foreach (uint id in _messages.Keys.Where(id => !_queues.ContainsKey(id)))
            unnamed.Add((id, null, new QueueOptions { Durability = Durability.Flushed }));
        foreach ((uint id, string? oldName, QueueOptions options) in unnamed)
        {
            string name = $"recovered-{id}";
            for (int i = 2; !taken.Add(name); i++)
                name = $"recovered-{id}-{i}";
            names.Add(id, name);
            Insert(new StoreRecord(QueueRecord.KeyOf(id), QueueRecord.Encode(id, name, options), default));
            findings.Renamed(id, oldName, name, _messages.GetValueOrDefault(id));
        }
        foreach (StoreKey key in _lost.Where(key => key.Kind == StoreKind.Queue && !names.ContainsKey(key.Queue)))
            findings.QueueLost(key.Queue);
        // Of queues of which there is nothing else.
        foreach (uint id in _withAttempts.Where(id => !names.ContainsKey(id) && !_queues.ContainsKey(id)))
            _batch.DeleteRange(StoreKey.First(StoreKind.Attempts, id), StoreKey.After(StoreKind.Attempts, id));
        Queues = names.Count;
        _lastQueueId = Math.Max(_lastQueueId, names.Keys.DefaultIfEmpty().Max());
        return names;
    }

    private void See(in StoreKey key)
    {
        _lastSequence = Math.Max(_lastSequence, key.Sequence);
        _lastQueueId = Math.Max(_lastQueueId, key.Queue);
    }

    private void Insert(in StoreRecord record)
    {
        _batch.Insert(record.Key, record.Head, record.Body);
        if (_batch.Operations.Length >= BatchRecords || _batch.Bytes >= BatchBytes)
            Commit(FlushLevel.Written);
    }

    private void Commit(FlushLevel level)
    {
        _target.Commit(_batch, level);
        _batch.Clear();
    }
}
