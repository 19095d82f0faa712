using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>Disks that fail, hang and fill up, and what the store says then.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class LiteDBFaultTests
{
    private readonly VirtualClock _clock = new();
    private SimulatedDisk _disk = null!;

    [SetUp]
    public async Task MakeADisk() => _disk = await SimulatedStore.NewDisk();

    // Flushes

    [TestCase(FlushLevel.Flushed, 1)]
    [TestCase(FlushLevel.Written, 0)]
    public void ACommitCostsOneFlushOrNone(FlushLevel level, int flushes)
    {
        LiteMessageStore store = Open(logBytes: 1 << 24);
        Put(store, 1, FlushLevel.Flushed);
        int before = _disk.Syncs;

        for (int i = 2; i <= 11; i++)
            Put(store, i, level);

        Assert.That(_disk.Syncs - before, Is.EqualTo(10 * flushes));
    }

    [Test]
    public void AFlushThatFailedIsNotTriedAgain()
    {
        LiteMessageStore store = Open();
        FailNextFlush();

        StoreException failure = Assert.Throws<StoreException>(() => Put(store, 1, FlushLevel.Flushed));
        int flushes = _disk.Syncs;

        Assert.That(failure.OutcomeUnknown, Is.True);
        Assert.That(failure.Message, Does.Contain(SimulatedStore.Paths.Data).And.Contain("flushing").And.Contain("Input/output error"));
        Assert.That(() => Put(store, 2, FlushLevel.Written), Stops);
        Assert.That(() => SomeBatch.Describe(store), Stops);
        _clock.Advance(TimeSpan.FromMinutes(1));
        Assert.That(async () => await store.DisposeAsync(), Throws.Nothing);
        Assert.That(_disk.Syncs, Is.EqualTo(flushes));
    }

    [Test]
    public async Task AReadWaitsForTheFlushThatHangs()
    {
        LiteMessageStore store = Open();
        using var hangs = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _disk.BeforeSync = () =>
        {
            entered.TrySetResult();
            hangs.Wait(TimeSpan.FromSeconds(30));
        };

        Task commit = Task.Run(() => Put(store, 1, FlushLevel.Flushed));
        await entered.Task;
        Task<string[]> read = Task.Run(() => SomeBatch.Describe(store));
        Assert.That(read.IsCompleted, Is.False, "what is not on the disk yet has been handed out");
        hangs.Set();

        await commit;
        Assert.That(await read, Has.Length.EqualTo(1));
    }

    [Test]
    public async Task AReadThatWaitedForAFlushThatFailedGetsNothing()
    {
        LiteMessageStore store = Open();
        using var hangs = new ManualResetEventSlim();
        var entered = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        FailNextFlush(() =>
        {
            entered.TrySetResult();
            hangs.Wait(TimeSpan.FromSeconds(30));
        });

        Task commit = Task.Run(() => Put(store, 1, FlushLevel.Flushed));
        await entered.Task;
        Task<string[]> read = Task.Run(() => SomeBatch.Describe(store));
        hangs.Set();

        Assert.That(async () => await commit, Throws.InstanceOf<StoreException>());
        Assert.That(async () => await read, Stops);
    }

    // Any call that fails

    [TestCase(false)]
    [TestCase(true)]
    public async Task WhicheverCallFailsNothingConfirmedIsLostAndNobodyIsToldOtherwise(bool forGood)
    {
        bool hasFailed = true;
        int failAt = 0, inOpening = 0, inCommit = 0, elsewhere = 0;
        while (hasFailed)
        {
            failAt++;
            SimulatedDisk disk = (await SimulatedStore.NewDisk()).AfterCrash();
            disk.FailAt = failAt;
            disk.StaysFailed = forGood;
            disk.Random = new Random(failAt);
            List<StoreModel> possible = [new()];
            hasFailed = false;
            try
            {
                await Run(disk, possible);
            }
            catch (StoreException error) when (error.Fault is StoreFault.Failed or StoreFault.Stopped)
            {
                hasFailed = true;
                inOpening += possible.Count == 1 && disk.Calls < 10 ? 1 : 0;
                inCommit += error.OutcomeUnknown ? 1 : 0;
                elsewhere += error.OutcomeUnknown ? 0 : 1;
            }
            hasFailed |= disk.Calls >= failAt;

            await using LiteMessageStore again = SimulatedStore.Open(disk.AfterCrash());
            string[] found = SomeBatch.Describe(again);
            Assert.That(possible.Any(state => state.Describe().SequenceEqual(found)), Is.True, $"call {failAt} failed");
            Put(again, 99, FlushLevel.Flushed);
        }
        await TestContext.Out.WriteLineAsync($"{failAt - 1} calls failed in turn: {inCommit} outcomes unknown ({inOpening} of them while opening), {elsewhere} found by the next commit, the others while closing");
        Assert.That(failAt, Is.GreaterThan(30));
    }

    private async Task Run(SimulatedDisk disk, List<StoreModel> possible)
    {
        var clock = new VirtualClock();
        var random = new Random(7);
        LiteMessageStore store = SimulatedStore.Open(disk, clock);
        try
        {
            for (int i = 0; i < 12; i++)
            {
                StoreBatch batch = SomeBatch.Random(random);
                StoreModel next = possible[^1].Copy();
                next.Apply(batch);
                possible.Add(next);
                try
                {
                    store.Commit(batch, FlushLevel.Flushed);
                }
                catch (StoreException error)
                {
                    if (error.Fault == StoreFault.Stopped)
                        possible.RemoveAt(possible.Count - 1);
                    Assert.That(() => Put(store, 50, FlushLevel.Written), Stops);
                    throw;
                }
                possible.RemoveRange(0, possible.Count - 1);
                if (i % 5 == 4)
                    clock.Advance(TimeSpan.FromSeconds(3));
            }
        }
        finally
        {
            await store.DisposeAsync();
        }
    }

    // Space

    [Test]
    public void BelowTheLowWaterMarkMessagesAreRefusedAndAcksAreTaken()
    {
        LiteMessageStore store = Open(minFreeBytes: 1000);
        Put(store, 1, FlushLevel.Flushed);
        _disk.Available = 999;

        StoreException refusal = Assert.Throws<StoreException>(() => Put(store, 2, FlushLevel.Flushed));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(SimulatedStore.Paths.Data).And.Contain("999").And.Contain("1000").And.Contain("MinFreeBytes"));
        store.Commit(
            SomeBatch.Of(batch =>
            {
                batch.Delete(SomeBatch.Key(1));
                batch.Put(new StoreKey(StoreKind.Attempts, 1, 0, 0, 0, 5), new byte[4]);
                batch.Put(new StoreKey(StoreKind.Meta, 0, 0, 0, 0, 1), new byte[16]);
            }),
            FlushLevel.Flushed);
        _disk.Available = 1 << 20;
        Put(store, 3, FlushLevel.Flushed);
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(3));
    }

    [Test]
    public void WhereNobodyCanSayHowMuchIsFreeMessagesAreRefusedAndTheStoreGoesOn()
    {
        LiteMessageStore store = Open(minFreeBytes: 1000);
        Put(store, 1, FlushLevel.Flushed);
        _disk.Available = -1;

        StoreException refusal = Assert.Throws<StoreException>(() => Put(store, 2, FlushLevel.Flushed));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(SimulatedStore.Paths.Data).And.Contain("The disk does not answer."));
        _disk.Available = 1 << 20;
        Put(store, 3, FlushLevel.Flushed);
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(2));
    }

    // Checkpoints

    [Test]
    public void AnIdleStoreEmptiesItsLog()
    {
        LiteMessageStore store = Open(logBytes: 1 << 24);
        Put(store, 1, FlushLevel.Flushed);
        long busy = LogLength();
        _clock.Advance(TimeSpan.FromMilliseconds(900));
        Put(store, 2, FlushLevel.Flushed);
        _clock.Advance(TimeSpan.FromMilliseconds(200));
        Assert.That(LogLength(), Is.GreaterThanOrEqualTo(busy), "it was not idle");

        _clock.Advance(TimeSpan.FromSeconds(2));

        Assert.That(LogLength(), Is.LessThan(busy));
        Assert.That(_clock.ArmedTimers, Is.Zero, "an idle store has nothing to do");
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(2));
    }

    [Test]
    public void ALongLogIsEmptiedAtOnceAndNeverGrowsBeyondTwiceItsLimit()
    {
        const long Limit = 64 * 1024;
        LiteMessageStore store = Open(logBytes: Limit);
        long longest = 0;
        for (int i = 0; i < 100; i++)
        {
            Put(store, i, FlushLevel.Flushed);
            longest = Math.Max(longest, LogLength());
        }
        // One commit and the zeros ahead come on top.
        Assert.That(longest, Is.InRange(Limit, (2 * Limit) + (6 * 8192) + (Limit / 4)));

        for (int i = 100; LogLength() < Limit + (Limit / 2); i++)
            Put(store, i, FlushLevel.Flushed);
        _clock.Advance(TimeSpan.Zero);

        Assert.That(_disk.ReadAll(SimulatedStore.Paths.Log).AsSpan().LastIndexOfAnyExcept((byte)0), Is.LessThan(8192), "nothing but its first page and zeros");
        Assert.That(LogLength(), Is.EqualTo(Limit));
        Assert.That(SomeBatch.Describe(store), Has.Length.GreaterThanOrEqualTo(100));
    }

    // On the machine's own disk, with a thread that commits without a pause and another one that looks without a pause.
    [Test]
    public async Task CheckpointsBesideCommitsLoseNothing()
    {
        var folder = new TestFolder();
        try
        {
            var paths = new StorePaths(folder.File("queue.db"));
            var options = new LiteDBStoreOptions { LogBytes = 1024 * 1024, MinFreeBytes = 0 };
            var model = new StoreModel();
            int checkpoints = 0;
            using (LiteMessageStore store = LiteMessageStore.Open(DiskFileSystem.Instance, paths, options, _clock))
            {
                bool isDone = false;
                Task looking = Task.Run(() =>
                {
                    while (!Volatile.Read(ref isDone))
                        _clock.Advance(TimeSpan.Zero);
                });
                var random = new Random(17);
                long length = 0;
                for (int i = 0; i < 400; i++)
                {
                    StoreBatch batch = SomeBatch.Random(random);
                    store.Commit(batch, i % 5 == 0 ? FlushLevel.Flushed : FlushLevel.Written);
                    model.Apply(batch);
                    checkpoints += store.LogBytes < length ? 1 : 0;
                    length = store.LogBytes;
                    if (i % 50 == 0)
                        Assert.That(SomeBatch.Describe(store), Is.EqualTo(model.Describe()));
                }
                Volatile.Write(ref isDone, true);
                await looking;
                Assert.That(SomeBatch.Describe(store), Is.EqualTo(model.Describe()));
            }
            Assert.That(checkpoints, Is.GreaterThan(3));
            using LiteMessageStore again = LiteMessageStore.Open(DiskFileSystem.Instance, paths, options, _clock);
            Assert.That(SomeBatch.Describe(again), Is.EqualTo(model.Describe()));
        }
        finally
        {
            folder.Delete();
        }
    }

    // The next log is made of the last one, which may be longer than the limit.
    [Test]
    public void LogAfterLogWhatWasCommittedIsThere()
    {
        const long Limit = 64 * 1024;
        LiteMessageStore store = Open(logBytes: Limit);
        var random = new Random(5);
        int sequence = 0;
        for (int log = 0; log < 12; log++)
        {
            for (long length = Limit + random.Next((int)Limit / 2); store.LogBytes < length;)
                Put(store, sequence++, FlushLevel.Flushed);
            _clock.Advance(TimeSpan.Zero);
            Assert.That(store.LogBytes, Is.Zero);
            if (log % 4 == 3)
                store = SimulatedStore.Open(_disk = _disk.AfterCrash(), _clock, Limit);
            Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(sequence));
        }
        Assert.That(LogLength(), Is.LessThan(2 * Limit));
    }

    // A log that cannot be made ready costs time and nothing else.
    [Test]
    public async Task ADiskWithoutRoomForTheNextLogIsNoFailure()
    {
        LiteMessageStore store = Open();
        int sequence = 0;
        while (store.LogBytes < 64 * 1024)
            Put(store, sequence++, FlushLevel.Flushed);
        // The first thing that is done is to create it.
        _disk.FailAt = _disk.Calls + 1;

        _clock.Advance(TimeSpan.Zero);

        Assert.That(store.LogBytes, Is.Zero);
        Put(store, sequence++, FlushLevel.Flushed);
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(sequence));
        await store.DisposeAsync();
    }

    [Test]
    public async Task AStoreThatIsClosedIsOneFile()
    {
        LiteMessageStore store = Open();
        for (int i = 0; store.LogBytes < 64 * 1024; i++)
            Put(store, i, FlushLevel.Written);
        _clock.Advance(TimeSpan.Zero);
        Put(store, 1, FlushLevel.Written);

        await store.DisposeAsync();

        Assert.That(_disk.Exists(SimulatedStore.Paths.Log) || _disk.Exists(SimulatedStore.Paths.NextLog) || _disk.Exists(SimulatedStore.Paths.OldLog), Is.False);
        Assert.That(_disk.Exists(SimulatedStore.Paths.Data), Is.True);
    }

    // Means

    private static NUnit.Framework.Constraints.IResolveConstraint Stops => Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped);

    private LiteMessageStore Open(long logBytes = 64 * 1024, long minFreeBytes = 0) => SimulatedStore.Open(_disk, _clock, logBytes, minFreeBytes);

    private static void Put(LiteMessageStore store, int sequence, FlushLevel level) =>
        store.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(sequence), new byte[4], new byte[100])), level);

    private long LogLength() => _disk.ReadAll(SimulatedStore.Paths.Log).Length;

    private void FailNextFlush(Action? before = null) => _disk.BeforeSync = () =>
    {
        before?.Invoke();
        _disk.BeforeSync = null;
        _disk.FailAt = _disk.Calls + 1;
    };
}
