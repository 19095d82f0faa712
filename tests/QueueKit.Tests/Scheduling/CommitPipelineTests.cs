using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Tests.Scheduling;

[TestFixture(false, Description = "The pipeline runs as a work item.")]
[TestFixture(true, Description = "The store blocks: the pipeline has a thread of its own.")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class CommitPipelineTests(bool commitBlocks) : IAsyncDisposable
{
    // A bound that turns a hang into a failure; nothing is timed by it.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private static readonly StoreException s_refusal = new(StoreFault.Refused, "No room on the disk.", "queue.db");
    private static readonly StoreException s_failure = new(StoreFault.Failed, "The flush failed.", "queue.db");

    private readonly ScriptedStore _store = new(commitBlocks);
    private readonly WorkScheduler _scheduler = new();
    private readonly WorkTarget _target = new();
    private CommitPipeline? _pipeline;

    private CommitPipeline Pipeline => _pipeline ??= new CommitPipeline(_store, _scheduler, new CommitRecords());

    public async ValueTask DisposeAsync()
    {
        _store.StopStalling();
        if (_pipeline is not null)
            await Bounded(_pipeline.DisposeAsync().AsTask());
    }

    // Batches

    [Test]
    public async Task AWorkIsCommittedAndAppliedAndThenHearsOfIt()
    {
        Assert.That(await Outcome(Enqueue(1)), Is.Null);

        Assert.That(_store.Committed, Is.EqualTo(new long[][] { [1] }));
        Assert.That(_target.Runs, Is.EqualTo(["1"]));
    }

    [Test]
    public async Task WhatArrivesWhileACommitIsUnderWayGathersIntoTheNext()
    {
        StallWith(1);
        RecordedWork[] gathered = [.. Enumerable.Range(2, 100).Select(number => Enqueue(number))];

        _store.StopStalling();
        await Outcome(gathered[^1]);

        Assert.That(_store.Committed, Is.EqualTo(new[] { [1], Numbers(2, 100) }));
        Assert.That(_target.Runs, Is.EqualTo(["1", string.Join(' ', Numbers(2, 100))]));
    }

    [Test]
    public void NothingIsAppliedBeforeItsCommitHasReturned()
    {
        RecordedWork work = StallWith(1);

        Assert.That(_target.Runs, Is.Empty);
        Assert.That(work.Outcome.Task.IsCompleted, Is.False);
    }

    [Test]
    public async Task NeighboursOfOneTargetAreAppliedTogetherInTheOrderOfTheBatch()
    {
        List<string> runs = [];
        WorkTarget a = new("a ") { SharedRuns = runs }, b = new("b ") { SharedRuns = runs };
        StallWith(0);

        foreach ((int number, WorkTarget target) in new[] { (1, a), (2, a), (3, b), (4, a), (5, b), (6, b) })
            Enqueue(new RecordedWork(number, target));
        RecordedWork last = Enqueue(7);
        _store.StopStalling();
        await Outcome(last);

        Assert.That(runs, Is.EqualTo(["a 1 2", "b 3", "a 4", "b 5 6"]));
    }

    [Test]
    public async Task AVeryLargeBatchIsCutAndTheRestComesNextInOrder()
    {
        const int Works = 20_000;
        StallWith(0);
        RecordedWork[] works = [.. Enumerable.Range(1, Works).Select(number => Enqueue(number))];

        _store.ReleaseOne();
        _store.AwaitStalled();
        // Arrives behind the rest.
        RecordedWork last = Enqueue(Works + 1);
        _store.StopStalling();
        await Outcome(last);

        Assert.That(_store.Committed.Skip(1).Select(works => works.Length).First(), Is.InRange(1000, Works / 2));
        Assert.That(_store.Committed.SelectMany(works => works), Is.EqualTo(Numbers(0, Works + 2)));
        Assert.That(works.Select(work => work.FirstSequence), Is.EqualTo(Numbers(2, Works)));
    }

    [Test]
    public async Task ABatchIsCutByItsBytesToo()
    {
        byte[] body = new byte[6 * 1024 * 1024];
        StallWith(0);
        for (int number = 1; number <= 5; number++)
            Enqueue(new RecordedWork(number, _target, body: body));
        RecordedWork last = Enqueue(6);

        _store.StopStalling();
        await Outcome(last);

        Assert.That(_store.Committed, Is.EqualTo(new long[][] { [0], [1, 2, 3], [4, 5, 6] }));
    }

    [Test]
    public async Task ThreadsThatAddAtOnceLoseNothingAndEachKeepsItsOrder()
    {
        const int Threads = 4, PerThread = 5000;
        CommitPipeline pipeline = Pipeline;
        Thread[] threads = [.. Enumerable.Range(0, Threads).Select(thread => new Thread(() =>
        {
            for (int i = 0; i < PerThread; i++)
                pipeline.Enqueue(new RecordedWork(thread * PerThread + i, _target));
        }))];

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        await DisposeAsync();

        long[] committed = [.. _store.Committed.SelectMany(works => works)];
        Assert.That(committed, Has.Length.EqualTo(Threads * PerThread));
        for (int thread = 0; thread < Threads; thread++)
            Assert.That(committed.Where(number => number / PerThread == thread).SequenceEqual(Numbers(thread * PerThread, PerThread)), Is.True);
    }

    [Test]
    public async Task AWorkMayBeAddedWhileAnotherIsApplied()
    {
        var tenth = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _target.OnCommitted = work =>
        {
            if (work.Number < 10)
                Enqueue(work.Number + 1);
            else
                tenth.SetResult();
        };

        Enqueue(1);
        await Bounded(tenth.Task);

        Assert.That(_store.Committed.SelectMany(works => works), Is.EqualTo(Numbers(1, 10)));
    }

    [Test]
    public async Task AListIsAddedInOrderAndIsEmptyThen()
    {
        StallWith(1);
        RecordedWork[] works = [.. Enumerable.Range(2, 3).Select(number => new RecordedWork(number, _target))];
        CommitList list = default;
        foreach (RecordedWork work in works)
            list.Add(work);
        Assert.That(list.IsEmpty, Is.False);

        list.EnqueueTo(Pipeline);
        Assert.That(list.IsEmpty, Is.True);
        _store.StopStalling();
        await Outcome(works[^1]);

        Assert.That(_store.Committed, Is.EqualTo(new long[][] { [1], [2, 3, 4] }));
    }

    // Levels and numbers

    [TestCase(FlushLevel.Written, FlushLevel.Written, FlushLevel.Written)]
    [TestCase(FlushLevel.Written, FlushLevel.Flushed, FlushLevel.Flushed)]
    [TestCase(FlushLevel.Flushed, FlushLevel.Written, FlushLevel.Flushed)]
    public async Task ABatchIsAsSafeAsTheMostDemandingOfItsWorks(FlushLevel first, FlushLevel second, FlushLevel expected)
    {
        StallWith(0);
        Enqueue(new RecordedWork(1, _target, first));
        RecordedWork last = Enqueue(new RecordedWork(2, _target, second));
        _store.StopStalling();
        await Outcome(last);

        Assert.That(_store.Calls.Select(call => call.Level), Is.EqualTo([FlushLevel.Written, expected]));
    }

    [Test]
    public async Task EachCommitHasTheNextNumberAndSaysWhichSequenceWasTheLast()
    {
        _pipeline = new CommitPipeline(_store, _scheduler, new CommitRecords(new CommitRecord(Number: 40, LastSequence: 700)));

        RecordedWork three = Enqueue(new RecordedWork(1, _target, sequences: 3));
        await Outcome(three);
        RecordedWork none = Enqueue(new RecordedWork(2, _target, sequences: 0));
        await Outcome(none);
        RecordedWork one = Enqueue(3);
        await Outcome(one);

        Assert.That(_store.Calls.Select(call => call.Record), Is.EqualTo([new CommitRecord(41, 703), new CommitRecord(42, 703), new CommitRecord(43, 704)]));
        Assert.That((three.FirstSequence, one.FirstSequence, Pipeline.CommitNumber), Is.EqualTo((701L, 704L, 43L)));
    }

    [Test]
    public async Task ARefusedCommitUsesUpNoCommitNumberAndNoSequenceIsUsedTwice()
    {
        _store.Script = call => call.Works.Contains(2) ? s_refusal : null;

        RecordedWork first = Enqueue(1);
        await Outcome(first);
        await Outcome(Enqueue(2));
        RecordedWork third = Enqueue(3);
        await Outcome(third);

        Assert.That(Pipeline.CommitNumber, Is.EqualTo(2));
        Assert.That(third.FirstSequence, Is.GreaterThan(first.FirstSequence));
        Assert.That(_store.Calls.Where(call => call.Error is null).Select(call => call.Record.LastSequence), Is.EqualTo([first.FirstSequence, third.FirstSequence]));
    }

    [Test]
    public async Task TheCommittedWorksAreCounted()
    {
        StallWith(0);
        for (int number = 1; number <= 9; number++)
            Enqueue(number);
        await DisposeAsync();

        Assert.That((Pipeline.CommittedWorks, Pipeline.CommitNumber), Is.EqualTo((10L, 2L)));
    }

    // Refused

    [Test]
    public async Task ARefusedWorkIsToldWhyAndTheStoreGoesOn()
    {
        _store.Script = call => call.Works.Contains(1) ? s_refusal : null;
        RecordedWork refused = Enqueue(1);

        Assert.That(await Outcome(refused), Is.SameAs(s_refusal));
        Assert.That(refused.WasRefused, Is.True);
        Assert.That(await Outcome(Enqueue(2)), Is.Null);
        Assert.That(Pipeline.Fault, Is.Null);
    }

    [Test]
    public async Task OfARefusedBatchOnlyTheBadWorkIsRefusedInTheEnd()
    {
        _store.Script = call => call.Works.Contains(3) ? s_refusal : null;
        StallWith(0);
        RecordedWork[] works = [.. Enumerable.Range(1, 5).Select(number => Enqueue(number))];

        _store.StopStalling();
        StoreException?[] outcomes = await Outcomes(works);

        Assert.That(outcomes, Is.EqualTo(new[] { null, null, s_refusal, null, null }));
        Assert.That(_store.Committed, Is.EqualTo(new long[][] { [0], [1, 2], [4, 5] }));
        Assert.That(works.Where(work => work.WasRefused), Is.EqualTo([works[2]]));
    }

    [Test]
    public async Task WhereThereIsNoRoomForMoreWhatOnlyDeletesGoesInOneCommit()
    {
        _store.Script = call => call.Works.Any(number => number % 2 == 0 && number != 0) ? s_refusal : null;
        StallWith(0);
        RecordedWork[] works = [.. Enumerable.Range(1, 100).Select(number => Enqueue(new RecordedWork(number, _target, onlyDeletes: number % 2 == 1)))];

        _store.StopStalling();
        StoreException?[] outcomes = await Outcomes(works);

        Assert.That(outcomes.Where((outcome, i) => outcome is null != works[i].OnlyDeletes), Is.Empty);
        Assert.That(_store.Committed, Is.EqualTo(new[] { [0], Enumerable.Range(1, 100).Where(number => number % 2 == 1).Select(number => (long)number).ToArray() }));
    }

    [Test]
    public async Task AfterARefusedBatchTheNumbersStillAscendInTheOrderOfArrival()
    {
        _store.Script = call => call.Works.Length > 1 ? s_refusal : null;
        StallWith(0);
        RecordedWork[] works = [.. Enumerable.Range(1, 5).Select(number => Enqueue(new RecordedWork(number, _target, sequences: 2)))];

        _store.StopStalling();
        await Outcomes(works);
        RecordedWork later = Enqueue(6);
        await Outcome(later);

        long[] sequences = [.. works.Append(later).Select(work => work.FirstSequence)];
        Assert.That(sequences, Is.Ordered.Ascending);
        Assert.That(sequences.Zip(sequences.Skip(1)).Select(pair => pair.Second - pair.First), Is.All.GreaterThanOrEqualTo(2));
        Assert.That(works.Select(work => work.Writes), Is.All.GreaterThanOrEqualTo(2));
    }

    [Test]
    public async Task AWorkThatIsTriedAloneIsAsSafeAsItAsked()
    {
        _store.Script = call => call.Works.Length > 1 ? s_refusal : null;
        StallWith(0);
        Enqueue(new RecordedWork(1, _target, FlushLevel.Flushed));
        RecordedWork last = Enqueue(new RecordedWork(2, _target, FlushLevel.Written));

        _store.StopStalling();
        await Outcome(last);

        Assert.That(_store.Calls.Skip(2).Select(call => call.Level), Is.EqualTo([FlushLevel.Flushed, FlushLevel.Written]));
    }

    // Failed

    [Test]
    public async Task AfterAFailureItsWorksAreToldThatTheOutcomeIsUnknown()
    {
        _store.Script = call => call.Works.Contains(1) ? s_failure : null;
        StallWith(0);
        RecordedWork[] works = [Enqueue(1), Enqueue(2)];

        _store.StopStalling();
        StoreException?[] outcomes = await Outcomes(works);

        Assert.That(outcomes.Select(outcome => outcome!.OutcomeUnknown), Is.All.True);
        Assert.That(outcomes.Select(outcome => outcome!.Path), Is.All.EqualTo("queue.db"));
    }

    [Test]
    public async Task AfterAFailureEverythingElseIsToldThatTheStoreHasStopped()
    {
        _store.Script = _ => s_failure;
        RecordedWork failed = StallWith(1);
        RecordedWork gathered = Enqueue(2);

        _store.StopStalling();
        await Outcome(failed);
        RecordedWork later = Enqueue(3);

        foreach (StoreException? outcome in await Outcomes(gathered, later))
            Assert.That((outcome!.Fault, outcome.OutcomeUnknown), Is.EqualTo((StoreFault.Stopped, false)));
        Assert.That(_store.Calls, Has.Count.EqualTo(1), "A store that has failed is not asked again.");
        Assert.That((gathered.Writes, later.Writes), Is.EqualTo((0, 0)));
    }

    [Test]
    public async Task AFailureIsSeenFromOutside()
    {
        Assert.That((Pipeline.Fault, Pipeline.Faulted.IsCompleted), Is.EqualTo(((StoreException?)null, false)));
        _store.Script = _ => s_failure;

        Enqueue(1);
        await Bounded(Pipeline.Faulted);

        Assert.That(Pipeline.Fault, Is.Not.Null);
        Assert.That((Pipeline.Fault!.Fault, Pipeline.Fault.InnerException, Pipeline.Fault.Path), Is.EqualTo((StoreFault.Stopped, s_failure, "queue.db")));
        Assert.That(Pipeline.Fault.Message, Does.Contain(s_failure.Message));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task WhoeverHearsOfAFailureSeesTheStoreStoppedAlready(bool oneByOne)
    {
        var seen = new List<StoreException?>();
        RecordedWork Work(int number) => new(number, _target) { OnFailed = () => seen.Add(Pipeline.Fault) };
        _store.Script = call => oneByOne && call.Works.Length > 1 ? s_refusal : call.Works.Contains(1) ? s_failure : null;
        StallWith(0);
        RecordedWork[] works = [Enqueue(Work(1)), Enqueue(Work(2))];

        _store.StopStalling();
        await Outcomes(works);

        Assert.That(seen, Has.Count.EqualTo(2).And.All.Not.Null);
    }

    [Test]
    public async Task WhenATryAloneFailsWhatWasBeforeItIsCommittedAndWhatComesAfterIsNotTried()
    {
        _store.Script = call => call.Works.Length > 1 ? s_refusal : call.Works.Contains(2) ? s_failure : null;
        StallWith(0);
        RecordedWork[] works = [.. Enumerable.Range(1, 4).Select(number => Enqueue(number))];

        _store.StopStalling();
        StoreException?[] outcomes = await Outcomes(works);

        Assert.That(outcomes.Select(outcome => outcome?.Fault), Is.EqualTo(new StoreFault?[] { null, StoreFault.Failed, StoreFault.Stopped, StoreFault.Stopped }));
        Assert.That(_store.Committed, Is.EqualTo(new long[][] { [0], [1] }));
    }

    [TestCase(false)]
    [TestCase(true)]
    public async Task WhateverElseAStoreThrowsTheOutcomeIsUnknown(bool oneByOne)
    {
        Exception[] errors = [new InvalidOperationException("Oops."), new StoreException(StoreFault.Unreadable, "Damaged.")];
        foreach (Exception error in errors)
        {
            var store = new ScriptedStore(commitBlocks) { Script = call => call.Works.Contains(0) ? null : oneByOne && call.Works.Length > 1 ? s_refusal : error };
            await using var pipeline = new CommitPipeline(store, _scheduler, new CommitRecords());
            store.Stall();
            pipeline.Enqueue(new RecordedWork(0, _target));
            store.AwaitStalled();
            RecordedWork[] works = [new(1, _target), new(2, _target)];
            Array.ForEach(works, pipeline.Enqueue);
            store.StopStalling();

            StoreException outcome = (await Outcome(works[0]))!;

            Assert.That((outcome.Fault, outcome.OutcomeUnknown), Is.EqualTo((StoreFault.Failed, true)), error.Message);
            Assert.That(outcome.Message, Does.Contain(error.Message));
            Assert.That(outcome.InnerException, Is.SameAs(error));
            Assert.That((await Outcome(works[1]))!.OutcomeUnknown, Is.EqualTo(!oneByOne));
        }
    }

    [Test]
    public async Task AStoreThatSaysItHadStoppedBeforeIsBelieved()
    {
        _store.Script = _ => new StoreException(StoreFault.Stopped, "Long dead.");

        Assert.That((await Outcome(Enqueue(1)))!.OutcomeUnknown, Is.False);
        Assert.That(Pipeline.Fault, Is.Not.Null);
    }

    // Where it runs

    [Test]
    public async Task AStoreThatBlocksHasAThreadOfItsOwn()
    {
        await Outcome(Enqueue(1));

        CommitCall call = _store.Calls.Single();
        Assert.That((call.OnPool, call.ThreadName == "QueueKit commit"), Is.EqualTo((!commitBlocks, commitBlocks)));
    }

    [Test]
    public void AStoreThatDoesNotBlockIsCommittedToByACountedWorkItem()
    {
        Assert.That(_scheduler.Outstanding, Is.Zero);

        StallWith(1);

        Assert.That(_scheduler.Outstanding, Is.EqualTo(commitBlocks ? 0 : 1));
    }

    // Disposal

    [Test]
    public async Task DisposalCommitsWhatHasArrivedAndThenClosesTheStore()
    {
        StallWith(1);
        RecordedWork[] works = [.. Enumerable.Range(2, 10).Select(number => Enqueue(number))];

        Task disposal = Pipeline.DisposeAsync().AsTask();
        Assert.That((disposal.IsCompleted, _store.Disposals), Is.EqualTo((false, 0)));
        _store.StopStalling();
        await Bounded(disposal);

        Assert.That(works.Select(work => work.Outcome.Task.IsCompletedSuccessfully), Is.All.True);
        Assert.That(_store.Committed.SelectMany(each => each), Is.EqualTo(Numbers(1, 11)));
        Assert.That(_store.Disposals, Is.EqualTo(1));
    }

    [Test]
    public async Task APipelineThatWasNeverUsedIsDisposed()
    {
        await Bounded(Pipeline.DisposeAsync().AsTask());

        Assert.That((_store.Calls.Count, _store.Disposals), Is.EqualTo((0, 1)));
    }

    [Test]
    public async Task DisposalAfterAFailureTellsWhatStillWaits()
    {
        _store.Script = _ => s_failure;
        StallWith(1);
        RecordedWork waiting = Enqueue(2);

        Task disposal = Pipeline.DisposeAsync().AsTask();
        _store.StopStalling();
        await Bounded(disposal);

        Assert.That((await Outcome(waiting))!.Fault, Is.EqualTo(StoreFault.Stopped));
    }

    [Test]
    public async Task AWorkThatComesAfterTheDisposalIsToldThatTheStoreHasStopped()
    {
        await Outcome(Enqueue(1));
        await DisposeAsync();

        StoreException?[] outcomes = await Outcomes(Enqueue(2), Enqueue(3));

        Assert.That(outcomes.Select(outcome => outcome!.Fault), Is.All.EqualTo(StoreFault.Stopped));
        Assert.That(_store.Calls, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task AWorkThatComesWithTheDisposalIsCommittedOrToldThatTheStoreHasStopped()
    {
        for (int round = 0; round < 500; round++)
        {
            var store = new ScriptedStore(commitBlocks);
            var pipeline = new CommitPipeline(store, _scheduler, new CommitRecords());
            var work = new RecordedWork(1, _target);
            Task disposal = Task.Run(() => pipeline.DisposeAsync().AsTask());
            Thread.SpinWait(round % 100 * 10);
            pipeline.Enqueue(work);

            StoreException? outcome = await Outcome(work);
            await Bounded(disposal);

            Assert.That(outcome?.Fault, Is.EqualTo(store.Calls.IsEmpty ? StoreFault.Stopped : (StoreFault?)null));
        }
    }

    [Test]
    public void AnIdlePipelineHoldsNothingOfWhatItHasCommitted()
    {
        WeakReference body = CommitABody();
        // The pipeline looks for more before it rests, and there is no signal for that but the rest itself.
        for (int i = 0; body.IsAlive && i < 1000; i++)
        {
            Thread.Yield();
            GC.Collect();
        }

        Assert.That(body.IsAlive, Is.False);
    }

    // In a method of its own, and not an asynchronous one, so that no local keeps the body alive.
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private WeakReference CommitABody()
    {
        byte[] body = new byte[100];
        Assert.That(Outcome(Enqueue(new RecordedWork(1, _target, body: body))).Wait(s_bound), Is.True);
        return new WeakReference(body);
    }

    [Test]
    public async Task NoWorkIsForgottenHoweverSoonTheDisposalFollows()
    {
        bool isApplied = false;
        _target.OnCommitted = _ => Volatile.Write(ref isApplied, true);
        for (int round = 0; round < 3000; round++)
        {
            var store = new ScriptedStore(commitBlocks);
            var pipeline = new CommitPipeline(store, _scheduler, new CommitRecords());
            RecordedWork first = new(1, _target), last = new(2, _target);
            Volatile.Write(ref isApplied, false);
            pipeline.Enqueue(first);
            // At many different moments after the first is applied, while the loop looks for more and prepares to rest.
            var patience = new SpinWait();
            while (!Volatile.Read(ref isApplied) && patience.Count < 10_000_000)
                patience.SpinOnce(sleep1Threshold: -1);
            Thread.SpinWait(round % 30);
            pipeline.Enqueue(last);
            await Bounded(pipeline.DisposeAsync().AsTask());

            Assert.That(last.Outcome.Task.IsCompletedSuccessfully, Is.True, $"Forgotten in round {round}.");
        }
    }

    private RecordedWork Enqueue(long number) => Enqueue(new RecordedWork(number, _target));

    private RecordedWork Enqueue(RecordedWork work)
    {
        Pipeline.Enqueue(work);
        return work;
    }

    // The store has taken a work and is slow to commit it: what comes now gathers behind.
    private RecordedWork StallWith(long number)
    {
        _store.Stall();
        RecordedWork work = Enqueue(number);
        _store.AwaitStalled();
        return work;
    }

    private static Task<StoreException?> Outcome(RecordedWork work) => work.Outcome.Task.WaitAsync(s_bound, TimeProvider.System);

    private static Task<StoreException?[]> Outcomes(params RecordedWork[] works) => Task.WhenAll(works.Select(Outcome));

    private static Task Bounded(Task task) => task.WaitAsync(s_bound, TimeProvider.System);

    private static long[] Numbers(int from, int count) => [.. Enumerable.Range(from, count).Select(number => (long)number)];
}
