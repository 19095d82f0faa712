using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>The records of commits: they go round, are folded in time, and whatever is missing among them is noticed.</summary>
public class CommitRecordsTests
{
    private readonly StoreBatch _batch = new();
    private readonly Dictionary<StoreKey, StoreRecord> _store = [];
    private CommitRecords _records = new();

    [SetUp]
    public void Empty()
    {
        _store.Clear();
        _records = new CommitRecords();
    }

    [Test]
    public void WhateverThePlaceTheLastCommitIsFoundWithItsCounts()
    {
        for (int number = 1; number <= 100; number++)
        {
            Commit(queue: 3);

            CommitRecords read = Read();

            Assert.That(read.Last, Is.EqualTo(new CommitRecord(number, number)));
            Assert.That(read.Counters.LanesOf(3), Is.EqualTo(new[] { ((byte)9, new LaneCount(number, number * 10L)) }));
        }
        Assert.That(_store, Has.Count.EqualTo(17), "Sixteen places and the fold.");
    }

    [Test]
    public void OneReadGoesOnWhereTheOtherStopped()
    {
        for (int number = 1; number <= 100; number++)
        {
            Commit(queue: 3);
            if (number % 7 == 0)
                _records = Read();
        }

        Assert.That(Read().Last, Is.EqualTo(new CommitRecord(100, 100)));
        Assert.That(_store, Has.Count.EqualTo(17));
    }

    [Test]
    public void ManyLanesAreFoldedLessOften()
    {
        for (uint queue = 1; queue <= 400; queue++)
            Commit(queue);

        Assert.That(_records.Counters.Lanes, Is.EqualTo(400));
        Assert.That(_store.Keys.Count(key => key.Kind == StoreKind.Delta), Is.InRange(50, 100));
        Assert.That(Read().Counters.Queues.Count(), Is.EqualTo(400));
    }

    [Test]
    public void FewerLanesAreFoldedMoreOften()
    {
        for (uint queue = 1; queue <= 400; queue++)
            Commit(queue);
        for (uint queue = 1; queue <= 399; queue++)
            Commit(batch => batch.LaneChanges.Delete(queue));
        for (int i = 0; i < 100; i++)
            Commit(queue: 400);

        CommitRecords read = Read();

        Assert.That(read.Last.Number, Is.EqualTo(899));
        Assert.That(read.Counters.LanesOf(400), Is.EqualTo(new[] { ((byte)9, new LaneCount(101, 1010)) }));
        Assert.That(read.Counters.Lanes, Is.EqualTo(1));
    }

    [Test]
    public void ABatchThatWasRefusedChangesNothing()
    {
        for (int number = 1; number <= 40; number++)
        {
            _batch.Clear();
            _records.AddTo(_batch, number);
            Commit(queue: 3);
        }

        Assert.That(Read().Last.Number, Is.EqualTo(40));
        Assert.That(Read().Counters.LanesOf(3), Is.EqualTo(new[] { ((byte)9, new LaneCount(40, 400)) }));
    }

    [Test]
    public void ACommitThatIsMissingIsNoticedUnlessItIsTheLast([Values(20, 33, 47)] int commits)
    {
        for (int number = 1; number <= commits; number++)
            Commit(queue: 3);
        long folded = CommitRecord.NumberOf(_store[CommitRecord.FoldKey]);
        foreach ((StoreKey key, StoreRecord record) in _store.ToArray())
        {
            _store.Remove(key);
            long number = CommitRecord.NumberOf(record);
            bool isNoticed = number == folded ? key == CommitRecord.FoldKey : number > folded && number < commits;
            if (isNoticed)
                AssertUnreadable();
            else
                Assert.That(() => Read().Last.Number, Is.EqualTo(number == commits ? commits - 1 : commits));
            _store.Add(key, record);
        }
    }

    [Test]
    public void AFoldThatWasWrittenOverALaterOneIsNoticed()
    {
        for (int number = 1; number <= 17; number++)
            Commit(queue: 3);
        StoreRecord old = _store[CommitRecord.FoldKey];
        for (int number = 18; number <= 40; number++)
            Commit(queue: 3);

        _store[CommitRecord.FoldKey] = old;

        AssertUnreadable();
    }

    [Test]
    public void ACommitInAPlaceThatIsNotItsOwnIsNotCalledMissing()
    {
        Commit(queue: 3);
        StoreKey elsewhere = CommitRecord.KeyOf(1);
        byte[] moved = RecordChecksum.Seal(_store[CommitRecord.KeyOf(0)].Head.ToArray(), elsewhere);
        _store.Clear();

        _store[elsewhere] = new StoreRecord(elsewhere, moved, default);

        Assert.That(() => Read(), Throws.InstanceOf<StoreException>().With.Message.StartsWith("The record of commit 1 does not stand where").And.Message.Contains("repair it"));
    }

    [Test]
    public void ADamagedPlaceIsUnreadableEvenWhereItIsFolded()
    {
        for (int number = 1; number <= 20; number++)
            Commit(queue: 3);
        StoreKey folded = CommitRecord.KeyOf(10);
        byte[] damaged = _store[folded].Head.ToArray();
        damaged[3] ^= 1;

        _store[folded] = new StoreRecord(folded, damaged, default);

        AssertUnreadable();
    }

    private void Commit(uint queue) => Commit(batch => batch.LaneChanges.Add(new StoreKey(StoreKind.Message, queue, 9, 0, 0, 1), 1, 10));

    private void Commit(Action<StoreBatch> change)
    {
        _batch.Clear();
        change(_batch);
        CommitRecord record = _records.AddTo(_batch, _records.Last.Number + 1);
        foreach (ref readonly StoreOperation operation in _batch.Operations)
        {
            Assert.That(operation.Kind, Is.EqualTo(StoreOperationKind.Put));
            _store[operation.Key] = new StoreRecord(operation.Key, operation.Head.ToArray(), default);
        }
        _records.Committed(record, _batch);
    }

    private CommitRecords Read()
    {
        StoreRecord? fold = _store.TryGetValue(CommitRecord.FoldKey, out StoreRecord found) ? found : null;
        return CommitRecords.Read(fold, _store.Values.Where(record => record.Key.Kind == StoreKind.Delta));
    }

    private void AssertUnreadable() => Assert.That(() => Read(), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable));
}
