using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class DelayedMessagesTests
{
    [Test]
    public void AMessageIsDueAtItsTimeAndNotBefore()
    {
        DelayedMessages delayed = Delayed((1, 100));

        Assert.That(delayed.TryTakeDue(99, out _), Is.False);
        Assert.That(delayed.TryTakeDue(100, out QueuedMessage due), Is.True);
        Assert.That((due.Sequence, delayed.Count), Is.EqualTo((1L, 0)));
    }

    [Test]
    public void MessagesBecomeDueInTheOrderOfTheirTimes() => Assert.That(TakeDue(Delayed((1, 300), (2, 100), (3, 200)), 300), Is.EqualTo([2, 3, 1]));

    [Test]
    public void MessagesDueAtTheSameTimeKeepTheirOrder() => Assert.That(TakeDue(Delayed((3, 100), (1, 100), (2, 100)), 100), Is.EqualTo([1, 2, 3]));

    [Test]
    public void WhatIsNotYetDueStays()
    {
        DelayedMessages delayed = Delayed((1, 300), (2, 100), (3, 200));

        Assert.That(TakeDue(delayed, 250), Is.EqualTo([2, 3]));
        Assert.That(delayed.EarliestDueTicks, Is.EqualTo(300));
    }

    [Test]
    public void TakingTheFirstDoesNotAskForTheTime()
    {
        DelayedMessages delayed = Delayed((1, long.MaxValue), (2, 5));

        Assert.That(delayed.TryTakeFirst(out QueuedMessage first) ? first.Sequence : 0, Is.EqualTo(2));
        Assert.That(delayed.TryTakeFirst(out first) ? first.Sequence : 0, Is.EqualTo(1));
        Assert.That(delayed.TryTakeFirst(out _), Is.False);
    }

    [Test]
    public void WithoutMessagesThereIsNoTimeToWaitFor()
    {
        DelayedMessages delayed = Delayed();

        Assert.That((delayed.EarliestDueTicks, delayed.OldestEnqueuedAt(), delayed.TryTakeDue(long.MaxValue, out _)), Is.EqualTo(((long?)null, (long?)null, false)));
    }

    [Test]
    public void TheOldestIsTheOneLongestInTheQueueWheneverItIsDue()
    {
        var delayed = new DelayedMessages();
        delayed.Add(Some.Message(8, enqueuedAt: 80), 1);
        delayed.Add(Some.Message(7, enqueuedAt: 70), 999);
        delayed.Add(Some.Message(9, enqueuedAt: 90), 500);

        Assert.That(delayed.OldestEnqueuedAt(), Is.EqualTo(70));
    }

    [Test]
    public void TheyAreTheSameAsASortedList() => Gen.Select(Gen.Bool, Gen.Int[0, 40]).Array[0, 100].Sample(steps =>
    {
        var delayed = new DelayedMessages();
        var model = new SortedList<(long Due, long Sequence), QueuedMessage>();
        long sequence = 0;
        foreach ((bool adds, int number) in steps)
        {
            if (adds)
            {
                QueuedMessage message = Some.Message(++sequence, size: number, enqueuedAt: sequence);
                delayed.Add(message, number);
                model.Add((number, sequence), message);
            }
            else
            {
                bool isDue = model.Count > 0 && model.Keys[0].Due <= number;
                Assert.That(delayed.TryTakeDue(number, out QueuedMessage taken), Is.EqualTo(isDue));
                if (isDue)
                {
                    Assert.That(taken.Sequence, Is.EqualTo(model.Keys[0].Sequence));
                    model.RemoveAt(0);
                }
            }
            Assert.That(delayed.Count, Is.EqualTo(model.Count));
            Assert.That(delayed.Bytes, Is.EqualTo(model.Values.Sum(message => message.Size)));
            Assert.That(delayed.EarliestDueTicks, Is.EqualTo(model.Count == 0 ? null : model.Keys[0].Due));
            Assert.That(delayed.OldestEnqueuedAt(), Is.EqualTo(model.Count == 0 ? null : model.Keys.Min(key => key.Sequence)));
        }
    }, iter: 500);

    private static DelayedMessages Delayed(params (long Sequence, long Due)[] messages)
    {
        var delayed = new DelayedMessages();
        foreach ((long sequence, long due) in messages)
            delayed.Add(Some.Message(sequence), due);
        return delayed;
    }

    private static List<long> TakeDue(DelayedMessages delayed, long now)
    {
        var taken = new List<long>();
        while (delayed.TryTakeDue(now, out QueuedMessage message))
            taken.Add(message.Sequence);
        return taken;
    }
}
