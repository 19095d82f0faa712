using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>What every store has to do. A store's own tests derive from this in one line.</summary>
/// <remarks>Every test ends in a full check: what the store holds must be what was committed, and again after it was closed and opened.</remarks>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public abstract class MessageStoreContract
{
    private const int MiB = 1024 * 1024;

    private readonly StoreBatch _batch = new();
    private readonly StorePage _page = new();
    private readonly StoreModel _model = new();
    private IMessageStoreProvider _provider = null!;
    private IMessageStore _store = null!;
    private bool _isOutcomeUnknown;

    /// <summary>A provider of a store that nobody has opened yet. Called once for a test.</summary>
    protected abstract IMessageStoreProvider CreateProvider();

    /// <summary>Makes the next commit of an open store fail; false if this store cannot be told to.</summary>
    protected virtual bool TryFailNextCommit(IMessageStoreProvider provider) => false;

    /// <summary>Removes what a test's store leaves behind.</summary>
    protected virtual void Remove(IMessageStoreProvider provider) { }

    [SetUp]
    public async Task OpenTheStore()
    {
        _provider = CreateProvider();
        _store = await _provider.OpenAsync();
    }

    [TearDown]
    public async Task TheStoreHoldsWhatWasCommittedNowAndAfterOpeningAgain()
    {
        try
        {
            if (!_isOutcomeUnknown)
            {
                await AssertHoldsTheModel();
                await Reopen();
                await AssertHoldsTheModel();
            }
        }
        finally
        {
            await _store.DisposeAsync();
            Remove(_provider);
        }
    }

    // Records

    [Test]
    public async Task ANewStoreIsEmpty() => Assert.That(await ReadAll(), Is.Empty);

    [TestCase(1, 0)]
    [TestCase(0, 1)]
    [TestCase(0, 0)]
    [TestCase(3, 4)]
    [TestCase(4, 3)]
    [TestCase(40, 100_000)]
    [TestCase(100_000, 40)]
    public async Task ARecordComesBackWithItsHeadAndItsBodyApart(int headLength, int bodyLength)
    {
        byte[] head = Bytes(headLength), body = Bytes(bodyLength, seed: 2);

        Commit(batch => batch.Put(Key(1), head, body));

        StoreRecord record = (await ReadAll()).Single();
        Assert.Multiple(() =>
        {
            Assert.That(record.Key, Is.EqualTo(Key(1)));
            Assert.That(record.Head.ToArray(), Is.EqualTo(head));
            Assert.That(record.Body.ToArray(), Is.EqualTo(body));
        });
    }

    [Test]
    public async Task APutReplacesTheRecordWithTheSameKey()
    {
        Commit(batch => batch.Put(Key(1), Bytes(10), Bytes(20)));

        Commit(batch => batch.Put(Key(1), Bytes(5, seed: 2), Bytes(7, seed: 3)));

        StoreRecord record = (await ReadAll()).Single();
        Assert.That(record.Head.ToArray(), Is.EqualTo(Bytes(5, seed: 2)));
        Assert.That(record.Body.ToArray(), Is.EqualTo(Bytes(7, seed: 3)));
    }

    [Test]
    public async Task ADeletedRecordIsGone()
    {
        Commit(batch => PutSequences(batch, 1, 2, 3));

        Commit(batch => batch.Delete(Key(2)));

        Assert.That(await ReadSequences(), Is.EqualTo([1, 3]));
    }

    [Test]
    public async Task DeletingWhatIsNotThereChangesNothing()
    {
        Commit(batch => PutSequences(batch, 1, 3));

        Commit(batch => batch.Delete(Key(2)));
        Commit(batch => batch.Delete(Key(1) with { Queue = 99 }));

        Assert.That(await ReadSequences(), Is.EqualTo([1, 3]));
    }

    [Test]
    public void TheExtremesOfEveryPartOfAKeyAreKeptApart() => Commit(batch =>
    {
        foreach (uint queue in (uint[])[0, 1, uint.MaxValue])
        foreach (byte band in (byte[])[0, 255])
        foreach (ulong group in (ulong[])[0, 1ul << 63, ulong.MaxValue])
        foreach (long order in (long[])[long.MinValue, -1, 0, long.MaxValue])
        foreach (long sequence in (long[])[long.MinValue, -1, 0, 1, long.MaxValue])
        {
            var key = new StoreKey(StoreKind.Message, queue, band, group, order, sequence);
            byte[] head = new byte[StoreKey.ByteLength];
            key.WriteTo(head);
            batch.Put(key, head);
        }
    });

    [Test]
    public async Task ALargeRecordComesBackBesideSmallOnes()
    {
        byte[] body = Bytes(Math.Min(_store.MaxRecordBytes, 16 * MiB) - 10);

        Commit(batch =>
        {
            batch.Put(Key(1), Bytes(10));
            batch.Put(Key(2), Bytes(10), body);
            batch.Put(Key(3), Bytes(10));
        });

        StoreRecord[] records = await ReadAll();
        Assert.That(records.Select(record => record.Key.Sequence), Is.EqualTo([1, 2, 3]));
        Assert.That(records[1].Body.Span.SequenceEqual(body), Is.True);
    }

    [Test]
    public void ALargeBatchIsOneCommit()
    {
        Commit(batch => PutSequences(batch, Enumerable.Range(1, 10_000)));
        Commit(batch =>
        {
            for (int i = 1; i <= 9_000; i++)
                batch.Delete(Key(i));
        });
    }

    [Test]
    public void AnEmptyBatchIsACommitToo()
    {
        Commit(_ => { }, FlushLevel.Written);
        Commit(_ => { }, FlushLevel.Flushed);
    }

    [Test]
    public async Task TheBatchMayBeUsedAgainAfterItsCommit()
    {
        _batch.Put(Key(1), Bytes(8), Bytes(8));
        _store.Commit(_batch, FlushLevel.Written);
        _model.Apply(_batch);

        _batch.Clear();
        _batch.Put(Key(2), Bytes(8, seed: 5));
        _store.Commit(_batch, FlushLevel.Written);
        _model.Apply(_batch);

        Assert.That(await ReadSequences(), Is.EqualTo([1, 2]));
    }

    // The order of operations

    [Test]
    public async Task ThePutBeforeADeleteOfTheSameKeyIsGone()
    {
        Commit(batch =>
        {
            batch.Put(Key(1), Bytes(3));
            batch.Delete(Key(1));
        });

        Assert.That(await ReadAll(), Is.Empty);
    }

    [Test]
    public async Task ThePutAfterADeleteOfTheSameKeyStays()
    {
        Commit(batch => batch.Put(Key(1), Bytes(3)));

        Commit(batch =>
        {
            batch.Delete(Key(1));
            batch.Put(Key(1), Bytes(4));
        });

        Assert.That((await ReadAll()).Single().Head.Length, Is.EqualTo(4));
    }

    [Test]
    public async Task TheLastOfTwoPutsOfTheSameKeyStays()
    {
        Commit(batch =>
        {
            batch.Put(Key(1), Bytes(3), Bytes(9));
            batch.Put(Key(1), Bytes(4));
        });

        Assert.That((await ReadAll()).Single().Head.Length, Is.EqualTo(4));
        Assert.That((await ReadAll()).Single().Body.Length, Is.EqualTo(0));
    }

    [Test]
    public async Task ARangeDeleteTakesTheEarlierPutsOfItsBatchAndLeavesTheLaterOnes()
    {
        Commit(batch => PutSequences(batch, 1, 2));

        Commit(batch =>
        {
            PutSequences(batch, 3, 4);
            batch.DeleteRange(Key(2), Key(4));
            PutSequences(batch, 2);
        });

        Assert.That(await ReadSequences(), Is.EqualTo([1, 2, 4]));
    }

    // Ranges

    [Test]
    public async Task ARangeDeleteTakesItsFirstKeyAndLeavesTheOneItEndsAt()
    {
        Commit(batch => PutSequences(batch, 1, 2, 3, 4));

        Commit(batch => batch.DeleteRange(Key(2), Key(4)));

        Assert.That(await ReadSequences(), Is.EqualTo([1, 4]));
    }

    [Test]
    public async Task ARangeDeleteOfAQueueLeavesTheNeighbours()
    {
        Commit(batch =>
        {
            foreach (uint queue in (uint[])[1, 2, 3])
            foreach (StoreKind kind in (StoreKind[])[StoreKind.Message, StoreKind.Parked])
            {
                batch.Put(StoreKey.First(kind, queue), Bytes(1));
                batch.Put(new StoreKey(kind, queue, 255, ulong.MaxValue, long.MaxValue, long.MaxValue), Bytes(1));
            }
        });

        Commit(batch => batch.DeleteRange(StoreKey.First(StoreKind.Message, 2), StoreKey.After(StoreKind.Message, 2)));

        Assert.That((await ReadAll()).Select(record => (record.Key.Kind, record.Key.Queue)).Distinct(), Is.EqualTo(
            [(StoreKind.Parked, 1u), (StoreKind.Parked, 2u), (StoreKind.Parked, 3u), (StoreKind.Message, 1u), (StoreKind.Message, 3u)]));
    }

    [Test]
    public async Task ARangeThatEndsWhereItBeginsOrBeforeIsEmpty()
    {
        Commit(batch => PutSequences(batch, 1, 2, 3));

        Commit(batch =>
        {
            batch.DeleteRange(Key(2), Key(2));
            batch.DeleteRange(Key(3), Key(1));
        });

        Assert.That(await ReadSequences(), Is.EqualTo([1, 2, 3]));
        Assert.That(_store.Read(Key(2), Key(2), 10, MiB, _page), Is.False);
        Assert.That(_page.Records, Is.Empty);
        Assert.That(_store.Read(Key(3), Key(1), 10, MiB, _page), Is.False);
        Assert.That(_page.Records, Is.Empty);
    }

    [Test]
    public async Task AReadTakesItsFirstKeyAndStopsBeforeTheOneItEndsAt()
    {
        Commit(batch => PutSequences(batch, 1, 2, 3, 4));

        Assert.That(_store.Read(Key(2), Key(4), 10, MiB, _page), Is.False);

        Assert.That(_page.Records.Select(record => record.Key.Sequence), Is.EqualTo([2, 3]));
    }

    [Test]
    public Task RecordsComeInTheOrderOfTheBytesOfTheirKeys() => StoreGen.AnyKey.Array[1, 40].SampleAsync(
        async keys =>
        {
            Clear();

            Commit(batch =>
            {
                foreach (StoreKey key in keys)
                    batch.Put(key, Bytes(2));
            });

            byte[][] read = [.. (await ReadAll()).Select(record => Bytes(record.Key))];
            Assert.That(read, Is.EqualTo(keys.Distinct().Select(Bytes).Order(Comparer<byte[]>.Create((left, right) => left.AsSpan().SequenceCompareTo(right)))));
        },
        iter: 40, threads: 1);

    // Pages

    [Test]
    public async Task APageEndsAtTheCount()
    {
        Commit(batch => PutSequences(batch, 1, 2, 3, 4, 5));

        bool more = _store.Read(Key(1), Key(100), 3, MiB, _page);

        Assert.That(more, Is.True);
        Assert.That(_page.Records.Select(record => record.Key.Sequence), Is.EqualTo([1, 2, 3]));
    }

    [TestCase(29, 3)]
    [TestCase(30, 3)]
    [TestCase(31, 4)]
    [TestCase(1, 1)]
    public async Task APageEndsWithTheRecordThatReachesTheBytes(long maxBytes, int expected)
    {
        Commit(batch =>
        {
            for (int i = 1; i <= 6; i++)
                batch.Put(Key(i), Bytes(4), Bytes(6));
        });

        bool more = _store.Read(Key(1), Key(100), 100, maxBytes, _page);

        Assert.That(more, Is.True);
        Assert.That(_page.Records.Select(record => record.Key.Sequence), Is.EqualTo(Enumerable.Range(1, expected)));
    }

    [Test]
    public async Task ARecordLargerThanThePageComesAlone()
    {
        Commit(batch =>
        {
            batch.Put(Key(1), Bytes(10), Bytes(100_000));
            PutSequences(batch, 2);
        });

        Assert.That(_store.Read(Key(1), Key(100), 100, 1000, _page), Is.True);

        Assert.That(_page.Records.Single().Key, Is.EqualTo(Key(1)));
    }

    [Test]
    public async Task AReadThatFindsTheEndSaysSo()
    {
        Commit(batch => PutSequences(batch, 1, 2));

        Assert.That(_store.Read(Key(1), Key(100), 100, MiB, _page), Is.False);
        Assert.That(_store.Read(Key(3), Key(100), 100, MiB, _page), Is.False);
        Assert.That(_page.Records, Is.Empty);
    }

    [Test]
    public async Task AReadEmptiesThePageFirst()
    {
        Commit(batch => PutSequences(batch, 1));
        _page.Add(Key(50), Bytes(3), Bytes(3));

        _store.Read(Key(1), Key(100), 100, MiB, _page);

        Assert.That(_page.Records.Single().Key, Is.EqualTo(Key(1)));
        Assert.That(_page.Bytes, Is.EqualTo(_page.Records[0].Head.Length + _page.Records[0].Body.Length));
    }

    [Test]
    public async Task WhatAReadReturnedStaysAsItWasWhenTheRecordIsReplacedAndDeleted()
    {
        Commit(batch => batch.Put(Key(1), Bytes(8), Bytes(20)));
        StoreRecord record = (await ReadAll()).Single();

        Commit(batch => batch.Put(Key(1), Bytes(8, seed: 7), Bytes(20, seed: 7)));
        Commit(batch => batch.Delete(Key(1)));

        Assert.That(record.Head.ToArray(), Is.EqualTo(Bytes(8)));
        Assert.That(record.Body.ToArray(), Is.EqualTo(Bytes(20)));
    }

    [Test]
    public async Task AnInsertedRecordIsThereAndIsInsertedAgainOnceItIsDeleted()
    {
        Commit(batch => batch.Insert(Key(1), Bytes(8), Bytes(20)));
        Commit(batch =>
        {
            batch.Delete(Key(1));
            batch.Insert(Key(1), Bytes(8, seed: 7), Bytes(20, seed: 7));
            batch.Insert(Key(2), Bytes(3));
            batch.Put(Key(2), Bytes(4));
        });

        StoreRecord[] records = [.. await ReadAll()];

        Assert.That(records.Select(record => record.Key), Is.EqualTo(new[] { Key(1), Key(2) }));
        Assert.That(records[0].Body.ToArray(), Is.EqualTo(Bytes(20, seed: 7)));
        Assert.That(records[1].Head.ToArray(), Is.EqualTo(Bytes(4)));
    }

    // Refusal and failure

    [Test]
    public async Task ARecordTooLargeIsRefusedWithItsWholeBatchAndTheStoreGoesOn()
    {
        Assume.That(_store.MaxRecordBytes, Is.LessThan(1536 * MiB), "Nothing larger than a record of this store can be built.");
        Commit(batch => PutSequences(batch, 1, 2));
        // One array twice, never written to: so large a record costs address space only.
        byte[] half = GC.AllocateUninitializedArray<byte>(_store.MaxRecordBytes / 2 + 1);

        _batch.Clear();
        PutSequences(_batch, 3);
        _batch.Delete(Key(1));
        _batch.Put(Key(4), half, half);
        StoreException refusal = Assert.Throws<StoreException>(() => _store.Commit(_batch, FlushLevel.Flushed));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.OutcomeUnknown, Is.False);
        Assert.That(await ReadSequences(), Is.EqualTo([1, 2]));
        Commit(batch => PutSequences(batch, 5));
    }

    [Test]
    public async Task AfterAFailedCommitEveryFurtherOneIsStoppedAndTheNextOpeningFindsAllOrNothingOfIt()
    {
        Commit(batch => PutSequences(batch, 1));
        if (!TryFailNextCommit(_provider))
            Assert.Ignore("This store cannot be told to fail.");

        Assert.That(Fault(() => CommitFresh(batch => PutSequences(batch, 2, 3))), Is.Not.EqualTo(StoreFault.Refused));
        _isOutcomeUnknown = true;

        Assert.That(Fault(() => CommitFresh(batch => PutSequences(batch, 4))), Is.EqualTo(StoreFault.Stopped));
        Assert.That(Fault(() => CommitFresh(_ => { })), Is.EqualTo(StoreFault.Stopped));
        await Reopen();
        Assert.That(await ReadSequences(), Is.EqualTo(new[] { 1 }).Or.EqualTo(new[] { 1, 2, 3 }));
        CommitFresh(batch => PutSequences(batch, 5));
    }

    // Opening and closing

    [TestCase(FlushLevel.Written)]
    [TestCase(FlushLevel.Flushed)]
    public async Task TheStateIsTheSameAfterOpeningAgain(FlushLevel level)
    {
        Commit(batch => PutSequences(batch, Enumerable.Range(1, 100)), level);
        Commit(batch => batch.DeleteRange(Key(10), Key(20)), level);
        Commit(batch => batch.Delete(Key(30)), level);
        Commit(batch => batch.Put(Key(40), Bytes(50, seed: 9), Bytes(60, seed: 9)), level);

        await Reopen();
        await AssertHoldsTheModel();

        Commit(batch => batch.Delete(Key(50)), level);
    }

    [Test]
    public async Task ASecondOpenerIsRefusedAndTheFirstGoesOn()
    {
        Commit(batch => PutSequences(batch, 1));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await _provider.OpenAsync());

        Assert.That(refusal.OutcomeUnknown, Is.False);
        Commit(batch => PutSequences(batch, 2));
        Assert.That(await ReadSequences(), Is.EqualTo([1, 2]));
    }

    [Test]
    public async Task ClosingTwiceIsClosingOnce()
    {
        Commit(batch => PutSequences(batch, 1));
        IMessageStore first = _store;

        await first.DisposeAsync();
        await first.DisposeAsync();
        _store = await _provider.OpenAsync();
        await first.DisposeAsync();

        Assert.That(async () => await _provider.OpenAsync(), Throws.InstanceOf<StoreException>(), "closing the first session again has let go of the second");
        Commit(batch => PutSequences(batch, 2));
    }

    // Random histories

    [Test]
    public Task AnyHistoryLeadsToTheStateOfTheModel() =>
        Gen.Select(StoreGen.Steps.Array[1, 12], StoreGen.CloseKey, StoreGen.CloseKey, Gen.Int[1, 20], Gen.Long[1, 200]).SampleAsync(
            async (commits, from, to, maxCount, maxBytes) =>
            {
                Clear();
                for (int i = 0; i < commits.Length; i++)
                {
                    Commit(
                        batch =>
                        {
                            foreach (StoreStep step in commits[i])
                                step.AddTo(batch);
                        },
                        i % 4 == 3 ? FlushLevel.Flushed : FlushLevel.Written);
                    await AssertPagesHold(from, to, maxCount, maxBytes);
                }
                await Reopen();
                await AssertHoldsTheModel();
            },
            iter: 30, threads: 1);

    // Reads beside commits

    [Test]
    public async Task AReadBesideCommitsSeesWholeCommitsOnlyAndAllThatHadReturned()
    {
        const int Records = 50, Commits = 300;
        long returned = 0;
        bool isDone = false;
        CommitGeneration(0);

        Task[] readers = [Task.Run(ReadOn), Task.Run(ReadOn)];
        try
        {
            for (int generation = 1; generation <= Commits; generation++)
            {
                CommitGeneration(generation);
                Volatile.Write(ref returned, generation);
            }
        }
        finally
        {
            Volatile.Write(ref isDone, true);
        }
        await Task.WhenAll(readers);

        // A window that moves by one record with each commit, and says in every record which commit it is.
        void CommitGeneration(int generation) => Commit(
            batch =>
            {
                batch.Delete(Key(generation - 1));
                for (int i = 0; i < Records; i++)
                    batch.Put(Key(generation + i), BitConverter.GetBytes(generation), Bytes(50));
            },
            FlushLevel.Written);

        async Task ReadOn()
        {
            var page = new StorePage();
            do
            {
                long before = Volatile.Read(ref returned);
                _store.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), Records * 2, MiB, page);

                int generation = BitConverter.ToInt32(page.Records[0].Head.Span);
                Assert.That(generation, Is.GreaterThanOrEqualTo(before));
                Assert.That(page.Records.Select(record => record.Key.Sequence), Is.EqualTo(Enumerable.Range(generation, Records)));
                Assert.That(page.Records.Select(record => BitConverter.ToInt32(record.Head.Span)), Is.All.EqualTo(generation));
            }
            while (!Volatile.Read(ref isDone));
        }
    }

    // Means

    private static StoreKey Key(long sequence) => new(StoreKind.Message, 7, 1, 0, 0, sequence);

    private static byte[] Bytes(int length, int seed = 1)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    private static byte[] Bytes(StoreKey key)
    {
        byte[] bytes = new byte[StoreKey.ByteLength];
        key.WriteTo(bytes);
        return bytes;
    }

    private static void PutSequences(StoreBatch batch, params IEnumerable<int> sequences)
    {
        foreach (int sequence in sequences)
            batch.Put(Key(sequence), Bytes(8, seed: sequence), Bytes(sequence % 40, seed: sequence));
    }

    private static StoreFault? Fault(Action action)
    {
        try
        {
            action();
            return null;
        }
        catch (StoreException error)
        {
            return error.Fault;
        }
    }

    private StoreBatch CommitFresh(Action<StoreBatch> fill, FlushLevel level = FlushLevel.Flushed)
    {
        _batch.Clear();
        fill(_batch);
        _store.Commit(_batch, level);
        return _batch;
    }

    private void Commit(Action<StoreBatch> fill, FlushLevel level = FlushLevel.Flushed) => _model.Apply(CommitFresh(fill, level));

    private void Clear() => Commit(batch => batch.DeleteRange(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message)), FlushLevel.Written);

    private async Task Reopen()
    {
        await _store.DisposeAsync();
        _store = await _provider.OpenAsync();
    }

    private async Task<StoreRecord[]> ReadAll()
    {
        _store.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, _page);
        return [.. _page.Records];
    }

    private async Task<long[]> ReadSequences() => [.. (await ReadAll()).Select(record => record.Key.Sequence)];

    private async Task AssertHoldsTheModel()
    {
        string[] held = [.. (await ReadAll()).Select(record => StoreModel.Describe(record.Key, record.Head, record.Body))];
        Assert.That(held, Is.EqualTo(_model.Describe()));
    }

    private async Task AssertPagesHold(StoreKey from, StoreKey to, int maxCount, long maxBytes)
    {
        List<StoreKey> read = [];
        StoreKey next = from;
        bool more;
        do
        {
            more = _store.Read(next, to, maxCount, maxBytes, _page);
            if (more)
            {
                Assert.That(_page.Records, Is.Not.Empty, "one record always comes");
                Assert.That(_page.Records.Count == maxCount || _page.Bytes >= maxBytes, Is.True, "a page ends early for no reason");
            }
            Assert.That(_page.Records, Has.Count.LessThanOrEqualTo(maxCount));
            if (_page.Records.Count > 0)
            {
                StoreRecord last = _page.Records[^1];
                Assert.That(_page.Bytes - last.Head.Length - last.Body.Length, Is.LessThan(maxBytes), "a page goes on behind the record that reached its bytes");
                next = last.Key.Next();
            }
            read.AddRange(_page.Records.Select(record => record.Key));
        }
        while (more);
        Assert.That(read, Is.EqualTo(_model.KeysBetween(from, to)));
    }
}
