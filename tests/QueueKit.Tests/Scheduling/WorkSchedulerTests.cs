using QueueKit.Scheduling;

namespace QueueKit.Tests.Scheduling;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class WorkSchedulerTests
{
    // A bound that turns a hang into a failure; nothing is timed by it.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private readonly WorkScheduler _scheduler = new();

    [Test]
    public void WorkRunsOnThePool()
    {
        bool onPool = false;
        var work = new Work(() => onPool = Thread.CurrentThread.IsThreadPoolThread);

        _scheduler.Schedule(work);

        work.Await();
        Assert.That(onPool, Is.True);
    }

    [Test]
    public void WorkIsOutstandingFromItsScheduleUntilItHasRun()
    {
        Assert.That(_scheduler.Outstanding, Is.Zero);
        using var go = new ManualResetEventSlim();
        Work[] works = [new(() => go.Wait(s_bound)), new(() => go.Wait(s_bound))];

        Array.ForEach(works, _scheduler.Schedule);
        Assert.That(_scheduler.Outstanding, Is.EqualTo(2));

        go.Set();
        AwaitIdle();
    }

    [Test]
    public void WorkMayScheduleMoreWorkAndItselfAgain()
    {
        int runs = 0;
        Work work = null!;
        work = new Work(() =>
        {
            if (++runs < 1000)
                _scheduler.Schedule(work);
        });

        _scheduler.Schedule(work);

        AwaitIdle();
        Assert.That(runs, Is.EqualTo(1000));
    }

    [Test]
    public void AListIsScheduledInOrder()
    {
        // Each waits for the one before it: in any other order they would fill every thread of the pool with waiting.
        ThreadPool.GetMinThreads(out int threads, out _);
        var works = new List<Work>();
        bool inOrder = true;
        for (int i = 0; i < 3 * threads + 50; i++)
        {
            Work? before = works.LastOrDefault();
            works.Add(new Work(() => inOrder &= before is null || before.HasRun.Wait(s_bound)));
        }
        WakeList list = default;
        foreach (Work work in works)
            list.Add(work);

        list.ScheduleOn(_scheduler);

        works[^1].Await();
        Assert.That(inOrder, Is.True);
    }

    [Test]
    public void AListIsEmptyOnceItIsScheduled()
    {
        WakeList list = default;
        Assert.That(list.IsEmpty, Is.True);
        var first = new Work(() => { });
        list.Add(first);
        Assert.That(list.IsEmpty, Is.False);

        list.ScheduleOn(_scheduler);
        Assert.That(list.IsEmpty, Is.True);
        list.ScheduleOn(_scheduler);

        AwaitIdle();
        Assert.That((first.Runs, first.NextToWake), Is.EqualTo((1, (WorkItem?)null)));
    }

    [Test]
    public void AnItemMayStandInAnotherListAfterItHasBeenScheduled()
    {
        Work first = new(() => { }), second = new(() => { });
        for (int round = 0; round < 100; round++)
        {
            WakeList list = default;
            list.Add(second);
            list.Add(first);
            list.ScheduleOn(_scheduler);
            AwaitIdle();
        }

        Assert.That((first.Runs, second.Runs), Is.EqualTo((100, 100)));
    }

    [Test]
    public void AWholeListIsOutstandingAtOnce()
    {
        using var go = new ManualResetEventSlim();
        WakeList list = default;
        for (int i = 0; i < 10; i++)
            list.Add(new Work(() => go.Wait(s_bound)));

        list.ScheduleOn(_scheduler);

        Assert.That(_scheduler.Outstanding, Is.EqualTo(10));
        go.Set();
        AwaitIdle();
    }

    // The count falls after the work has run, on the pool's thread: there is no signal for it but the count itself.
    private void AwaitIdle()
    {
        long deadline = TimeProvider.System.GetTimestamp() + (long)(s_bound.TotalSeconds * TimeProvider.System.TimestampFrequency);
        while (_scheduler.Outstanding != 0)
        {
            Thread.Yield();
            Assert.That(TimeProvider.System.GetTimestamp(), Is.LessThan(deadline), $"{_scheduler.Outstanding} works are still outstanding.");
        }
    }

    private sealed class Work(Action run) : WorkItem
    {
        public ManualResetEventSlim HasRun { get; } = new();

        public int Runs { get; private set; }

        public void Await() => Assert.That(HasRun.Wait(s_bound), Is.True);

        protected override void Run()
        {
            run();
            Runs++;
            HasRun.Set();
        }
    }
}
