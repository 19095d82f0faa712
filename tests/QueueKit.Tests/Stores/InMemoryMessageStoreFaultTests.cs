using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class InMemoryMessageStoreFaultTests
{
    private readonly InMemoryMessageStore _provider = new() { TracksFlushes = true };
    private IMessageStore _store = null!;

    [SetUp]
    public Task OpenTheStore() => Open();

    [TearDown]
    public ValueTask CloseTheStore() => _store.DisposeAsync();

    // Refusal

    [Test]
    public async Task ARefusedCommitWritesNothingAndTheNextOneIsTaken()
    {
        _provider.RefuseCommits();

        Assert.That(FaultOf(() => Put(1)), Is.EqualTo(StoreFault.Refused));
        Put(2);

        Assert.That(await Sequences(), Is.EqualTo([2]));
    }

    [Test]
    public async Task AsManyCommitsAreRefusedAsWereOrdered()
    {
        _provider.RefuseCommits(count: 2);

        Assert.That(FaultOf(() => Put(1)), Is.EqualTo(StoreFault.Refused));
        Assert.That(FaultOf(() => Put(2)), Is.EqualTo(StoreFault.Refused));
        Put(3);

        Assert.That(await Sequences(), Is.EqualTo([3]));
    }

    [Test]
    public async Task OnlyTheCommitsThatThePredicateNamesAreRefused()
    {
        _provider.RefuseCommits(count: 1, when: batch => batch.Operations[0].Key.Sequence % 2 == 0);

        Put(1);
        Assert.That(FaultOf(() => Put(2)), Is.EqualTo(StoreFault.Refused));
        Put(4);

        Assert.That(await Sequences(), Is.EqualTo([1, 4]));
    }

    [Test]
    public void ARefusalCanBeCalledOff()
    {
        _provider.RefuseCommits(count: int.MaxValue);
        _provider.RefuseCommits(count: 0);

        Put(1);
    }

    // Failure

    [TestCase(true)]
    [TestCase(false)]
    public async Task AFailedCommitIsThereAfterOpeningAgainIfItWasWrittenAnyway(bool written)
    {
        Put(1);
        _provider.FailNextCommit(written);

        Assert.That(FaultOf(() => Put(2)), Is.EqualTo(StoreFault.Failed));
        await Reopen();

        Assert.That(await Sequences(), Is.EqualTo(written ? new[] { 1, 2 } : [1]));
    }

    [Test]
    public async Task AfterAFailedCommitTheSessionIsStopped()
    {
        _provider.FailNextCommit(written: false);
        Assert.That(FaultOf(() => Put(1)), Is.EqualTo(StoreFault.Failed));

        Assert.That(FaultOf(() => Put(2)), Is.EqualTo(StoreFault.Stopped));
        Assert.That(Sequences, Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped));
        Assert.That(Open, Throws.InstanceOf<StoreException>(), "a dead session holds the store until it is disposed");

        await Reopen();
        Put(3);
    }

    [Test]
    public async Task ACommitWhoseFlushFailedIsLostWithThePower()
    {
        Put(1, FlushLevel.Flushed);
        Put(2, FlushLevel.Written);
        _provider.FailNextCommit(written: true);
        Assert.That(FaultOf(() => Put(3, FlushLevel.Flushed)), Is.EqualTo(StoreFault.Failed));

        _provider.CrashLosingUnflushed();
        await Open();

        Assert.That(await Sequences(), Is.EqualTo([1]));
    }

    // Stall

    [Test]
    public async Task AStalledCommitWritesNothingUntilItIsReleasedAndReadsGoOn()
    {
        CommitStall stall = _provider.StallCommits();
        Task commit = Task.Run(() => Put(1));
        await stall.Entered;

        Assert.That(await Sequences(), Is.Empty);
        Assert.That(commit.IsCompleted, Is.False);

        stall.Release();
        await commit;
        Assert.That(await Sequences(), Is.EqualTo([1]));
        Put(2);
    }

    [Test]
    public async Task CommitsCanBeLetThroughOneByOne()
    {
        CommitStall first = _provider.StallCommits();
        Task commits = Task.Run(() =>
        {
            Put(1);
            Put(2);
        });
        await first.Entered;

        CommitStall second = _provider.StallCommits();
        first.Release();
        await second.Entered;
        Assert.That(await Sequences(), Is.EqualTo([1]));

        second.Release();
        await commits;
        Assert.That(await Sequences(), Is.EqualTo([1, 2]));
    }

    [Test]
    public void AStoreThatIsStallingSaysThatItsCommitsBlock()
    {
        Assert.That(_store.CommitBlocks, Is.False);
        using (_provider.StallCommits())
            Assert.That(_store.CommitBlocks, Is.True);
        Assert.That(_store.CommitBlocks, Is.False);
    }

    [Test]
    public async Task ACrashEndsAStalledCommitWhichHasWrittenNothing()
    {
        using CommitStall stall = _provider.StallCommits();
        Task<StoreFault?> commit = Task.Run(() => FaultOf(() => Put(1)));
        await stall.Entered;

        _provider.Crash();

        Assert.That(await commit, Is.EqualTo(StoreFault.Stopped));
        await Open();
        Assert.That(await Sequences(), Is.Empty);
    }

    // Crashes

    [Test]
    public async Task TheEndOfTheProcessLosesNothingThatWasWritten()
    {
        Put(1, FlushLevel.Flushed);
        Put(2, FlushLevel.Written);

        _provider.Crash();
        await Open();

        Assert.That(await Sequences(), Is.EqualTo([1, 2]));
    }

    [Test]
    public async Task APowerCutLosesWhatWasCommittedAfterTheLastFlush()
    {
        Put(1, FlushLevel.Written);
        Put(2, FlushLevel.Flushed);
        Put(3, FlushLevel.Written);
        Put(4, FlushLevel.Written);

        _provider.CrashLosingUnflushed();
        await Open();

        Assert.That(await Sequences(), Is.EqualTo([1, 2]));
    }

    [Test]
    public async Task APowerCutBringsBackWhatWasReplacedAndDeletedAfterTheLastFlush()
    {
        byte[] head = [1, 2, 3], body = [4, 5];
        Commit(FlushLevel.Flushed, batch =>
        {
            for (int i = 1; i <= 4; i++)
                batch.Put(Key(i), head, body);
        });

        Commit(FlushLevel.Written, batch =>
        {
            batch.Delete(Key(1));
            batch.Put(Key(1), new byte[1]);
            batch.Put(Key(2), new byte[1]);
            batch.Put(Key(2), new byte[2]);
            batch.DeleteRange(Key(3), Key(9));
            batch.Put(Key(5), new byte[1]);
            batch.Delete(Key(7));
        });
        // The memory of deleted records may be used for something else.
        head.AsSpan().Fill(99);
        body.AsSpan().Fill(99);
        _provider.CrashLosingUnflushed();
        await Open();

        StoreRecord[] records = await Records();
        Assert.That(records.Select(record => record.Key.Sequence), Is.EqualTo([1, 2, 3, 4]));
        Assert.That(records.Select(record => record.Head.ToArray()), Is.All.EqualTo(new byte[] { 1, 2, 3 }));
        Assert.That(records.Select(record => record.Body.ToArray()), Is.All.EqualTo(new byte[] { 4, 5 }));
    }

    [Test]
    public async Task ClosingDoesNotFlush()
    {
        Put(1, FlushLevel.Flushed);
        Put(2, FlushLevel.Written);
        await Reopen();

        _provider.CrashLosingUnflushed();
        await Open();

        Assert.That(await Sequences(), Is.EqualTo([1]));
    }

    [Test]
    public async Task APowerCutLeadsBackToTheLastFlushWhateverCameAfterIt()
    {
        // Several power cuts in one history: what one has brought back is the ground of the next.
        await Check.SampleAsync(
            Gen.Select(StoreGen.Steps, StoreGen.Steps, StoreGen.Steps).Array[1, 5],
            async rounds =>
            {
                _provider.Crash();
                await Open();
                var model = new StoreModel();
                Commit(FlushLevel.Flushed, batch => batch.DeleteRange(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message)));
                foreach ((StoreStep[] flushed, StoreStep[] written, StoreStep[] alsoWritten) in rounds)
                {
                    model.Apply(Commit(FlushLevel.Flushed, batch => Fill(batch, flushed)));
                    Commit(FlushLevel.Written, batch => Fill(batch, written));
                    Commit(FlushLevel.Written, batch => Fill(batch, alsoWritten));
                    _provider.CrashLosingUnflushed();
                    await Open();
                    Assert.That((await Records()).Select(record => StoreModel.Describe(record.Key, record.Head, record.Body)), Is.EqualTo(model.Describe()));
                }
            },
            iter: 200, threads: 1);

        static void Fill(StoreBatch batch, StoreStep[] steps)
        {
            foreach (StoreStep step in steps)
                step.AddTo(batch);
        }
    }

    [Test]
    public async Task ASessionThatCrashedIsStoppedAndDoesNotStandInTheWay()
    {
        IMessageStore crashed = _store;
        _provider.Crash();
        await Open();

        Assert.That(FaultOf(() => crashed.Commit(new StoreBatch(), FlushLevel.Written)), Is.EqualTo(StoreFault.Stopped));
        await crashed.DisposeAsync();

        Assert.That(async () => await ((IMessageStoreProvider)_provider).OpenAsync(), Throws.InstanceOf<StoreException>());
        Put(1);
    }

    [Test]
    public void AStoreThatDoesNotTrackFlushesCannotForget() =>
        Assert.That(() => new InMemoryMessageStore().CrashLosingUnflushed(), Throws.InvalidOperationException.With.Message.Contains("TracksFlushes"));

    // Means

    private static StoreKey Key(long sequence) => new(StoreKind.Message, 1, 0, 0, 0, sequence);

    private static StoreFault? FaultOf(Action action)
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

    private void Put(long sequence, FlushLevel level = FlushLevel.Flushed) => Commit(level, batch => batch.Put(Key(sequence), new byte[4]));

    private StoreBatch Commit(FlushLevel level, Action<StoreBatch> fill)
    {
        var batch = new StoreBatch();
        fill(batch);
        _store.Commit(batch, level);
        return batch;
    }

    private async Task Open() => _store = await ((IMessageStoreProvider)_provider).OpenAsync();

    private async Task Reopen()
    {
        await _store.DisposeAsync();
        await Open();
    }

    private async Task<StoreRecord[]> Records()
    {
        var page = new StorePage();
        _store.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records];
    }

    private async Task<long[]> Sequences() => [.. (await Records()).Select(record => record.Key.Sequence)];
}
