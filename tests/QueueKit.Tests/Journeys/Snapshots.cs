using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Snapshots(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ASnapshotShowsEachStateWithCountBytesAndTheAgeOfTheOldest()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "22", "333");
        Advance(Second);
        await Send(queue, "4444");
        await Soon(queue.SendAsync(new Message(Text("55555").Body) { Delay = Minute }));
        Delivery first = await Receive(queue);
        Advance(Second);
        Delivery second = await Receive(queue);
        second.Nack(Minute);
        Advance(Second);
        await Idle(queue);

        QueueSnapshot snapshot = queue.GetSnapshot();

        Assert.Multiple(() =>
        {
            Assert.That((snapshot.Name, snapshot.Durability), Is.EqualTo(("orders", Durability)));
            Assert.That((snapshot.Messages, snapshot.Bytes, snapshot.PeakMessages), Is.EqualTo((5, 15, 5)));
            Assert.That(snapshot.Ready, Is.EqualTo(new StateSnapshot(2, 7, 3 * Second)));
            Assert.That(snapshot.Delayed, Is.EqualTo(new StateSnapshot(2, 7, 3 * Second)));
            Assert.That(snapshot.InFlight, Is.EqualTo(new StateSnapshot(1, 1, 2 * Second)), "from the hand-over on");
            Assert.That(snapshot.Storing, Is.EqualTo(new StateSnapshot(0, 0, null)));
            Assert.That(snapshot.Leaving, Is.EqualTo(new StateSnapshot(0, 0, null)));
            Assert.That((snapshot.WaitingSenders, snapshot.WaitingReceivers, snapshot.Overshoot, snapshot.Paused), Is.EqualTo((0, 0, 0, QueueFlow.None)));
            Assert.That(snapshot.Counts, Is.EqualTo(new QueueCounts { Accepted = 5, Delivered = 2, Nacked = 1 }));
        });
        first.ExtendLease(TimeSpan.FromMinutes(5));
        Advance(Second);
        Assert.That(queue.GetSnapshot().InFlight.OldestAge, Is.EqualTo(3 * Second), "an extension does not make it younger");
    }

    [Test]
    public async Task WhatIsSetAsideForAReceiverIsAsOldAsItIsAndNotWithIt()
    {
        MessageQueue queue = await Declare();
        for (int i = 1; i <= 16; i++)
        {
            await Send(queue, $"{i}");
            Advance(Second);
        }
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? first));
        Advance(Second);

        Assert.That(queue.GetSnapshot().Ready, Has.Property(nameof(StateSnapshot.Messages)).EqualTo(15).And.Property(nameof(StateSnapshot.OldestAge)).EqualTo(16 * Second), "the second message is the oldest that is ready");
        Assert.That(queue.GetSnapshot().InFlight, Is.EqualTo(new StateSnapshot(1, 1, Second)));

        await Soon(first!.AckAsync());
        Assert.That(queue.GetSnapshot().InFlight, Is.EqualTo(new StateSnapshot(0, 0, null)), "a message set aside is not handed over");
        Assert.That(receiver.TryReceive(out _));
        Advance(Second);
        Assert.That(queue.GetSnapshot().InFlight, Is.EqualTo(new StateSnapshot(1, 1, Second)), "its lease began when it was taken, not when it was set aside");
        await Drain(queue);
        Assert.That(queue.GetSnapshot().Ready, Is.EqualTo(new StateSnapshot(0, 0, null)));
    }

    [Test]
    public async Task WhoeverWaitsIsShown()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 1 });
        using var cancel = new CancellationTokenSource();
        Task<Delivery> receiving = queue.ReceiveAsync(cancel.Token).AsTask();
        await using MessageReceiver receiver = queue.OpenReceiver();
        Task<bool> waiting = receiver.WaitToReceiveAsync(cancel.Token).AsTask();
        await using (MessageConsumer consumer = queue.Consume((_, _) => default, new ConsumeOptions { Concurrency = 3 }))
        {
            await Idle(queue);
            Assert.That(queue.GetSnapshot().WaitingReceivers, Is.EqualTo(5));
        }

        await cancel.CancelAsync();
        Assert.That(async () => await Soon(Task.WhenAll(receiving, waiting)), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(queue.GetSnapshot().WaitingReceivers, Is.Zero);
        await Send(queue, "1");
        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        Assert.That(queue.GetSnapshot().WaitingSenders, Is.EqualTo(1));
        await Drain(queue);
        await Soon(sending);
    }

    [Test]
    public async Task RedeliveriesAreCounted()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = Second });
        await Send(queue, "a");
        (await Receive(queue)).Nack(TimeSpan.Zero);
        (await Receive(queue)).Release();
        await Receive(queue);
        await Advance(queue, Second);
        (await Receive(queue)).Ack();
        await Idle(queue);

        Assert.That(queue.GetSnapshot().Counts, Is.EqualTo(new QueueCounts { Accepted = 1, Delivered = 4, Redelivered = 3, Nacked = 1, Released = 1, LeasesLost = 1, Acked = 1 }));
    }

    [Test]
    public async Task OvershootShowsWhatStandsAboveTheLimit()
    {
        MessageQueue queue = await DeclareFull(2), source = await Declare("source");
        await Send(source, "a");
        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(await Receive(source), Settlement.Ack);
        transaction.Send(queue, Text("moved"));
        await Soon(transaction.CommitAsync());

        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(3).And.Property(nameof(QueueSnapshot.Overshoot)).EqualTo(1));
        Task<SendReceipt> sending = queue.SendAsync(Text("waits")).AsTask();
        await Soon((await Receive(queue)).AckAsync());
        Assert.That((sending.IsCompleted, queue.GetSnapshot().Overshoot), Is.EqualTo((false, 0L)));
        await Drain(queue);
        await Soon(sending);
    }

    [Test]
    public async Task ASnapshotIsOneInstant()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 20, RetryDelay = RetryDelay.None, MaxAttempts = null });
        Task sender = Task.Run(async () =>
        {
            for (int i = 0; i < 500; i++)
                await queue.SendAsync(Text($"{i}"));
        });
        Task receiver = Task.Run(async () =>
        {
            for (int acked = 0, i = 0; acked < 500; i++)
            {
                Delivery delivery = await queue.ReceiveAsync();
                if (i % 5 == 0)
                    delivery.Nack();
                else if (delivery.Ack() == SettleResult.Settled)
                    acked++;
            }
        });

        Task both = Task.WhenAll(sender, receiver);
        int looks = 0;
        while (!both.IsCompleted)
        {
            Audit(queue);
            looks++;
            await Task.Yield();
        }

        await Soon(both);
        Assert.That(looks, Is.Positive);
    }

    [Test]
    public async Task HowLongTheStoreHasBeenAtACommitIsShown()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        Assert.That(Broker.RunningCommitAge, Is.Null);
        using CommitStall stall = Store.StallCommits();
        Task<SendReceipt> sending = queue.SendAsync(Text("a")).AsTask();
        await Soon(stall.Entered);
        Assert.That(Broker.RunningCommitAge, Is.EqualTo(TimeSpan.Zero));

        Advance(Minute);

        Assert.That(Broker.RunningCommitAge, Is.EqualTo(Minute));
        stall.Release();
        await Soon(sending);
        Assert.That(Broker.RunningCommitAge, Is.Null);
    }

    [Test]
    public async Task NoCommitIsUnderWayWhenTheStoreHasStopped()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        Store.FailNextCommit(written: false);

        Assert.That(async () => await Soon(queue.SendAsync(Text("a"))), Throws.TypeOf<StoreException>());

        Assert.That(Broker.RunningCommitAge, Is.Null);
    }

    [Test]
    public async Task CountsBeginAnewWhenTheQueueIsOpened()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        await Soon((await Receive(queue)).AckAsync());
        Advance(Minute);

        queue = await Reopen();

        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That(snapshot.Counts, Is.EqualTo(new QueueCounts { Recovered = 1 }));
        Assert.That(snapshot.Ready, Is.EqualTo(new StateSnapshot(1, 1, null)), "Nothing has been read yet.");
        await Receive(queue);
        Assert.That(queue.GetSnapshot().Counts, Is.EqualTo(new QueueCounts { Recovered = 1, Delivered = 1 }));
    }
}
