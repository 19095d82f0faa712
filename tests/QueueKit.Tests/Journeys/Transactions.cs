using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Transactions(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ABatchOfAcksIsOneStep()
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(0, 40).Select(i => $"{i}")]);
        IReadOnlyList<Delivery> deliveries = await queue.ReceiveBatchAsync(40, TimeSpan.Zero);

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        foreach (Delivery delivery in deliveries)
            Assert.That(transaction.Settle(delivery, Settlement.Ack), Is.EqualTo(SettleResult.Settled));
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.Zero);
        await Soon(transaction.CommitAsync());

        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(40));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
        Assert.That(deliveries.Select(delivery => delivery.Ack()), Is.All.EqualTo(SettleResult.AlreadySettled));
    }

    [Test]
    public async Task SendsAndSettlesOverSeveralQueuesTakeEffectTogether()
    {
        MessageQueue orders = await Declare("orders"), invoices = await Declare("invoices"), parcels = await Declare("parcels");
        await Send(orders, "order");
        await Send(parcels, "parcel");
        Delivery order = await Receive(orders), parcel = await Receive(parcels);

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(order, Settlement.Ack);
        transaction.Settle(parcel, Settlement.Nack(TimeSpan.Zero));
        transaction.Send(invoices, Text("invoice 1"));
        transaction.Send(parcels, Text("parcel 2"));
        transaction.Send(invoices, Text("invoice 2"));
        Assert.That(await IsQuiet(invoices), "nothing before the commit");
        await Soon(transaction.CommitAsync());

        Assert.That(await Drain(invoices), Is.EqualTo(["invoice 1", "invoice 2"]));
        Delivery again = await Receive(parcels);
        Assert.That((Text(again), again.Attempt), Is.EqualTo(("parcel", 2)));
        Assert.That(await Drain(parcels), Is.EqualTo(["parcel 2"]));
        Assert.That(orders.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task EverySettlementWorksInATransaction()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 2 });
        await Send(queue, "ack", "nack", "later", "release", "reject", "exhaust");
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(6, TimeSpan.Zero))
        {
            if (Text(delivery) == "exhaust")
                delivery.Nack(TimeSpan.Zero);
            else
                delivery.Release();
        }
        IReadOnlyList<Delivery> deliveries = await queue.ReceiveBatchAsync(6, TimeSpan.Zero);

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        foreach (Delivery delivery in deliveries)
        {
            transaction.Settle(delivery, Text(delivery) switch
            {
                "ack" => Settlement.Ack,
                "nack" => Settlement.Nack(TimeSpan.Zero),
                "later" => Settlement.Nack(Minute),
                "release" => Settlement.Release,
                "reject" => Settlement.Reject("bad", "very"),
                _ => Settlement.Nack(error: new InvalidOperationException("again")),
            });
        }
        await Soon(transaction.CommitAsync());

        Assert.That((await DeadLettersOf(queue)).Select(dead => (Text(dead), dead.DeadLetter!.Reason, dead.DeadLetter.Details)),
            Is.EqualTo(new[] { ("reject", DeadLetterReasons.Rejected, "very"), ("exhaust", DeadLetterReasons.AttemptsExhausted, null) }));
        await Advance(queue, Second);
        IReadOnlyList<Delivery> back = await queue.ReceiveBatchAsync(6, TimeSpan.Zero);
        Assert.That(back.Select(delivery => (Text(delivery), delivery.Attempt)), Is.EqualTo(new[] { ("nack", 2), ("release", 1) }));
        await Advance(queue, Minute);
        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2), "later");
    }

    [Test]
    public async Task AckAndSendIntoItsOwnFullQueueNeedsNoFreePlace(
        [Values(OverflowPolicy.Backpressure, OverflowPolicy.Reject, OverflowPolicy.DropNewest, OverflowPolicy.DropOldest)] OverflowPolicy policy)
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = policy });
        Delivery delivery = await Receive(queue);

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        transaction.Send(queue, Text("successor"));
        await Soon(transaction.CommitAsync());

        Assert.That(await Drain(queue), Is.EqualTo(["2", "successor"]));
        QueueCounts counts = queue.GetSnapshot().Counts;
        Assert.That((counts.Dropped, counts.DroppedNewest, counts.Refused, counts.Waited), Is.EqualTo((0, 0, 0, 0)));
    }

    [Test]
    public async Task AckAndSendDoesNotWaitBehindOtherSenders()
    {
        MessageQueue queue = await DeclareFull(1);
        Delivery delivery = await Receive(queue);
        Task<SendReceipt> waiting = queue.SendAsync(Text("waiting")).AsTask();

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        transaction.Send(queue, Text("successor"));
        await Soon(transaction.CommitAsync());

        Assert.That(waiting.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot().Overshoot, Is.Zero);
        Assert.That(await Drain(queue), Is.EqualTo(["successor", "waiting"]));
        await Soon(waiting);
    }

    [Test]
    public async Task AHandlerThatPublishesToItsOwnFullQueueDoesNotDeadlock()
    {
        MessageQueue queue = await DeclareFull(4);
        TaskCompletionSource done = Signal();
        int handled = 0;
        await using MessageConsumer consumer = queue.Consume(async (delivery, ct) =>
        {
            await using BrokerTransaction transaction = Broker.BeginTransaction();
            transaction.Settle(delivery, Settlement.Ack);
            if (Interlocked.Increment(ref handled) <= 100)
                transaction.Send(queue, Text($"successor {handled}"));
            await transaction.CommitAsync(ct);
            if (queue.GetSnapshot().Messages == 0)
                done.TrySetResult();
        }, new ConsumeOptions { Concurrency = 4 });

        await Soon(done.Task);

        Assert.That(handled, Is.EqualTo(104));
    }

    [Test]
    public async Task WithoutACommitNoTraceIsLeft()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        Delivery a = await Receive(queue), b = await Receive(queue);
        QueueSnapshot before = queue.GetSnapshot();

        await using (BrokerTransaction transaction = Broker.BeginTransaction())
        {
            transaction.Settle(a, Settlement.Ack);
            transaction.Settle(b, Settlement.Reject("bad"));
            transaction.Send(queue, Text("c"));
            Assert.That(a.Ack(), Is.EqualTo(SettleResult.AlreadySettled), "it belongs to the transaction");
            Assert.That(a.ExtendLease(), Is.False);
        }

        Assert.That(queue.GetSnapshot(), Is.EqualTo(before));
        Assert.That((a.Ack(), b.Release()), Is.EqualTo((SettleResult.Settled, SettleResult.Settled)));
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
        Assert.That(await DeadLettersOf(queue), Is.Empty);
    }

    [Test]
    public async Task ATransactionIsUsedOnce()
    {
        MessageQueue queue = await Declare();
        BrokerTransaction committed = Broker.BeginTransaction();
        committed.Send(queue, Text("a"));
        await Soon(committed.CommitAsync());
        BrokerTransaction rolledBack = Broker.BeginTransaction();
        await rolledBack.DisposeAsync();
        await rolledBack.DisposeAsync();

        foreach (BrokerTransaction finished in new[] { committed, rolledBack })
        {
            Assert.That(async () => await finished.CommitAsync(), Throws.InvalidOperationException.With.Message.Contains("finished"));
            Assert.That(() => finished.Send(queue, Text("b")), Throws.InvalidOperationException);
            Delivery delivery = await Receive(queue);
            Assert.That(() => finished.Settle(delivery, Settlement.Ack), Throws.InvalidOperationException);
            Assert.That(delivery.Release(), Is.EqualTo(SettleResult.Settled), "nothing has happened to it");
            await finished.DisposeAsync();
        }
        await Advance(queue, Second);
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task AnEmptyTransactionCommitsNothing()
    {
        await using BrokerTransaction transaction = Broker.BeginTransaction();

        await Soon(transaction.CommitAsync());
    }

    [Test]
    public async Task WhileOneThreadCommitsAnotherOneIsTurnedAway()
    {
        MessageQueue queue = await DeclareFull(1);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("2"));
        Task committing = transaction.CommitAsync().AsTask();
        Assert.That(committing.IsCompleted, Is.False);

        Assert.That(() => transaction.Send(queue, Text("3")), Throws.InvalidOperationException);
        Assert.That(async () => await transaction.CommitAsync(), Throws.InvalidOperationException);

        (await Receive(queue)).Ack();
        await Soon(committing);
        await Drain(queue);
        Assert.That(queue.GetSnapshot().Counts.Accepted, Is.EqualTo(2));
    }

    [Test]
    public async Task TwoThreadsInOneTransactionNeverBothSucceedUnnoticed()
    {
        MessageQueue queue = await Declare();
        for (int round = 0; round < 20; round++)
        {
            await using BrokerTransaction transaction = Broker.BeginTransaction();
            using var barrier = new Barrier(2);
            int sent = 0;
            await Soon(Task.WhenAll(Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
            {
                barrier.SignalAndWait();
                for (int i = 0; i < 50; i++)
                {
                    try
                    {
                        transaction.Send(queue, Text("a"));
                        Interlocked.Increment(ref sent);
                    }
                    catch (InvalidOperationException)
                    {
                    }
                }
            }))));
            await Soon(transaction.CommitAsync());
            Assert.That(await Drain(queue), Has.Length.EqualTo(sent));
        }
    }

    [Test]
    public async Task ALeaseThatWasLostBeforeAddsNothingToTheTransaction()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery lost = await Receive(queue);
        await Advance(queue, 30 * Second);
        await Send(queue, "b");
        Delivery a = await Receive(queue), b = await Receive(queue);
        b.Ack();

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        Assert.That(transaction.Settle(lost, Settlement.Ack), Is.EqualTo(SettleResult.LeaseLost));
        Assert.That(transaction.Settle(b, Settlement.Ack), Is.EqualTo(SettleResult.AlreadySettled));
        Assert.That(transaction.Settle(a, Settlement.Ack), Is.EqualTo(SettleResult.Settled));
        Assert.That(transaction.Settle(a, Settlement.Ack), Is.EqualTo(SettleResult.AlreadySettled));
        await Soon(transaction.CommitAsync());

        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AFrozenLeaseDoesNotTimeOutBeforeTheLongestLeaseAndThenTheCommitFails()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second, MaxLeaseDuration = Minute });
        MessageQueue other = await Declare("other");
        await Send(queue, "a", "b");
        Delivery a = await Receive(queue), b = await Receive(queue);

        BrokerTransaction inTime = Broker.BeginTransaction();
        inTime.Settle(a, Settlement.Ack);
        BrokerTransaction tooLate = Broker.BeginTransaction();
        await Send(other, "c");
        Delivery c = await Receive(other);
        tooLate.Settle(c, Settlement.Ack);
        tooLate.Settle(b, Settlement.Ack);
        tooLate.Send(other, Text("d"));
        await Advance(queue, Minute - Tick);
        await Soon(inTime.CommitAsync());
        await Advance(queue, Tick);

        Assert.That(async () => await tooLate.CommitAsync(), Throws.InstanceOf<LeaseLostException>().With.Message.Contains("orders"));
        Assert.That(c.Ack(), Is.EqualTo(SettleResult.Settled), "the others can be settled again");
        Assert.That(b.Ack(), Is.EqualTo(SettleResult.LeaseLost));
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
        Assert.That(await Drain(other), Is.Empty);
    }

    [Test]
    public async Task ARolledBackLeaseDoesNotKeepItsMessageForTheLongestLease()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = 10 * Second });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        await Advance(queue, 15 * Second);

        await transaction.DisposeAsync();
        Assert.That(delivery.LeaseLost.IsCancellationRequested, Is.False);
        await Advance(queue, 10 * Second);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    // ---- Places

    [Test]
    public async Task SendsIntoAFullQueueWaitForTheirPlacesUnderBackpressure()
    {
        MessageQueue queue = await DeclareFull(3);
        MessageQueue other = await Declare("other", new QueueOptions { MaxMessages = 2 });

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(other, Text("x"));
        transaction.Send(queue, Text("a"));
        transaction.Send(queue, Text("b"));
        Task committing = transaction.CommitAsync().AsTask();
        await Idle(queue);
        Assert.That(committing.IsCompleted, Is.False);
        Assert.That(other.GetSnapshot().Messages, Is.Zero, "it holds no places while it waits for others");
        Assert.That(queue.GetSnapshot().WaitingSenders, Is.EqualTo(1));
        await Soon((await Receive(queue)).AckAsync());
        Assert.That(committing.IsCompleted, Is.False, "one place is not two");
        await Soon((await Receive(queue)).AckAsync());

        await Soon(committing);
        Assert.That(await Drain(queue), Is.EqualTo(["3", "a", "b"]));
        Assert.That(await Drain(other), Is.EqualTo(["x"]));
        Assert.That(queue.GetSnapshot().Counts.Waited, Is.EqualTo(1));
        Assert.That(queue.GetSnapshot().PeakMessages, Is.EqualTo(3));
    }

    [Test]
    public async Task ATransactionThatWaitsForPlacesTakesItsTurnInTheLine()
    {
        MessageQueue queue = await DeclareFull(1);
        Task<SendReceipt> first = queue.SendAsync(Text("first")).AsTask();
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("second"));
        Task second = transaction.CommitAsync().AsTask();
        await Idle(queue);
        Task<SendReceipt> third = queue.SendAsync(Text("third")).AsTask();

        var received = new List<string>();
        for (int i = 0; i < 4; i++)
        {
            Delivery delivery = await Receive(queue);
            received.Add(Text(delivery));
            delivery.Ack();
        }

        await Soon(Task.WhenAll(first, second, third));
        Assert.That(received, Is.EqualTo(["1", "first", "second", "third"]));
    }

    [Test]
    public async Task ATransactionThatIsCancelledWhileItWaitsLeavesNoTrace()
    {
        MessageQueue queue = await DeclareFull(2);
        MessageQueue other = await Declare("other");
        await Send(other, "kept");
        Delivery kept = await Receive(other);
        using var cancel = new CancellationTokenSource();

        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(kept, Settlement.Ack);
        transaction.Send(other, Text("x"));
        transaction.Send(queue, Text("3"));
        transaction.Send(queue, Text("4"));
        Task committing = transaction.CommitAsync(cancel.Token).AsTask();
        await Idle(queue);
        Task<SendReceipt> behind = queue.SendAsync(Text("behind")).AsTask();
        await cancel.CancelAsync();

        Assert.That(async () => await Soon(committing), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(kept.Release(), Is.EqualTo(SettleResult.Settled));
        Assert.That(await Drain(other), Is.EqualTo(["kept"]));
        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "behind"]));
        await Soon(behind);
    }

    [Test]
    public async Task ATransactionWaitsAtMostAsLongAsTheQueueAllows()
    {
        MessageQueue queue = await DeclareFull(1, new QueueOptions { BackpressureTimeout = 5 * Second });
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("2"));

        Task committing = transaction.CommitAsync().AsTask();
        await Advance(queue, 5 * Second);

        Assert.That(async () => await Soon(committing), Throws.InstanceOf<QueueFullException>());
        Assert.That(await Drain(queue), Is.EqualTo(["1"]));
    }

    [Test]
    public async Task UnderRejectATransactionThatDoesNotFitIsRefusedWhole()
    {
        MessageQueue full = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.Reject }, "full");
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        transaction.Send(queue, Text("b"));
        transaction.Send(full, Text("3"));

        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<QueueFullException>().With.Property(nameof(QueueFullException.QueueName)).EqualTo("full"));
        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
        Assert.That(await IsQuiet(queue));
        Assert.That(await Drain(full), Is.EqualTo(["1", "2"]));
    }

    [Test]
    public async Task UnderDropNewestTheMessagesThatDoNotFitAreDroppedAndTheRestIsCommitted()
    {
        MessageQueue full = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropNewest }, "full");
        MessageQueue queue = await Declare();

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(full, Text("3"));
        transaction.Send(queue, Text("a"));
        await Soon(transaction.CommitAsync());

        Assert.That(await Drain(full), Is.EqualTo(["1", "2"]));
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
        Assert.That(full.GetSnapshot().Counts.DroppedNewest, Is.EqualTo(1));
    }

    [Test]
    public async Task UnderDropOldestTheOldestMakeRoomForATransaction()
    {
        MessageQueue full = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest }, "full");

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(full, Text("4"));
        transaction.Send(full, Text("5"));
        await Soon(transaction.CommitAsync());

        Assert.That(full.GetSnapshot().Counts.Dropped, Is.EqualTo(2));
        if (IsDurable)
            full = await Reopen("full");
        Assert.That(await Drain(full), Is.EqualTo(["3", "4", "5"]));
    }

    [Test]
    public async Task VictimsOfATransactionThatFailsAreBackInTheirPlace()
    {
        MessageQueue dropping = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest }, "dropping");
        MessageQueue rejecting = await DeclareFull(1, new QueueOptions { Overflow = OverflowPolicy.Reject }, "rejecting");

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(dropping, Text("4"));
        transaction.Send(dropping, Text("5"));
        transaction.Send(rejecting, Text("2"));
        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<QueueFullException>());

        Assert.That(dropping.GetSnapshot().Counts.Dropped, Is.Zero);
        Assert.That(await Drain(dropping), Is.EqualTo(["1", "2", "3"]));
    }

    [Test]
    public async Task WhatCanNeverFitIsRefusedAndTheLeasesAreFreeAgain()
    {
        MessageQueue small = await Declare("small", new QueueOptions { MaxMessages = 2, MaxBytes = 10 });
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        BrokerTransaction transaction = Broker.BeginTransaction();
        Assert.That(() => transaction.Send(small, Text("12345678901")), Throws.InstanceOf<MessageTooLargeException>());
        transaction.Settle(delivery, Settlement.Ack);
        for (int i = 0; i < 3; i++)
            transaction.Send(small, Text("x"));
        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<MessageTooLargeException>());

        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
        Assert.That(small.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task ACommitWhoseTokenIsCancelledBeforehandDoesNothing()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        transaction.Send(queue, Text("b"));

        Assert.That(async () => await transaction.CommitAsync(new CancellationToken(canceled: true)), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
        Assert.That(await IsQuiet(queue));
    }

    // ---- The store

    [Test]
    public async Task ATransactionThatTheStoreRefusesDidNothing()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        MessageQueue transient = await Declare("transient", new QueueOptions { Durability = Durability.Transient });
        MessageQueue other = await Declare("other");
        await Send(other, "x");
        Delivery x = await Receive(other);
        Store.RefuseCommits();

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(x, Settlement.Ack);
        transaction.Send(transient, Text("t"));
        transaction.Send(queue, Text("4"));
        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused));

        Assert.That(await IsQuiet(transient));
        Assert.That(other.GetSnapshot().Messages, Is.EqualTo(1));
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "3"]));
        Assert.That(await Drain(Broker.GetQueue("other")), Is.EqualTo(["x"]));
    }

    [Test]
    public async Task AfterARefusalTheDeliveriesCanBeSettledAgain()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        Delivery a = await Receive(queue), b = await Receive(queue);
        Store.RefuseCommits();

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(a, Settlement.Ack);
        transaction.Settle(b, Settlement.Nack());
        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<StoreException>());

        Assert.That(await IsQuiet(queue), "they are still with their consumer");
        Assert.That((a.Ack(), b.Ack()), Is.EqualTo((SettleResult.Settled, SettleResult.Settled)));
        await Idle(queue);
        Assert.That(queue.GetSnapshot().Counts.Nacked, Is.Zero);
    }

    [Test]
    public async Task ATransactionIsOneCommit()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare(), other = await Declare("other");
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        using (CommitStall stall = Store.StallCommits())
        {
            BrokerTransaction transaction = Broker.BeginTransaction();
            transaction.Settle(delivery, Settlement.Ack);
            transaction.Send(other, Text("b"));
            Task committing = transaction.CommitAsync().AsTask();
            await Soon(stall.Entered);
            queue = await CrashAndReopen();
            Assert.That(async () => await Soon(committing), Throws.InstanceOf<StoreException>());
        }
        Assert.That(await Drain(Broker.GetQueue("other")), Is.Empty);

        delivery = await Receive(queue);
        BrokerTransaction again = Broker.BeginTransaction();
        again.Settle(delivery, Settlement.Ack);
        again.Send(Broker.GetQueue("other"), Text("b"));
        await Soon(again.CommitAsync());
        queue = await CrashAndReopen();

        Assert.That(await Drain(queue), Is.Empty);
        Assert.That(await Drain(Broker.GetQueue("other")), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task AfterAFailureOfTheStoreNobodyGetsTheMessagesOfTheTransaction()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        Task<Delivery> waiting = queue.ReceiveAsync().AsTask();
        Store.FailNextCommit(written: true);

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).EqualTo(true));

        Assert.That(async () => await Soon(waiting), Throws.InstanceOf<StoreException>());
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.Empty, "it had been written");
    }

    [Test]
    public async Task ATransactionOverDurableAndTransientQueuesIsDecidedByTheStore()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        MessageQueue transient = await Declare("transient", new QueueOptions { Durability = Durability.Transient });
        await Send(transient, "a");

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(await Receive(transient), Settlement.Ack);
        transaction.Send(queue, Text("a"));
        transaction.Send(transient, Text("b"));
        await Soon(transaction.CommitAsync());

        Assert.That(await Drain(transient), Is.EqualTo(["b"]));
        queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    // ---- Bad use

    [Test]
    public async Task QueuesAndDeliveriesOfAnotherBrokerAreRefused()
    {
        MessageBroker stranger = await MessageBroker.OpenAsync();
        MessageQueue theirs = await stranger.DeclareQueueAsync("theirs");
        await Send(theirs, "a");
        Delivery delivery = await Receive(theirs);

        await using BrokerTransaction transaction = Broker.BeginTransaction();

        Assert.That(() => transaction.Send(theirs, Text("b")), Throws.ArgumentException.With.Message.Contains("theirs"));
        Assert.That(() => transaction.Settle(delivery, Settlement.Ack), Throws.ArgumentException.With.Message.Contains("theirs"));
        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
        await stranger.DisposeAsync();
    }

    [Test]
    public async Task ASendToADeletedQueueFailsTheCommitAndFreesTheLeases()
    {
        MessageQueue queue = await Declare(), gone = await Declare("gone");
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Ack);
        transaction.Send(gone, Text("b"));
        await Soon(Broker.DeleteQueueAsync("gone"));

        Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<QueueNotFoundException>());

        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled));
    }
}
