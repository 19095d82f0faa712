namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Redelivery(Durability durability) : Journey(durability)
{
    [Test]
    public async Task AMessageThatComesBackTakesItsOldPlace()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3", "4", "5");
        IReadOnlyList<Delivery> out4 = await queue.ReceiveBatchAsync(4, TimeSpan.Zero);

        out4[3].Release();
        out4[1].Nack(TimeSpan.Zero);
        out4[2].Ack();
        out4[0].Release();

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "4", "5"]));
    }

    [Test]
    public async Task AMessageWhoseLeaseTimedOutTakesItsOldPlace()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        await Receive(queue);
        await Receive(queue);

        await Advance(queue, 30 * Second);

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "3"]));
    }

    [Test]
    public async Task AMessageThatWaitsForARetryIsOvertakenAndThenTakesItsOldPlace()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        (await Receive(queue)).Nack(10 * Second);
        (await Receive(queue)).Ack();

        await Advance(queue, 10 * Second);

        Assert.That(await Drain(queue), Is.EqualTo(["1", "3"]));
    }

    [Test]
    public async Task AMessageThatComesBackGoesToWhoeverWaits()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery first = await Receive(queue);
        Task<Delivery> waiting = queue.ReceiveAsync().AsTask();

        first.Release();

        Assert.That((await Soon(waiting)).Sequence, Is.EqualTo(first.Sequence));
    }

    [Test]
    public async Task OnlyFailedAttemptsAreCounted()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, LeaseDuration = Second });
        await Send(queue, "a");

        Assert.That((await Next()).Release(), Is.EqualTo(SettleResult.Settled));
        Assert.That(await Attempt(), Is.EqualTo(1), "a release is free");
        (await Next()).Nack();
        Assert.That(await Attempt(), Is.EqualTo(2), "a nack counts");
        await Next();
        await Advance(queue, Second);
        Assert.That(await Attempt(), Is.EqualTo(3), "a lease that timed out counts");
        MessageReceiver receiver = queue.OpenReceiver();
        Task<bool> set = receiver.WaitToReceiveAsync().AsTask();
        await Advance(queue, Second);
        await Soon(set);
        await receiver.DisposeAsync();
        Assert.That(await Attempt(), Is.EqualTo(3), "what was set aside was never started");

        async Task<Delivery> Next()
        {
            await Advance(queue, Second / 2);
            return await Receive(queue);
        }

        async Task<int> Attempt()
        {
            Delivery delivery = await Next();
            Assert.That(delivery.IsRedelivered);
            delivery.Release();
            return delivery.Attempt;
        }
    }

    [Test]
    public async Task WithoutARetryDelayAFailedMessageIsBackAtOnce()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        await Send(queue, "a");

        for (int attempt = 1; attempt <= 5; attempt++)
        {
            Delivery delivery = (await queue.ReceiveAsync(TimeSpan.Zero))!;
            Assert.That(delivery.Attempt, Is.EqualTo(attempt));
            delivery.Nack();
        }

        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task AConstantRetryDelayIsTheSameEachTime() =>
        Assert.That(await PausesOf(RetryDelay.Constant(7 * Second), 4), Is.All.EqualTo(7 * Second));

    [Test]
    public async Task AnExponentialRetryDelayDoublesUpToItsLongest() =>
        Assert.That(await PausesOf(RetryDelay.Exponential(Second, max: 10 * Second, jitter: 0), 6),
            Is.EqualTo(new[] { 1, 2, 4, 8, 10, 10 }.Select(seconds => seconds * Second)));

    [Test]
    public async Task AListOfRetryDelaysIsWorkedOffAndItsLastOneRepeats() =>
        Assert.That(await PausesOf(RetryDelay.List(Second, TimeSpan.Zero, Minute), 5),
            Is.EqualTo([Second, TimeSpan.Zero, Minute, Minute, Minute]));

    [Test]
    public async Task JitterShortensEachDelayByAtMostItsShareAndDiffersFromMessageToMessage()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.Exponential(100 * Second, jitter: 0.2) });
        await Send(queue, [.. Enumerable.Range(0, 50).Select(i => $"{i}")]);
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(50, TimeSpan.Zero))
            delivery.Nack();

        await Advance(queue, 80 * Second - Tick);
        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(50));
        await Advance(queue, 10 * Second);
        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.InRange(5, 45));
        await Advance(queue, 10 * Second + Tick);
        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(50));
    }

    [Test]
    public async Task TheDelayOfANackGoesBeforeTheQueuesOwn()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.Constant(Minute) });
        await Send(queue, "a");

        (await Receive(queue)).Nack(Second);
        await Advance(queue, Second);

        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2));
    }

    [Test]
    public async Task ADelayBeyondTheCalendarIsTheEndOfTheCalendar()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        (await Receive(queue)).Nack(TimeSpan.MaxValue);
        await Advance(queue, TimeSpan.FromHours(5));

        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(1));
    }

    [Test]
    public async Task MessagesThatWaitForARetryCountInTheLimits()
    {
        MessageQueue queue = await DeclareFull(2);
        (await Receive(queue)).Nack(Minute);

        Assert.That((await Soon(queue.TrySendAsync(Text("3")))).Outcome, Is.EqualTo(SendOutcome.Refused));
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(2));
    }

    [Test]
    public async Task AMessageWithAnyNumberOfAttemptsIsNeverGivenUp()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = null, RetryDelay = RetryDelay.None });
        await Send(queue, "a");

        for (int attempt = 1; attempt <= 100; attempt++)
        {
            Delivery delivery = await Receive(queue);
            Assert.That(delivery.Attempt, Is.EqualTo(attempt));
            delivery.Nack();
        }

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ReleasesBetweenFailuresDoNotAddUpToAPause()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = null });
        await Send(queue, "a");

        for (int i = 0; i < 5; i++)
        {
            (await queue.ReceiveAsync(TimeSpan.Zero))!.Release();
            (await queue.ReceiveAsync(TimeSpan.Zero))!.Nack();
        }

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task EachOfManyQueuesFindsItsOwnFailedAttemptsAgain()
    {
        OnlyWithAStore();
        var options = new QueueOptions { RetryDelay = RetryDelay.None };
        for (int i = 0; i < 6; i++)
        {
            MessageQueue queue = await Declare($"queue {i}", options);
            // Some have failed messages, one has none, and one has nothing at all.
            await Send(queue, i == 4 ? [] : ["a", "b", "c"]);
            for (int failures = FailuresOf(i); failures > 0; failures--)
            {
                (await Receive(queue)).Nack();
                await Idle(queue);
            }
        }
        // What is left of one that is gone is not taken for its neighbour's.
        await Broker.DeleteQueueAsync("queue 1");

        await Reopen("queue 0");

        foreach (int i in (int[])[0, 2, 3, 5])
        {
            Delivery first = await Receive(Broker.GetQueue($"queue {i}"));
            Assert.That((Text(first), first.Attempt), Is.EqualTo(("a", FailuresOf(i) + 1)), $"queue {i}");
        }
        Assert.That(Broker.TryGetQueue("queue 1", out _), Is.False);
        Assert.That(Broker.GetQueue("queue 4").GetSnapshot().Messages, Is.Zero);

        static int FailuresOf(int queue) => queue is 3 or 4 ? 0 : 1 + queue % 3;
    }

    [Test]
    public async Task FailedAttemptsSurviveAReopeningOfTheStore()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.Constant(Minute) });
        await Send(queue, "a", "b");
        (await Receive(queue)).Nack(error: new InvalidOperationException("out of milk"));
        await Idle(queue);
        await Advance(queue, 20 * Second);

        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["b"]), "a still waits for its retry");
        await Advance(queue, 40 * Second);

        Delivery again = await Receive(queue);
        Assert.That((Text(again), again.Attempt, again.IsRedelivered), Is.EqualTo(("a", 2, true)));
        again.Reject("enough");
        Assert.That((await DeadLettersOf(queue))[0].DeadLetter!.LastError, Does.Contain("out of milk"));
    }

    private async Task<List<TimeSpan>> PausesOf(RetryDelay delay, int attempts)
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = delay, MaxAttempts = null });
        await Send(queue, "a");
        var pauses = new List<TimeSpan>();
        for (int i = 0; i < attempts; i++)
        {
            (await Receive(queue)).Nack();
            TimeSpan start = Clock.Elapsed;
            Task<Delivery> next = queue.ReceiveAsync().AsTask();
            await Idle(queue);
            while (!next.IsCompleted)
            {
                await Advance(queue, Second - Tick);
                Assert.That(next.IsCompleted, Is.False);
                await Advance(queue, Tick);
            }
            pauses.Add(Clock.Elapsed - start);
            (await next).Release();
            await Advance(queue, Second);
        }
        return pauses;
    }
}
