namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Leases(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ALeaseEndsExactlyAtItsDeadline()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        await Advance(queue, 30 * Second - Tick);
        Assert.That(queue.GetSnapshot().InFlight.Messages, Is.EqualTo(1));
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(1));
        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task ALeaseOfFractionsOfAMillisecondEndsExactlyToo()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = TimeSpan.FromTicks(12_345_678) });
        Advance(TimeSpan.FromTicks(777));
        await Send(queue, "a");
        await Receive(queue);

        await Advance(queue, TimeSpan.FromTicks(12_345_677));
        Assert.That(queue.GetSnapshot().InFlight.Messages, Is.EqualTo(1));
        await Advance(queue, Tick);

        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(1));
    }

    [Test]
    public async Task ALateSettleAfterRedeliveryChangesNothingAndSaysSo()
    {
        MessageQueue queue = await Declare();
        foreach (Settlement late in new[] { Settlement.Ack, Settlement.Nack(), Settlement.Release, Settlement.Reject("late") })
        {
            await Send(queue, "a");
            Delivery lost = await Receive(queue);
            await Advance(queue, 30 * Second);
            Delivery second = await Receive(queue);

            Assert.That(lost.Settle(late), Is.EqualTo(SettleResult.LeaseLost));
            Assert.That(await Soon(lost.SettleAsync(late)), Is.EqualTo(SettleResult.LeaseLost));
            Assert.That(lost.ExtendLease(), Is.False);

            Assert.That(queue.GetSnapshot().InFlight.Messages, Is.EqualTo(1), "the second owner still has it");
            Assert.That((second.Attempt, second.IsRedelivered, second.Sequence), Is.EqualTo((2, true, lost.Sequence)));
            Assert.That(second.Ack(), Is.EqualTo(SettleResult.Settled));
            Assert.That(lost.Settle(late), Is.EqualTo(SettleResult.LeaseLost), "even when the message is gone");
        }
        await Idle(queue);
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.LeasesLost)).EqualTo(4).And.Property(nameof(QueueCounts.Nacked)).EqualTo(0));
    }

    [Test]
    public async Task ALeaseThatTimesOutCountsAsAnAttempt()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 2, LeaseDuration = Second });
        await Send(queue, "a");

        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(1));
        await Advance(queue, Second);
        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2));
        await Advance(queue, Second);

        Delivery[] dead = await DeadLettersOf(queue);
        Assert.That(dead, Has.Length.EqualTo(1));
        Assert.That(dead[0].DeadLetter, Has.Property(nameof(DeadLetterInfo.Reason)).EqualTo(DeadLetterReasons.AttemptsExhausted).And.Property(nameof(DeadLetterInfo.Attempts)).EqualTo(2));
    }

    [Test]
    public async Task AReceiverMayHaveALeaseOfItsOwn()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "short", "long", "plain");
        await using MessageReceiver hasty = queue.OpenReceiver(new ReceiveOptions { LeaseDuration = Second });
        await using MessageReceiver patient = queue.OpenReceiver(new ReceiveOptions { LeaseDuration = TimeSpan.FromHours(1) });
        Assert.That(hasty.TryReceive(out Delivery? shortOne));
        Assert.That(patient.TryReceive(out Delivery? longOne));
        Delivery plain = await Receive(queue);

        await Advance(queue, Second);
        Assert.That((shortOne!.LeaseLost.IsCancellationRequested, plain.LeaseLost.IsCancellationRequested, longOne!.LeaseLost.IsCancellationRequested), Is.EqualTo((true, false, false)));
        await Advance(queue, 29 * Second);
        Assert.That((plain.LeaseLost.IsCancellationRequested, longOne.LeaseLost.IsCancellationRequested), Is.EqualTo((true, false)));
        await Advance(queue, TimeSpan.FromHours(1) - 30 * Second - Tick);
        Assert.That(longOne.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);
        Assert.That(longOne.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task AnExtensionStartsTheLeaseAnewFromNow()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        await Advance(queue, 20 * Second);
        Assert.That(delivery.ExtendLease());
        await Advance(queue, 30 * Second - Tick);
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
        Assert.That(delivery.ExtendLease(), Is.False);
    }

    [Test]
    public async Task AnExtensionMayAlsoMakeTheLeaseShorter()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "a", "b");
        Delivery delivery = await Receive(queue);
        Delivery other = await Receive(queue);

        Assert.That(delivery.ExtendLease(Second));
        await Advance(queue, Second);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
        Assert.That(other.LeaseLost.IsCancellationRequested, Is.False);
        Assert.That(Text(await Receive(queue)), Is.EqualTo("a"));
    }

    [Test]
    public async Task NoExtensionReachesBeyondTheLongestLease()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second, MaxLeaseDuration = Minute });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        await Advance(queue, 20 * Second);
        Assert.That(delivery.ExtendLease(TimeSpan.FromHours(1)));
        await Advance(queue, 30 * Second);
        Assert.That(delivery.ExtendLease());
        await Advance(queue, 10 * Second - Tick);
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task AnExtensionWithoutEndIsCutAtTheLongestLease()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second, MaxLeaseDuration = Minute });
        Advance(Second);
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Assert.That(delivery.ExtendLease(TimeSpan.MaxValue));
        await Advance(queue, Minute - Tick);
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task TheLongestLeaseMayBeWithoutEnd()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second, MaxLeaseDuration = TimeSpan.MaxValue });
        Advance(Second);
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Assert.That(delivery.ExtendLease(TimeSpan.FromDays(1000)));
        await Advance(queue, TimeSpan.FromDays(1000) - Tick);
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task TheLeaseOfAHandlerRenewsItselfWhileItRuns()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second, MaxLeaseDuration = TimeSpan.FromHours(1) });
        TaskCompletionSource<CancellationToken> started = Signal<CancellationToken>();
        TaskCompletionSource finish = Signal();
        await using MessageConsumer consumer = queue.Consume(async (_, ct) =>
        {
            started.TrySetResult(ct);
            await finish.Task;
        });
        await Send(queue, "a");
        CancellationToken lost = await Soon(started.Task);

        for (int i = 0; i < 20; i++)
            await Advance(queue, 7 * Second);
        Assert.That(lost.IsCancellationRequested, Is.False);
        finish.SetResult();
        await Until(() => queue.GetSnapshot().Counts.Acked == 1);

        Assert.That(queue.GetSnapshot().Counts.Delivered, Is.EqualTo(1));
    }

    [Test]
    public async Task AHandlersLeaseRenewsItselfUpToTheLongestLeaseAndThenItsTokenFires()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second, MaxLeaseDuration = 25 * Second, RetryDelay = RetryDelay.None });
        var starts = new List<TaskCompletionSource<CancellationToken>> { Signal<CancellationToken>(), Signal<CancellationToken>() };
        var results = new System.Collections.Concurrent.ConcurrentQueue<SettleResult>();
        TaskCompletionSource finish = Signal();
        int started = 0;
        await using MessageConsumer consumer = queue.Consume(async (delivery, ct) =>
        {
            int turn = Interlocked.Increment(ref started) - 1;
            starts[turn].TrySetResult(ct);
            if (turn > 0)
                return;
            await finish.Task;
            results.Enqueue(delivery.Ack());
        }, new ConsumeOptions { Concurrency = 2 });
        await Send(queue, "a");
        CancellationToken lost = await Soon(starts[0].Task);

        await Advance(queue, 25 * Second - Tick);
        Assert.That(lost.IsCancellationRequested, Is.False);
        Assert.That(starts[1].Task.IsCompleted, Is.False);
        await Advance(queue, Tick);

        Assert.That(lost.IsCancellationRequested);
        await Soon(starts[1].Task);
        finish.SetResult();
        await Until(() => !results.IsEmpty);
        await Idle(queue);
        Assert.That(results, Is.EqualTo([SettleResult.LeaseLost]));
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Acked)).EqualTo(1).And.Property(nameof(QueueCounts.LeasesLost)).EqualTo(1));
    }

    [Test]
    public async Task AHandlerThatLostItsLeaseDoesNotPassTheLossOnToTheNextMessage()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = Second, MaxLeaseDuration = 2 * Second, MaxAttempts = null });
        int failures = 0, handled = 0;
        await using MessageConsumer consumer = queue.Consume((delivery, ct) =>
        {
            if (Text(delivery).StartsWith("slow", StringComparison.Ordinal) && !delivery.IsRedelivered)
            {
                // Returns the very moment the lease is lost: the next message starts while the loss is still being told.
                Advance(2 * Second);
                return default;
            }
            var patience = new SpinWait();
            for (int i = 0; i < 20; i++)
                patience.SpinOnce(sleep1Threshold: -1);
            if (ct.IsCancellationRequested)
                Interlocked.Increment(ref failures);
            Interlocked.Increment(ref handled);
            return default;
        });

        for (int i = 0; i < 100; i++)
        {
            await Soon(queue.SendBatchAsync(new[] { Text("slow"), Text("quick") }));
            await Idle(queue);
        }

        Assert.That(failures, Is.Zero);
        Assert.That(handled, Is.EqualTo(200));
    }

    [Test]
    public async Task ManyLeasesEndInTheOrderOfTheirDeadlines()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, [.. Enumerable.Range(0, 30).Select(i => $"{i:00}")]);
        var deliveries = new List<Delivery>();
        for (int i = 0; i < 30; i++)
        {
            deliveries.Add(await Receive(queue));
            // Every third is prolonged in its own way, so that list and set mix.
            if (i % 3 == 0)
                deliveries[^1].ExtendLease(TimeSpan.FromSeconds(5 + i));
            Advance(TimeSpan.FromMilliseconds(10));
        }

        for (int step = 0; step < 60; step++)
        {
            await Advance(queue, Second);
            for (int i = 0; i < 30; i++)
            {
                TimeSpan deadline = TimeSpan.FromMilliseconds(10 * i) + TimeSpan.FromSeconds(i % 3 == 0 ? 5 + i : 30);
                Assert.That(deliveries[i].LeaseLost.IsCancellationRequested, Is.EqualTo(Clock.Elapsed >= deadline), $"{i} at {Clock.Elapsed}");
            }
        }
    }

    [Test]
    public async Task LeasesRunOnTheMonotonicClockWhateverTheWallClockDoes()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Clock.JumpWallClock(TimeSpan.FromDays(3));
        await Advance(queue, 15 * Second);
        Clock.JumpWallClock(TimeSpan.FromDays(-9));
        await Advance(queue, 15 * Second - Tick);
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task TheTokenOfALostLeaseFiresEvenIfItIsAskedForAfterwards()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = Second });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        await Advance(queue, Second);

        Assert.That(delivery.LeaseLost.IsCancellationRequested);
    }

    [Test]
    public async Task ACallbackThatThrowsOnALostLeaseHurtsNobodyElse()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = Second });
        await Send(queue, "a", "b");
        Delivery first = await Receive(queue);
        Delivery second = await Receive(queue);
        first.LeaseLost.Register(() => throw new InvalidOperationException("a callback of the application"));

        await Advance(queue, Second);

        Assert.That(second.LeaseLost.IsCancellationRequested);
        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(2));
    }

    [Test]
    public async Task AShorterLeaseThatIsDeclaredLaterHoldsForLaterDeliveries()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 30 * Second });
        await Send(queue, "a", "b");
        Delivery first = await Receive(queue);
        await Declare(new QueueOptions { LeaseDuration = Second });
        Delivery second = await Receive(queue);

        await Advance(queue, Second);
        Assert.That((first.LeaseLost.IsCancellationRequested, second.LeaseLost.IsCancellationRequested), Is.EqualTo((false, true)));
        await Advance(queue, 29 * Second);

        Assert.That(first.LeaseLost.IsCancellationRequested);
    }
}
