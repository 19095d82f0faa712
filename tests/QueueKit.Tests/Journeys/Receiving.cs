namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Receiving(Durability durability) : Journey(durability)
{
    [Test]
    public async Task AReceiveWaitsUntilAMessageComes()
    {
        MessageQueue queue = await Declare();

        Task<Delivery> receiving = queue.ReceiveAsync().AsTask();
        Assert.That(receiving.IsCompleted, Is.False);
        await Send(queue, "a");

        Assert.That(Text(await Soon(receiving)), Is.EqualTo("a"));
    }

    [Test]
    public async Task AReceiveWithALimitComesBackEmptyHandedExactlyThen()
    {
        MessageQueue queue = await Declare();

        Task<Delivery?> receiving = queue.ReceiveAsync(5 * Second).AsTask();
        await Advance(queue, 5 * Second - Tick);
        Assert.That(receiving.IsCompleted, Is.False);
        Advance(Tick);

        Assert.That(await Soon(receiving), Is.Null);
        Assert.That(queue.GetSnapshot().WaitingReceivers, Is.Zero);
    }

    [Test]
    public async Task AReceiveWithALimitTakesWhatComesInTime()
    {
        MessageQueue queue = await Declare();

        Task<Delivery?> receiving = queue.ReceiveAsync(5 * Second).AsTask();
        Advance(4 * Second);
        await Send(queue, "a");

        Assert.That(Text((await Soon(receiving))!), Is.EqualTo("a"));
        await Advance(queue, 2 * Second);
    }

    [Test]
    public async Task AnEndlessLimitIsNoLimit()
    {
        MessageQueue queue = await Declare();

        Task<Delivery?> receiving = queue.ReceiveAsync(TimeSpan.MaxValue).AsTask();
        await Advance(queue, TimeSpan.FromDays(400));
        Assert.That(receiving.IsCompleted, Is.False);
        await Send(queue, "a");

        Assert.That(Text((await Soon(receiving))!), Is.EqualTo("a"));
    }

    [Test]
    public async Task ALookFindsWhatIsThereOrNothingAndDoesNotWait()
    {
        MessageQueue queue = await Declare();

        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
        await Send(queue, "a");
        Assert.That(Text((await queue.ReceiveAsync(TimeSpan.Zero))!), Is.EqualTo("a"));
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
    }

    [Test]
    public async Task ACancelledReceiveHasTakenNothingAndLeavesNoGhost()
    {
        MessageQueue queue = await Declare();
        using var cancel = new CancellationTokenSource();

        Task<Delivery> cancelled = queue.ReceiveAsync(cancel.Token).AsTask();
        Task<Delivery> other = queue.ReceiveAsync().AsTask();
        await cancel.CancelAsync();
        Assert.That(async () => await Soon(cancelled), Throws.InstanceOf<OperationCanceledException>());
        await Send(queue, "a", "b");

        Assert.That(Text(await Soon(other)), Is.EqualTo("a"));
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
        Assert.That(queue.GetSnapshot().WaitingReceivers, Is.Zero);
    }

    [Test]
    public async Task ReceivesThatWaitAreServedInTurn()
    {
        MessageQueue queue = await Declare();

        Task<Delivery>[] receiving = [.. Enumerable.Range(0, 5).Select(_ => queue.ReceiveAsync().AsTask())];
        await Send(queue, "0", "1", "2", "3", "4");

        Assert.That((await Soon(Task.WhenAll(receiving))).Select(Text), Is.EqualTo(["0", "1", "2", "3", "4"]));
    }

    [Test]
    public async Task ABatchTakesWhatIsThereUpToItsSize()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b", "c");

        IReadOnlyList<Delivery> first = await queue.ReceiveBatchAsync(2, Minute);
        IReadOnlyList<Delivery> second = await queue.ReceiveBatchAsync(2, Minute);

        Assert.That(first.Select(Text), Is.EqualTo(["a", "b"]));
        Assert.That(second.Select(Text), Is.EqualTo(["c"]));
    }

    [Test]
    public async Task ABatchWaitsForTheFirstMessageAndTakesWhatCameWithIt()
    {
        MessageQueue queue = await Declare();

        Task<IReadOnlyList<Delivery>> receiving = queue.ReceiveBatchAsync(10, Minute).AsTask();
        await Soon(queue.SendBatchAsync(new[] { Text("a"), Text("b") }));

        IReadOnlyList<Delivery> batch = await Soon(receiving);
        Assert.That(batch.Concat(await queue.ReceiveBatchAsync(10, TimeSpan.Zero)).Select(Text), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task ABatchIsEmptyWhenNothingCameInTime()
    {
        MessageQueue queue = await Declare();

        Task<IReadOnlyList<Delivery>> receiving = queue.ReceiveBatchAsync(10, Minute).AsTask();
        await Advance(queue, Minute);

        Assert.That(await Soon(receiving), Is.Empty);
        Assert.That(await queue.ReceiveBatchAsync(10, TimeSpan.Zero), Is.Empty);
    }

    [Test]
    public async Task AReceiverTakesMessagesWhileThereAreAnyAndWaitsForMore()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
        var received = new List<string>();

        for (int round = 0; round < 3; round++)
        {
            Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
            await Send(queue, $"{round}a", $"{round}b");
            Assert.That(await Soon(waiting));
            while (receiver.TryReceive(out Delivery? delivery))
            {
                received.Add(Text(delivery));
                delivery.Ack();
            }
        }

        Assert.That(received, Is.EqualTo(["0a", "0b", "1a", "1b", "2a", "2b"]));
    }

    [Test]
    public async Task WhatWasSetAsideForAReceiverGoesBackFreeOfChargeWhenItCloses()
    {
        MessageQueue queue = await Declare();
        MessageReceiver receiver = queue.OpenReceiver();
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
        await Send(queue, "a");
        Assert.That(await Soon(waiting));

        await receiver.DisposeAsync();

        Delivery delivery = await Receive(queue);
        Assert.That((Text(delivery), delivery.Attempt), Is.EqualTo(("a", 1)));
        Assert.That(await receiver.WaitToReceiveAsync(), Is.False);
        Assert.That(() => receiver.TryReceive(out _), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public async Task DeliveriesStayValidWhenTheirReceiverCloses()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? delivery));

        await receiver.DisposeAsync();

        Assert.That(delivery!.Ack(), Is.EqualTo(SettleResult.Settled));
        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task AWaitThatIsCancelledLeavesTheReceiverFitForUse()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
        using var cancel = new CancellationTokenSource();
        Task<bool> waiting = receiver.WaitToReceiveAsync(cancel.Token).AsTask();

        await cancel.CancelAsync();
        Assert.That(async () => await Soon(waiting), Throws.InstanceOf<OperationCanceledException>());
        Task<bool> again = receiver.WaitToReceiveAsync().AsTask();
        await Send(queue, "a");

        Assert.That(await Soon(again));
        Assert.That(receiver.TryReceive(out Delivery? delivery));
        Assert.That(Text(delivery!), Is.EqualTo("a"));
    }

    [Test]
    public async Task NothingIsHandedToAReceiverWithoutCredit()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { Credit = 2 });
        await Send(queue, "a", "b", "c");

        Assert.That(receiver.TryReceive(out Delivery? first));
        Assert.That(receiver.TryReceive(out _));
        Assert.That(receiver.TryReceive(out _), Is.False);
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
        await Idle(queue);
        Assert.That(waiting.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(1));

        first!.Ack();

        Assert.That(await Soon(waiting));
        Assert.That(receiver.TryReceive(out Delivery? third));
        Assert.That(Text(third!), Is.EqualTo("c"));
    }

    [TestCase("nack")]
    [TestCase("release")]
    [TestCase("reject")]
    [TestCase("timeout")]
    [TestCase("transaction")]
    public async Task CreditComesBackHoweverADeliveryEnds(string how)
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { Credit = 1 });
        await Send(queue, "a", "b");
        Assert.That(receiver.TryReceive(out Delivery? delivery));
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
        Assert.That(waiting.IsCompleted, Is.False);

        switch (how)
        {
            case "nack":
                delivery!.Nack(Minute);
                break;
            case "release":
                delivery!.Release();
                break;
            case "reject":
                delivery!.Reject("bad");
                break;
            case "timeout":
                Advance(30 * Second);
                break;
            default:
                await using (BrokerTransaction transaction = Broker.BeginTransaction())
                {
                    transaction.Settle(delivery!, Settlement.Ack);
                    await Soon(transaction.CommitAsync());
                }
                break;
        }

        Assert.That(await Soon(waiting));
        Assert.That(receiver.TryReceive(out _));
        Assert.That(receiver.TryReceive(out _), Is.False);
    }

    [Test]
    public async Task CreditCanBeRaisedWhileTheReceiverWaitsAndLoweredAgain()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { Credit = 1 });
        await Send(queue, "a", "b", "c", "d");
        Assert.That(receiver.TryReceive(out Delivery? a));
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();

        receiver.SetCredit(3);
        Assert.That(await Soon(waiting));
        Assert.That(receiver.TryReceive(out Delivery? b));
        Assert.That(receiver.TryReceive(out _));
        Assert.That(receiver.TryReceive(out _), Is.False);

        receiver.SetCredit(2);
        a!.Ack();
        Assert.That(receiver.TryReceive(out _), Is.False, "two are out, which is what the credit allows");
        b!.Ack();
        Assert.That(receiver.TryReceive(out Delivery? last));
        Assert.That(Text(last!), Is.EqualTo("d"));
    }

    [Test]
    public async Task CreditThatAReceiverIsGivenLaterCountsToo()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
        await Send(queue, [.. Enumerable.Range(0, 100).Select(i => $"{i}")]);
        Assert.That(receiver.TryReceive(out Delivery? before));
        before!.Ack();

        receiver.SetCredit(2);

        for (int round = 0; round < 3; round++)
        {
            Assert.That(receiver.TryReceive(out Delivery? first));
            Assert.That(receiver.TryReceive(out Delivery? second));
            Assert.That(receiver.TryReceive(out _), Is.False, "Two are out.");
            await Soon(first!.AckAsync());
            await Soon(second!.AckAsync());
        }
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.InRange(6, 7), "The first ack may still be on its way into the store.");
    }

    [Test]
    public async Task AReceiverThatIsServedAllTheTimeHearsOfItsTokenToo()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
        using var stop = new CancellationTokenSource();
        await Send(queue, "a", "b");
        Assert.That(await receiver.WaitToReceiveAsync(stop.Token));
        Assert.That(receiver.TryReceive(out _));

        await stop.CancelAsync();

        Assert.That(async () => await receiver.WaitToReceiveAsync(stop.Token), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task ReceiversOfOneQueueCompeteAndTheirMessagesGoToEachInTurn()
    {
        MessageQueue queue = await Declare();
        MessageReceiver[] receivers = [.. Enumerable.Range(0, 3).Select(_ => queue.OpenReceiver(new ReceiveOptions { Credit = 1 }))];
        var received = new List<(int Receiver, string Body)>();

        for (int round = 0; round < 4; round++)
        {
            Task<bool>[] waits = [.. receivers.Select(receiver => receiver.WaitToReceiveAsync().AsTask())];
            await Send(queue, $"{round}.0", $"{round}.1", $"{round}.2");
            await Soon(Task.WhenAll(waits));
            for (int i = 0; i < receivers.Length; i++)
            {
                Assert.That(receivers[i].TryReceive(out Delivery? delivery));
                received.Add((i, Text(delivery!)));
                delivery!.Ack();
            }
            await Idle(queue);
        }

        Assert.That(received, Is.EqualTo(Enumerable.Range(0, 12).Select(i => (i % 3, $"{i / 3}.{i % 3}"))));
        foreach (MessageReceiver receiver in receivers)
            await receiver.DisposeAsync();
    }

    [Test]
    public async Task WhoOpensAReceiverDoesNotKeepMessagesFromTheOthers()
    {
        MessageQueue queue = await Declare();
        string[] all = [.. Enumerable.Range(0, 100).Select(i => $"{i:00}")];
        await Send(queue, all);
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? first));

        string[] others = await Drain(queue);

        Assert.That(Text(first!), Is.EqualTo("00"));
        Assert.That(others, Is.EquivalentTo(all[1..]), "the receiver has taken one and is busy with it");
        Assert.That(receiver.TryReceive(out _), Is.False);
    }

    [Test]
    public async Task AReceiverThatTakesOneAfterTheOtherKeepsTheOrderWhateverComesBetween()
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(0, 64).Select(i => $"{i:00}")]);
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? first));
        Assert.That(receiver.TryReceive(out Delivery? second));

        await Soon(queue.SendAsync(new Message(Text("urgent").Body) { Priority = 1 }));
        first!.Release();
        second!.Ack();

        var received = new List<string>();
        while (receiver.TryReceive(out Delivery? delivery))
            received.Add(Text(delivery));
        Assert.That(received, Is.EqualTo(Enumerable.Range(2, 62).Select(i => $"{i:00}").Prepend("00").Prepend("urgent")));
    }

    [Test]
    public async Task WhatIsSetAsideForAReceiverIsReadyAndCanBePurgedDroppedAndPaused()
    {
        MessageQueue queue = await DeclareFull(64, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? first));
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Ready)).Property(nameof(StateSnapshot.Messages)).EqualTo(63));
        Assert.That(queue.GetSnapshot().Counts.Delivered, Is.EqualTo(1));

        await Send(queue, "65");
        Assert.That(receiver.TryReceive(out Delivery? third));
        Assert.That(Text(third!), Is.EqualTo("3"), "2 was the oldest ready one and has made room");

        queue.Pause(QueueFlow.Receiving);
        Assert.That(receiver.TryReceive(out _), Is.False);
        queue.Resume(QueueFlow.Receiving);
        Assert.That(receiver.TryReceive(out Delivery? fourth));
        Assert.That(Text(fourth!), Is.EqualTo("4"));

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(61));
        Assert.That(receiver.TryReceive(out _), Is.False);
        Assert.That(queue.GetSnapshot().InFlight.Messages, Is.EqualTo(3));
        Assert.That(first!.Ack(), Is.EqualTo(SettleResult.Settled));
    }

    [Test]
    public async Task TheLeaseOfWhatWasSetAsideBeginsWhenItIsTaken()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second });
        await Send(queue, [.. Enumerable.Range(0, 40).Select(i => $"{i}")]);
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? first));
        await Advance(queue, 6 * Second);
        Assert.That(receiver.TryReceive(out Delivery? second));

        await Advance(queue, 9 * Second);
        Assert.That(first!.Ack(), Is.EqualTo(SettleResult.LeaseLost));
        Assert.That(second!.ExtendLease(Second), Is.True);
        await Advance(queue, Second - Tick);
        Assert.That(second.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, Tick);
        Assert.That(second.LeaseLost.IsCancellationRequested);
        Assert.That(queue.GetSnapshot().Counts.LeasesLost, Is.EqualTo(2));
    }

    [Test]
    public async Task AnAsyncStreamReceivesUntilItIsBrokenOff()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b", "c", "d");
        var received = new List<string>();

        await foreach (Delivery delivery in queue.ReceiveAllAsync())
        {
            received.Add(Text(delivery));
            delivery.Ack();
            if (received.Count == 3)
                break;
        }

        Assert.That(received, Is.EqualTo(["a", "b", "c"]));
        Assert.That(await Drain(queue), Is.EqualTo(["d"]));
    }

    [Test]
    public async Task AnAsyncStreamEndsWithItsToken()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        using var cancel = new CancellationTokenSource();
        TaskCompletionSource received = Signal();

        Task streaming = Task.Run(async () =>
        {
            await foreach (Delivery delivery in queue.ReceiveAllAsync(ct: cancel.Token))
            {
                delivery.Ack();
                received.TrySetResult();
            }
        });
        await Soon(received.Task);
        await cancel.CancelAsync();

        Assert.That(async () => await Soon(streaming), Throws.InstanceOf<OperationCanceledException>());
        await Send(queue, "b");
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task AnAsyncStreamEndsQuietlyWhenTheBrokerCloses()
    {
        MessageQueue queue = await Declare();
        Task<int> streaming = Task.Run(async () =>
        {
            int count = 0;
            await foreach (Delivery delivery in queue.ReceiveAllAsync())
            {
                count++;
                delivery.Ack();
            }
            return count;
        });
        await Send(queue, "a", "b");
        await Until(() => queue.GetSnapshot().Counts.Acked >= 2);

        await Soon(Broker.DisposeAsync());

        Assert.That(await Soon(streaming), Is.EqualTo(2));
    }

    [Test]
    public async Task AllWaysToReceiveShareOneQueue()
    {
        MessageQueue queue = await Declare();
        var handled = new System.Collections.Concurrent.ConcurrentBag<string>();
        TaskCompletionSource done = Signal();
        string[] all = [.. Enumerable.Range(0, 200).Select(i => $"{i}")];
        void Take(Delivery delivery)
        {
            handled.Add(Text(delivery));
            delivery.Ack();
            if (handled.Count == all.Length)
                done.TrySetResult();
        }
        using var stop = new CancellationTokenSource();
        await using MessageReceiver receiver = queue.OpenReceiver();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            Take(delivery);
            return default;
        }, new ConsumeOptions { Concurrency = 2 });
        Task[] pullers =
        [
            Task.Run(async () =>
            {
                while (true)
                    Take(await queue.ReceiveAsync(stop.Token));
            }),
            Task.Run(async () =>
            {
                while (await receiver.WaitToReceiveAsync(stop.Token))
                {
                    while (receiver.TryReceive(out Delivery? delivery))
                        Take(delivery);
                }
            }),
            Task.Run(async () =>
            {
                await foreach (Delivery delivery in queue.ReceiveAllAsync(ct: stop.Token))
                    Take(delivery);
            }),
            Task.Run(async () =>
            {
                while (true)
                {
                    foreach (Delivery delivery in await queue.ReceiveBatchAsync(7, Minute, stop.Token))
                        Take(delivery);
                }
            }),
        ];

        await Send(queue, all);
        await Soon(done.Task);
        await stop.CancelAsync();
        Assert.That(async () => await Soon(Task.WhenAll(pullers)), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(handled, Is.EquivalentTo(all));
    }

    [Test]
    public async Task AtMostOnceDeletesBeforeItHandsOver()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { AtMostOnce = true });

        var received = new List<Delivery>();
        while (received.Count < 2 && await Soon(receiver.WaitToReceiveAsync()))
        {
            while (receiver.TryReceive(out Delivery? delivery))
                received.Add(delivery);
        }

        Assert.That(received.Select(Text), Is.EqualTo(["a", "b"]));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Acked)).EqualTo(2).And.Property(nameof(QueueCounts.Delivered)).EqualTo(2));
        Assert.That(received[0].Ack(), Is.EqualTo(SettleResult.AlreadySettled));
        Assert.That(received[1].Nack(), Is.EqualTo(SettleResult.AlreadySettled));
        Assert.That(received[1].ExtendLease(), Is.False);
        await Advance(queue, TimeSpan.FromHours(2));
        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task AtMostOnceLetsTheNextSenderInAtOnce()
    {
        MessageQueue queue = await DeclareFull(1);
        Task<SendReceipt>[] senders = [queue.SendAsync(Text("2")).AsTask(), queue.SendAsync(Text("3")).AsTask()];
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { AtMostOnce = true });

        var received = new List<string>();
        while (received.Count < 3 && await Soon(receiver.WaitToReceiveAsync()))
        {
            while (receiver.TryReceive(out Delivery? delivery))
                received.Add(Text(delivery));
        }

        await Soon(Task.WhenAll(senders));
        Assert.That(received, Is.EqualTo(["1", "2", "3"]));
    }

    [Test]
    public async Task PausedReceivingHandsOutNothingUntilItIsResumed()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery held = await Receive(queue);
        Task<Delivery> waiting = queue.ReceiveAsync().AsTask();

        queue.Pause(QueueFlow.Receiving);
        queue.Pause(QueueFlow.Receiving);
        await Send(queue, "b", "c");
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
        Assert.That(waiting.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot().Paused, Is.EqualTo(QueueFlow.Receiving));
        Assert.That(held.Ack(), Is.EqualTo(SettleResult.Settled), "what is in flight can be settled");
        queue.Resume(QueueFlow.Receiving);

        Assert.That(Text(await Soon(waiting)), Is.EqualTo("b"));
        Assert.That(await Drain(queue), Is.EqualTo(["c"]));
        Assert.That(queue.GetSnapshot().Paused, Is.EqualTo(QueueFlow.None));
    }

    [Test]
    public async Task AReceiveThatNobodyAwaitsLosesNothing()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second });
        _ = queue.ReceiveAsync().AsTask();
        await Send(queue, "a");
        await Idle(queue);

        await Advance(queue, 10 * Second);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }
}
