namespace QueueKit.Stores;

/// <summary>The records that the commits of a store leave, and when they are folded.</summary>
/// <remarks>
/// They go round in a few places: to overwrite a record costs a store less than to add one and delete another, and few records keep its index small. Before
/// the first place is used again, what all of them hold is folded into one record. Opening reads the fold and the records with higher numbers. Those have no
/// gaps: one that is missing is a commit that is missing.
/// <para>The fold has an entry for each lane, so there are more places where there are more lanes.</para>
/// </remarks>
internal sealed class CommitRecords
{
    private const int LeastPlaces = 16;
    private const int MostPlaces = 1024;
    // A fold is then 88 bytes a commit.
    private const int LanesPerPlace = 4;

    private long _folded;
    private bool _folds;

    /// <param name="fold">The last commit there was, in a store that has a fold and nothing else.</param>
    public CommitRecords(CommitRecord fold = default)
    {
        Last = fold;
        _folded = fold.Number;
    }

    /// <summary>The last commit.</summary>
    public CommitRecord Last { get; private set; }

    /// <summary>The counts of lanes after it.</summary>
    public LaneCounters Counters { get; } = new();

    private int Places => Math.Clamp(Counters.Lanes / LanesPerPlace, LeastPlaces, MostPlaces);

    /// <summary>Reads what a store has of its commits.</summary>
    /// <param name="fold">Its fold; null if it has none.</param>
    /// <param name="places">What is in the places.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: a record is damaged, or a commit is missing.</exception>
    public static CommitRecords Read(StoreRecord? fold, IEnumerable<StoreRecord> places)
    {
        var records = new CommitRecords();
        if (fold is { } folded)
            records.Last = CommitRecord.Read(folded, records.Counters);
        records._folded = records.Last.Number;
        foreach ((long number, StoreRecord record) in places.Select(static record => (CommitRecord.NumberOf(record), record)).OrderBy(static place => place.Item1))
        {
            // What the fold has already.
            if (number <= records._folded)
                continue;
            if (number == records.Last.Number + 1 && record.Key != CommitRecord.KeyOf(records.NextPlace))
                throw new StoreException(StoreFault.Unreadable, $"The record of commit {number} does not stand where this version of QueueKit puts it: an earlier version has written the store, or it is damaged. Open it with the version that wrote it and empty it, or repair it, which makes a store of this version. Nothing was changed.");
            if (number != records.Last.Number + 1)
                throw new StoreException(StoreFault.Unreadable, $"The store has commit {number} but not commit {records.Last.Number + 1}: confirmed commits are missing. Restore the store from a backup, or repair it. Nothing was changed.") { IsRepairable = true };
            CommitRecord commit = CommitRecord.Read(record, records.Counters);
            // Never lower than before: what was given out once is not given out again.
            records.Last = commit with { LastSequence = Math.Max(commit.LastSequence, records.Last.LastSequence) };
        }
        return records;
    }

    /// <summary>Adds the next commit's record to its batch, and where it is time the fold of all before it. Called again if the batch was refused.</summary>
    /// <param name="batch">The batch, complete but for this.</param>
    /// <param name="lastSequence">The last sequence number given out.</param>
    public CommitRecord AddTo(StoreBatch batch, long lastSequence)
    {
        var record = new CommitRecord(Last.Number + 1, lastSequence);
        _folds = NextPlace >= Places;
        if (_folds)
            Last.WriteFoldTo(batch, Counters);
        record.WriteTo(batch, _folds ? 0 : NextPlace);
        return record;
    }

    /// <summary>The batch that <see cref="AddTo"/> completed is in the store.</summary>
    public void Committed(CommitRecord record, StoreBatch batch)
    {
        if (_folds)
            _folded = Last.Number;
        Last = record;
        Counters.Apply(batch.LaneChanges);
    }

    private long NextPlace => Last.Number - _folded;
}
