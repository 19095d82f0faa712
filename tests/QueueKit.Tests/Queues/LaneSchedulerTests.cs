using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class LaneSchedulerTests
{
    [Test]
    public void WithoutPrioritiesTheOldestIsNext() => Assert.That(TakeAll(Scheduler((1, 0), (2, 0), (3, 0))), Is.EqualTo([1, 2, 3]));

    [Test]
    public void AHigherPriorityIsAlwaysNext() => Assert.That(TakeAll(Scheduler((1, 0), (2, 9), (3, 4), (4, 9))), Is.EqualTo([2, 4, 3, 1]));

    [Test]
    public void TheVictimIsTheOldestOfTheLowestPriority()
    {
        LaneScheduler scheduler = Scheduler((1, 5), (2, 3), (3, 3), (4, 9));
        var victims = new List<long>();

        while (scheduler.TryTakeVictim(out QueuedMessage victim))
            victims.Add(victim.Sequence);

        Assert.That(victims, Is.EqualTo([2, 3, 1, 4]));
    }

    [Test]
    public void AMessageThatCameBackKeepsItsPlaceInItsBand()
    {
        LaneScheduler scheduler = Scheduler((2, 0), (3, 7), (5, 7));

        scheduler.Insert(Some.Message(4, priority: 7));
        scheduler.Insert(Some.Message(1));

        Assert.That(TakeAll(scheduler), Is.EqualTo([3, 4, 5, 1, 2]));
    }

    [Test]
    public void NothingComesOutOfAnEmptyOne()
    {
        LaneScheduler scheduler = Scheduler((1, 9));
        scheduler.TryTake(out _);

        Assert.Multiple(() =>
        {
            Assert.That(scheduler.TryTake(out _), Is.False);
            Assert.That(scheduler.TryTakeVictim(out _), Is.False);
            Assert.That(scheduler.IsEmpty, Is.True);
            Assert.That(scheduler.OldestEnqueuedAt(), Is.Null);
        });
    }

    [Test]
    public void TheOldestIsFoundInWhateverBandItStands()
    {
        var scheduler = new LaneScheduler();
        scheduler.Append(Some.Message(1, priority: 2, enqueuedAt: 300));
        scheduler.Append(Some.Message(2, priority: 0, enqueuedAt: 100));
        scheduler.Append(Some.Message(3, priority: 9, enqueuedAt: 200));

        Assert.That(scheduler.OldestEnqueuedAt(), Is.EqualTo(100));
    }

    [Test]
    public void CountAndBytesAreTheSumsOverTheLanes()
    {
        var scheduler = new LaneScheduler();
        scheduler.Append(Some.Message(1, priority: 2, size: 10));
        scheduler.Append(Some.Message(2, priority: 0, size: 100));
        scheduler.Insert(Some.Message(0, priority: 0, size: 1000));
        Assert.That((scheduler.Count, scheduler.Bytes), Is.EqualTo((3L, 1110L)));

        scheduler.TryTake(out _);
        Assert.That((scheduler.Count, scheduler.Bytes), Is.EqualTo((2L, 1100L)));

        scheduler.TryTakeVictim(out _);
        Assert.That((scheduler.Count, scheduler.Bytes), Is.EqualTo((1L, 100L)));
    }

    // What happens to the ready messages of a queue.
    private enum Step
    {
        Arrive,
        ArriveDelayed,
        BecomeDue,
        Take,
        Return,
        Evict,
    }

    private static readonly Gen<(Step What, int Number)[]> Steps = Gen.Select(Gen.Enum<Step>(), Gen.Int[0, 99]).Array[0, 120];

    [TestCase(1)]
    [TestCase(3)]
    [TestCase(10)]
    public void TheLanesAreTheSameAsASortedList(int bands) => Steps.Sample(steps =>
    {
        var scheduler = new LaneScheduler();
        var ready = new SortedList<(int, long), QueuedMessage>();
        var delayed = new List<QueuedMessage>();
        var taken = new List<QueuedMessage>();
        long sequence = 0;
        void Ready(in QueuedMessage message) => ready.Add((-message.Band, message.Sequence), message);
        foreach ((Step what, int number) in steps)
        {
            switch (what)
            {
                case Step.Arrive:
                    QueuedMessage fresh = Some.Message(++sequence, number % bands, size: number, enqueuedAt: sequence * 10);
                    scheduler.Append(fresh);
                    Ready(fresh);
                    break;
                case Step.ArriveDelayed:
                    delayed.Add(Some.Message(++sequence, number % bands, size: number, enqueuedAt: sequence * 10));
                    break;
                case Step.BecomeDue when delayed.Count > 0:
                case Step.Return when taken.Count > 0:
                    List<QueuedMessage> from = what == Step.Return ? taken : delayed;
                    QueuedMessage returned = from[number % from.Count];
                    from.RemoveAt(number % from.Count);
                    scheduler.Insert(returned);
                    Ready(returned);
                    break;
                case Step.Take when scheduler.TryTake(out QueuedMessage next):
                    Assert.That(next.Sequence, Is.EqualTo(ready.Values[0].Sequence));
                    ready.RemoveAt(0);
                    taken.Add(next);
                    break;
                case Step.Evict when scheduler.TryTakeVictim(out QueuedMessage victim):
                    (int, long) expected = ready.Keys.Where(key => key.Item1 == ready.Keys[^1].Item1).Min();
                    Assert.That(victim.Sequence, Is.EqualTo(expected.Item2));
                    ready.Remove(expected);
                    break;
            }
            Assert.That(scheduler.Count, Is.EqualTo(ready.Count));
            Assert.That(scheduler.Bytes, Is.EqualTo(ready.Values.Sum(message => message.Size)));
            Assert.That(scheduler.IsEmpty, Is.EqualTo(ready.Count == 0));
            Assert.That(scheduler.OldestEnqueuedAt(), Is.EqualTo(ready.Count == 0 ? null : ready.Values.Min(message => message.EnqueuedAt)));
        }
    }, iter: 500);

    private static LaneScheduler Scheduler(params (long Sequence, int Priority)[] messages)
    {
        var scheduler = new LaneScheduler();
        foreach ((long sequence, int priority) in messages)
            scheduler.Append(Some.Message(sequence, priority));
        return scheduler;
    }

    private static List<long> TakeAll(LaneScheduler scheduler)
    {
        var taken = new List<long>();
        while (scheduler.TryTake(out QueuedMessage message))
            taken.Add(message.Sequence);
        return taken;
    }
}
