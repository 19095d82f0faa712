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
        Assert.That((due.Sequence, delayed.Count), Is.EqualTo((1L, 0L)));
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

        Assert.That(delayed.TryTakeFirst(out QueuedMessage first, out _) ? first.Sequence : 0, Is.EqualTo(2));
        Assert.That(delayed.TryTakeFirst(out first, out _) ? first.Sequence : 0, Is.EqualTo(1));
        Assert.That(delayed.TryTakeFirst(out _, out _), Is.False);
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
        var delayed = new DelayedMessages(null);
        delayed.Add(Some.Message(8, enqueuedAt: 80), 1);
        delayed.Add(Some.Message(7, enqueuedAt: 70), 999);
        delayed.Add(Some.Message(9, enqueuedAt: 90), 500);

        Assert.That(delayed.OldestEnqueuedAt(), Is.EqualTo(70));
    }

    [Test]
    public void TheyAreTheSameAsASortedList() => Gen.Select(Gen.Bool, Gen.Int[0, 40]).Array[0, 100].Sample(steps =>
    {
        var delayed = new DelayedMessages(null);
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

    // ---- With a store ------------------------------------------------------------------------------------------------------

    [Test]
    public void OfManyScheduledMessagesMemoryHoldsTheNextFew()
    {
        var queue = new StoredDelays(loaded: 16);
        for (int i = 0; i < 1000; i++)
            queue.Send(due: 10_000 - i);

        Assert.That(queue.Delayed.Loaded, Is.LessThanOrEqualTo(16));
        Assert.That(queue.Delayed.Count, Is.EqualTo(1000));
        Assert.That(queue.Delayed.Paged.Messages, Is.EqualTo(1000 - queue.Delayed.Loaded));
        Assert.That(queue.Delayed.EarliestDueTicks, Is.EqualTo(9001));
        Assert.That(queue.TakeAllUntil(20_000).Select(taken => taken.Due), Is.EqualTo(Enumerable.Range(9001, 1000)));
    }

    [Test]
    public void WhatIsFoundAtOpeningIsReadWhenItIsDueAndNotBefore()
    {
        var queue = new StoredDelays(loaded: 16);
        for (int i = 0; i < 100; i++)
            queue.Store(due: 1000 + i);
        queue.Recover();

        Assert.That((queue.Delayed.Count, queue.Delayed.Loaded, queue.Delayed.HasPaged), Is.EqualTo((100L, 0, true)));
        Assert.That(queue.TakeAllUntil(1049).Count, Is.EqualTo(50));
        Assert.That(queue.Delayed.Count, Is.EqualTo(50));
        Assert.That(queue.TakeAllUntil(5000).Count, Is.EqualTo(50));
        Assert.That((queue.Delayed.Count, queue.Delayed.HasPaged), Is.EqualTo((0L, false)));
    }

    [Test]
    public void NoReadingIsAskedForWhileThereIsNoRoomForWhatIsDue()
    {
        var queue = new StoredDelays(loaded: 16);
        for (int i = 0; i < 100; i++)
            queue.Store(due: 1000 + i);
        queue.Recover();

        Assert.That(queue.Delayed.NextPage(1000, hasRoom: false), Is.Null);
        Assert.That(queue.Delayed.NextPage(1000, hasRoom: true), Is.Not.Null);
    }

    [Test]
    public void TheClockMayBeSetBackAndNothingComesTwice()
    {
        var queue = new StoredDelays(loaded: 16);
        for (int i = 0; i < 10; i++)
            queue.Send(due: 1000 + i);
        Assert.That(queue.TakeAllUntil(1009).Count, Is.EqualTo(10));

        for (int i = 0; i < 100; i++)
            queue.Send(due: 500 + i);

        Assert.That(queue.TakeAllUntil(2000).Count, Is.EqualTo(100));
    }

    // Whatever is sent, read and taken in between: each message comes once, not before its time, and of each band in the order in which they are due.
    [Test]
    public void EachComesOnceAndWhenItIsDueWhateverIsSentWhileAPageIsRead() => Gen.Select(Gen.Int[0, 9], Gen.Int[1, 60], Gen.Int[0, 1]).Array[0, 300].Sample(steps =>
    {
        var queue = new StoredDelays(loaded: 8);
        long now = 0;
        foreach ((int kind, int number, int band) in steps)
        {
            if (kind < 5)
                queue.Send(now + number - 5, (byte)band, now);
            else if (kind < 6)
                queue.Write(now + number, (byte)band);
            else if (kind < 7)
                queue.PlaceWritten(now);
            else if (kind < 8)
                queue.BeginReading(now);
            else if (kind < 9)
                queue.EndReading(now);
            else
                queue.Take(now += number);
            Assert.That(queue.Delayed.Loaded, Is.LessThanOrEqualTo(8), "loaded");
            Assert.That(queue.Delayed.Count, Is.EqualTo(queue.Waiting), "count");
        }
        queue.PlaceWritten(now);
        queue.EndReading(now);
        queue.TakeAllUntil(now + 1000);
        Assert.That(queue.Delayed.Count, Is.Zero);
        Assert.That(queue.Taken.Select(taken => taken.Sequence), Is.Unique);
        Assert.That(queue.Taken.Count, Is.EqualTo(queue.Sent));
        Assert.That(queue.Taken, Has.All.Matches<(long Due, long Sequence, long At)>(taken => taken.Due <= taken.At));
    }, iter: 2000);

    private static DelayedMessages Delayed(params (long Sequence, long Due)[] messages)
    {
        var delayed = new DelayedMessages(null);
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

    // A store's scheduled messages beside the books of them, as a queue would drive both.
    private sealed class StoredDelays
    {
        private readonly SortedDictionary<(byte Band, DueKey Key), QueuedMessage> _store = [];
        private readonly Queue<QueuedMessage> _written = new();
        private List<(byte Band, DueKey Key)>? _page;
        private DelayedPage? _asked;
        private bool _hasMore;
        private long _sequence;

        public StoredDelays(int loaded) => Delayed.Limit(loaded * 4, long.MaxValue);

        public DelayedMessages Delayed { get; } = new(new MemoryBudget(null));

        public List<(long Due, long Sequence, long At)> Taken { get; } = [];

        public int Sent => (int)_sequence;

        public int Waiting => (int)_sequence - _written.Count - Taken.Count;

        // Committed, and not yet in the books.
        public void Write(long due, byte band = 0)
        {
            QueuedMessage message = Store(due, band);
            _written.Enqueue(message);
        }

        public QueuedMessage Store(long due, byte band = 0)
        {
            due = Math.Max(1, due);
            var message = new QueuedMessage(new Message(new byte[1]) { Priority = band }, ++_sequence, 0, new MessageHistory { ScheduledTicks = due });
            _store.Add((band, new DueKey(due, _sequence)), message);
            return message;
        }

        public void Send(long due, byte band = 0, long now = 0)
        {
            Write(due, band);
            PlaceWritten(now);
        }

        public void PlaceWritten(long now)
        {
            while (_written.TryDequeue(out QueuedMessage message))
            {
                if (!Delayed.AddStored(message, now))
                    Ready(message, now);
            }
        }

        public void Recover()
        {
            foreach (var band in _store.GroupBy(stored => stored.Key.Band))
                Delayed.LeaveInStore(band.Key, new Tally { Messages = band.Count(), Bytes = band.Sum(stored => stored.Value.Size) }, _sequence);
        }

        public bool BeginReading(long now)
        {
            if (_asked is not null || Delayed.NextPage(now, hasRoom: true) is not { } page)
                return false;
            _asked = page;
            Delayed.BeginReading(page);
            _page = [.. _store.Keys.Where(stored => stored.Band == page.Band && stored.Key.CompareTo(page.From) >= 0).Take(page.MaxMessages)];
            _hasMore = _page.Count == page.MaxMessages;
            return true;
        }

        public void EndReading(long now)
        {
            if (_asked is not { } asked)
                return;
            _asked = null;
            if (!Delayed.EndReading())
                return;
            foreach ((byte band, DueKey key) in _page!.Where(read => read.Key.Sequence <= asked.LastPlaced))
                Load(_store[(band, key)], now);
            foreach (QueuedMessage came in Delayed.MoveCursor(asked.Band, _hasMore ? _page![^1].Key.Next() : null))
                Load(came, now);
            Delayed.GiveBackEnd();
        }

        public void Take(long now)
        {
            while (Delayed.TryTakeDue(now, out QueuedMessage message))
                Ready(message, now);
        }

        public List<(long Due, long Sequence, long At)> TakeAllUntil(long now)
        {
            int before = Taken.Count;
            do
            {
                Take(now);
                EndReading(now);
            }
            while (BeginReading(now));
            Take(now);
            return Taken[before..];
        }

        private void Load(in QueuedMessage message, long now)
        {
            long due = message.History!.ScheduledTicks;
            Delayed.Unpage(message.Band, message.Size);
            if (due > now)
            {
                Delayed.AddRead(new WaitingMessage(message, due));
                return;
            }
            Delayed.NoteTaken(new DueKey(due, message.Sequence));
            Ready(message, now);
        }

        private void Ready(in QueuedMessage message, long now) => Taken.Add((message.History!.ScheduledTicks, message.Sequence, now));
    }
}
