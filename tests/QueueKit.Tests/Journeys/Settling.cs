namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Settling(Durability durability) : Journey(durability)
{
    [Test]
    public async Task AnAckDeletesTheMessage()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Assert.That((await Receive(queue)).Ack(), Is.EqualTo(SettleResult.Settled));

        Assert.That(await IsQuiet(queue));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(1));
    }

    [Test]
    public async Task AnAwaitedAckReturnsWhenTheDeletionIsCommitted()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Assert.That(await Soon((await Receive(queue)).AckAsync()), Is.EqualTo(SettleResult.Settled));

        Assert.That(queue.GetSnapshot().Leaving.Messages, Is.Zero);
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task TheFirstSettleWinsAndEveryOtherSaysThatItDidNothing()
    {
        MessageQueue queue = await Declare();
        Settlement[] all = [Settlement.Ack, Settlement.Nack(), Settlement.Release, Settlement.Reject("bad")];
        foreach (Settlement first in all)
        {
            await Send(queue, "a");
            Delivery delivery = await Receive(queue);
            Assert.That(delivery.Settle(first), Is.EqualTo(SettleResult.Settled));
            QueueCounts before = queue.GetSnapshot().Counts;
            foreach (Settlement second in all)
            {
                Assert.That(delivery.Settle(second), Is.EqualTo(SettleResult.AlreadySettled), $"{second} after {first}");
                Assert.That(await Soon(delivery.SettleAsync(second)), Is.EqualTo(SettleResult.AlreadySettled), $"{second} after {first}");
            }
            Assert.That(delivery.ExtendLease(), Is.False);
            await Idle(queue);
            QueueCounts after = queue.GetSnapshot().Counts;
            Assert.That((after.Nacked, after.Released), Is.EqualTo((before.Nacked, before.Released)));
            await Soon(queue.PurgeAsync());
        }
    }

    [Test]
    public async Task OfManyThreadsThatSettleExactlyOneSucceeds()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        for (int round = 0; round < 50; round++)
        {
            await Send(queue, $"{round}");
            Delivery delivery = await Receive(queue);
            Settlement[] settlements = [Settlement.Ack, Settlement.Ack, Settlement.Nack(), Settlement.Release];
            using var barrier = new Barrier(settlements.Length);

            SettleResult[] results = await Soon(Task.WhenAll(settlements.Select(settlement => Task.Run(() =>
            {
                barrier.SignalAndWait();
                return delivery.Settle(settlement);
            }))));

            Assert.That(results.Count(result => result == SettleResult.Settled), Is.EqualTo(1));
            Assert.That(results.Count(result => result == SettleResult.AlreadySettled), Is.EqualTo(3));
            await Soon(queue.PurgeAsync());
        }
    }

    [Test]
    public async Task AReleaseBringsTheMessageBackAtOnceWithoutPenalty()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery first = await Receive(queue);

        Assert.That(first.Release(), Is.EqualTo(SettleResult.Settled));

        Delivery second = await Receive(queue);
        Assert.That((second.Attempt, second.IsRedelivered), Is.EqualTo((1, true)));
        Assert.That(second.Sequence, Is.EqualTo(first.Sequence));
    }

    [Test]
    public async Task AMessageThatIsReleasedAgainAndAgainPausesALittleBetween()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        (await Receive(queue)).Release();
        (await Receive(queue)).Release();
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null, "the second release in a row has to wait");
        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(1));
        await Advance(queue, Second);
        Delivery third = await Receive(queue);

        Assert.That(third.Attempt, Is.EqualTo(1));
        Assert.That(queue.GetSnapshot().Counts.Released, Is.EqualTo(2));
    }

    [Test]
    public async Task ANackCountsAsAnAttemptAndBringsTheMessageBackAfterTheDelayAskedFor()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Assert.That((await Receive(queue)).Nack(10 * Second), Is.EqualTo(SettleResult.Settled));
        await Advance(queue, 10 * Second - Tick);
        Assert.That(await IsQuiet(queue));
        await Advance(queue, Tick);

        Delivery again = await Receive(queue);
        Assert.That((again.Attempt, again.IsRedelivered), Is.EqualTo((2, true)));
    }

    [Test]
    public async Task AnExceptionWhoseMessageCannotBeReadDoesNotKeepTheMessageFromComingBack()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "order");

        Assert.That((await Receive(queue)).Nack(TimeSpan.Zero, new SpeechlessException()), Is.EqualTo(SettleResult.Settled));

        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2));
    }

    [Test]
    public async Task ANackWithDelayZeroBringsTheMessageBackNow()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        (await Receive(queue)).Nack(TimeSpan.Zero);

        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2));
    }

    [Test]
    public async Task AnAwaitedNackOrReleaseIsBackWhenItReturns()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Assert.That(await Soon((await Receive(queue)).SettleAsync(Settlement.Nack(TimeSpan.Zero))), Is.EqualTo(SettleResult.Settled));
        Assert.That(await Soon((await queue.ReceiveAsync(TimeSpan.Zero))!.SettleAsync(Settlement.Release)), Is.EqualTo(SettleResult.Settled));
        Assert.That(await Soon((await queue.ReceiveAsync(TimeSpan.Zero))!.SettleAsync(Settlement.Reject("enough"))), Is.EqualTo(SettleResult.Settled));

        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task ASettleWhoseTokenIsCancelledBeforehandSettlesNothing()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Assert.That(async () => await delivery.AckAsync(new CancellationToken(canceled: true)), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
    }

    [Test]
    public async Task ADefaultSettlementIsRefusedAndChangesNothing()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Assert.That(() => delivery.Settle(default), Throws.ArgumentException.With.Message.Contains("Settlement.Ack"));
        Assert.That(async () => await delivery.SettleAsync(default), Throws.ArgumentException);
        await using (BrokerTransaction transaction = Broker.BeginTransaction())
            Assert.That(() => transaction.Settle(delivery, default), Throws.ArgumentException);

        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
    }

    [Test]
    public async Task DeliveriesMayBeSettledInAnyOrder()
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(0, 50).Select(i => $"{i}")]);
        IReadOnlyList<Delivery> deliveries = await queue.ReceiveBatchAsync(50, TimeSpan.Zero);

        foreach (Delivery delivery in deliveries.OrderBy(delivery => delivery.Sequence * 7919 % 50))
            Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));

        await Idle(queue);
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AnAckFreesAPlaceForTheNextSender()
    {
        MessageQueue queue = await DeclareFull(1);
        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        Delivery delivery = await Receive(queue);
        await Idle(queue);
        Assert.That(sending.IsCompleted, Is.False, "what is in flight counts");

        delivery.Ack();

        Assert.That((await Soon(sending)).Outcome, Is.EqualTo(SendOutcome.Accepted));
    }

    [Test]
    public async Task AckedDeliveriesLeaveTheBooksWithoutAnybodyComingBy()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        delivery.Ack();

        await Advance(queue, Minute);

        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Acked)).EqualTo(1).And.Property(nameof(QueueCounts.LeasesLost)).EqualTo(0));
        Assert.That(await IsQuiet(queue));
    }

    private sealed class SpeechlessException : Exception
    {
        public override string Message => throw new InvalidOperationException("There are no words.");
    }
}
