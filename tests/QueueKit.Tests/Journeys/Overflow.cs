using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Overflow(Durability durability) : Journey(durability)
{
    private static readonly QueueOptions s_keepsTheOldest = new() { Overflow = OverflowPolicy.DropOldest, DeadLetterOn = DeadLetterReasons.Overflow };

    // ---- Backpressure

    [Test]
    public async Task UnderBackpressureASendWaitsForRoom()
    {
        MessageQueue queue = await DeclareFull(2);

        Task<SendReceipt> sending = queue.SendAsync(Text("3")).AsTask();
        await Idle(queue);
        Assert.That(sending.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.WaitingSenders)).EqualTo(1));
        (await Receive(queue)).Ack();

        Assert.That((await Soon(sending)).Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
        Assert.That(queue.GetSnapshot().Counts.Waited, Is.EqualTo(1));
        Assert.That(queue.GetSnapshot().PeakMessages, Is.EqualTo(2));
    }

    [Test]
    public async Task ASendWaitsForBytesToo()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxBytes = 10, MaxMessages = null });
        await Send(queue, "12345678");

        Task<SendReceipt> large = queue.SendAsync(Text("abc")).AsTask();
        Task<SendReceipt> small = queue.SendAsync(Text("x")).AsTask();
        await Idle(queue);
        Assert.That((large.IsCompleted, small.IsCompleted), Is.EqualTo((false, false)), "there is room for the small one, but it is not its turn");
        (await Receive(queue)).Ack();

        await Soon(Task.WhenAll(large, small));
        Assert.That(await Drain(queue), Is.EqualTo(["abc", "x"]));
    }

    [Test]
    public async Task SendersThatWaitAreLetInFirstComeFirstServed()
    {
        MessageQueue queue = await DeclareFull(1);
        Task<SendReceipt>[] sends = [.. Enumerable.Range(2, 20).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];

        var received = new List<string>();
        for (int i = 1; i <= 21; i++)
        {
            Delivery delivery = await Receive(queue);
            received.Add(Text(delivery));
            delivery.Ack();
        }

        await Soon(Task.WhenAll(sends));
        Assert.That(received, Is.EqualTo(Enumerable.Range(1, 21).Select(i => $"{i}")));
    }

    [Test]
    public async Task ACancelledSendHasSentNothingAndLeavesNoPlaceTaken()
    {
        MessageQueue queue = await DeclareFull(1);
        using var cancel = new CancellationTokenSource();
        Task<SendReceipt> before = queue.SendAsync(Text("before")).AsTask();
        Task<SendReceipt> cancelled = queue.SendAsync(Text("cancelled"), cancel.Token).AsTask();
        Task<SendReceipt> after = queue.SendAsync(Text("after")).AsTask();

        await cancel.CancelAsync();
        Assert.That(async () => await Soon(cancelled), Throws.InstanceOf<OperationCanceledException>().With.Property(nameof(OperationCanceledException.CancellationToken)).EqualTo(cancel.Token));

        Assert.That(queue.GetSnapshot().WaitingSenders, Is.EqualTo(2));
        Assert.That(await Drain(queue), Is.EqualTo(["1", "before", "after"]));
        await Soon(Task.WhenAll(before, after));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task WhenTheFirstInLineGivesUpTheNextOneIsLookedAt()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxBytes = 10, MaxMessages = null });
        await Send(queue, "12345");
        using var cancel = new CancellationTokenSource();
        Task<SendReceipt> large = queue.SendAsync(Text("1234567"), cancel.Token).AsTask();
        Task<SendReceipt> small = queue.SendAsync(Text("12")).AsTask();

        await cancel.CancelAsync();

        Assert.That((await Soon(small)).Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(async () => await Soon(large), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task ASendThatIsNotToWaitIsRefusedAndNeverOvertakes()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxBytes = 10, MaxMessages = null });
        await Send(queue, "12345678");
        Assert.That((await Soon(queue.TrySendAsync(Text("abc")))).Outcome, Is.EqualTo(SendOutcome.Refused));
        Assert.That((await Soon(queue.TrySendAsync(Text("x")))).Outcome, Is.EqualTo(SendOutcome.Accepted));

        Task<SendReceipt> waiting = queue.SendAsync(Text("abc")).AsTask();

        Assert.That((await Soon(queue.TrySendAsync(Text("y")))).Outcome, Is.EqualTo(SendOutcome.Refused), "there is room, but somebody waits for it");
        Assert.That(queue.GetSnapshot().Counts.Refused, Is.EqualTo(2));
        await Drain(queue);
        await Soon(waiting);
    }

    [Test]
    public async Task ASendWaitsAtMostAsLongAsTheQueueAllows()
    {
        MessageQueue queue = await DeclareFull(1, new QueueOptions { BackpressureTimeout = 5 * Second });

        Task<SendReceipt> early = queue.SendAsync(Text("early")).AsTask();
        await Advance(queue, 3 * Second);
        Task<SendReceipt> late = queue.SendAsync(Text("late")).AsTask();
        await Advance(queue, 2 * Second - Tick);
        Assert.That(early.IsCompleted, Is.False);
        await Advance(queue, Tick);

        Assert.That(async () => await Soon(early), Throws.InstanceOf<QueueFullException>().With.Property(nameof(QueueFullException.QueueName)).EqualTo("orders"));
        Assert.That(late.IsCompleted, Is.False);
        Assert.That(await Drain(queue), Is.EqualTo(["1", "late"]));
        await Soon(late);
        await Advance(queue, Minute);
        Assert.That(queue.GetSnapshot().Counts.Refused, Is.EqualTo(1));
    }

    [Test]
    public async Task AnEndlessBackpressureTimeoutIsNone()
    {
        MessageQueue queue = await DeclareFull(1, new QueueOptions { BackpressureTimeout = TimeSpan.MaxValue });
        Advance(Second);

        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        await Advance(queue, TimeSpan.FromDays(100));
        Assert.That(sending.IsCompleted, Is.False);
        await Drain(queue);

        await Soon(sending);
    }

    [Test]
    public async Task ABatchTakesAllItsPlacesOrNone()
    {
        MessageQueue queue = await DeclareFull(4);
        (await Receive(queue)).Ack();
        (await Receive(queue)).Ack();

        Task<SendReceipt> batch = queue.SendBatchAsync(new[] { Text("a"), Text("b"), Text("c") }).AsTask();
        await Idle(queue);
        Assert.That(batch.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(2), "it holds none while it waits");
        (await Receive(queue)).Ack();

        await Soon(batch);
        Assert.That(await Drain(queue), Is.EqualTo(["4", "a", "b", "c"]));
    }

    [Test]
    public async Task PurgeDeadLetteringAndRedeclaringLetWaitingSendersIn()
    {
        MessageQueue queue = await DeclareFull(1);

        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        await Soon(queue.PurgeAsync());
        await Soon(sending);

        sending = queue.SendAsync(Text("3")).AsTask();
        (await Receive(queue)).Reject("bad");
        await Soon(sending);

        sending = queue.SendAsync(Text("4")).AsTask();
        await Declare(new QueueOptions { MaxMessages = 2 });
        await Soon(sending);

        Assert.That(await Drain(queue), Is.EqualTo(["3", "4"]));
    }

    [Test]
    public async Task ManyProducersNeverLiftAQueueAboveItsLimits()
    {
        const int Producers = 8, Each = 100;
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 7, MaxBytes = 30 });
        using var cancel = new CancellationTokenSource();
        long peakBytes = 0;
        Task producers = Task.WhenAll(Enumerable.Range(0, Producers).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
            {
                if (i % 3 == 0)
                    await queue.SendBatchAsync(new[] { Text("12"), Text("345") });
                else
                    await queue.SendAsync(Text("123456789"[..(1 + (i + producer) % 9)]));
            }
        })));
        long received = 0;
        Task consumers = Task.WhenAll(Enumerable.Range(0, 3).Select(_ => Task.Run(async () =>
        {
            while (true)
            {
                Delivery delivery = await queue.ReceiveAsync(cancel.Token);
                QueueSnapshot snapshot = queue.GetSnapshot();
                Assert.That((snapshot.Messages <= 7, snapshot.Bytes <= 30, snapshot.Overshoot), Is.EqualTo((true, true, 0)));
                InterlockedMax(ref peakBytes, snapshot.Bytes);
                delivery.Ack();
                Interlocked.Increment(ref received);
            }
        })));

        await Soon(producers);
        await Until(() => queue.GetSnapshot().Counts.Acked >= queue.GetSnapshot().Counts.Accepted);
        await cancel.CancelAsync();
        Assert.That(async () => await Soon(consumers), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(queue.GetSnapshot().PeakMessages, Is.LessThanOrEqualTo(7));
        Assert.That(received, Is.EqualTo(queue.GetSnapshot().Counts.Accepted));
        Assert.That(received, Is.EqualTo(Producers * (Each + (Each + 2) / 3)));
    }

    [Test]
    public async Task SendersThatAreCancelledAtRandomNeverLeaveAPlaceTaken()
    {
        const int Senders = 400;
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 3 });
        using var stop = new CancellationTokenSource();
        Task consumer = Task.Run(async () =>
        {
            while (true)
                (await queue.ReceiveAsync(stop.Token)).Ack();
        });

        Task<bool>[] senders = [.. Enumerable.Range(0, Senders).Select(i => Task.Run(async () =>
        {
            using var cancel = new CancellationTokenSource();
            Task<SendReceipt> sending = queue.SendAsync(Text($"{i}"), cancel.Token).AsTask();
            if (i % 2 == 0)
                await cancel.CancelAsync();
            try
            {
                await sending;
                return true;
            }
            catch (OperationCanceledException)
            {
                return false;
            }
        }))];
        int sent = (await Soon(Task.WhenAll(senders))).Count(accepted => accepted);
        await Until(() => queue.GetSnapshot().Counts.Acked >= sent);
        await stop.CancelAsync();
        Assert.That(async () => await Soon(consumer), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(queue.GetSnapshot().Counts.Accepted, Is.EqualTo(sent));
        Assert.That((queue.GetSnapshot().Messages, queue.GetSnapshot().WaitingSenders), Is.EqualTo((0, 0)));
        await Send(queue, "1", "2", "3");
    }

    // ---- Reject

    [Test]
    public async Task UnderRejectAPlainSendThrowsAndAResultReturningOneSaysRefused()
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.Reject });

        Assert.That(async () => await queue.SendAsync(Text("3")),
            Throws.InstanceOf<QueueFullException>().With.Property(nameof(QueueFullException.QueueName)).EqualTo("orders").And.Message.Contains("2 messages"));
        Assert.That((await Soon(queue.TrySendAsync(Text("3")))).Outcome, Is.EqualTo(SendOutcome.Refused));
        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("3"), Text("4") }), Throws.InstanceOf<QueueFullException>());

        Assert.That(queue.GetSnapshot().Counts.Refused, Is.EqualTo(4));
        await Soon((await Receive(queue)).AckAsync());
        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("3"), Text("4") }), Throws.InstanceOf<QueueFullException>(), "one place is not two");
        await Send(queue, "3");
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task UnderRejectBytesCountToo()
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = OverflowPolicy.Reject, MaxBytes = 10, MaxMessages = null });
        await Send(queue, "12345678");

        Assert.That(async () => await queue.SendAsync(Text("abc")), Throws.InstanceOf<QueueFullException>().With.Message.Contains("10 bytes"));
        await Send(queue, "ab");

        Assert.That(queue.GetSnapshot().Bytes, Is.EqualTo(10));
    }

    // ---- DropNewest

    [Test]
    public async Task UnderDropNewestTheNewMessageIsDroppedAndCounted()
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropNewest });

        SendReceipt dropped = await Soon(queue.SendAsync(Text("3")));
        SendReceipt also = await Soon(queue.TrySendAsync(Text("4")));

        Assert.That((dropped.Outcome, dropped.Sequence), Is.EqualTo((SendOutcome.Dropped, 0L)));
        Assert.That(also.Outcome, Is.EqualTo(SendOutcome.Dropped));
        Assert.That(queue.GetSnapshot().Counts.DroppedNewest, Is.EqualTo(2));
        Assert.That(await Drain(queue), Is.EqualTo(["1", "2"]));
    }

    [Test]
    public async Task UnderDropNewestABatchThatDoesNotFitIsDroppedWhole()
    {
        MessageQueue queue = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropNewest });
        await Soon((await Receive(queue)).AckAsync());

        Assert.That((await Soon(queue.SendBatchAsync(new[] { Text("a"), Text("b") }))).Outcome, Is.EqualTo(SendOutcome.Dropped));
        Assert.That((await Soon(queue.SendBatchAsync(new[] { Text("c") }))).Outcome, Is.EqualTo(SendOutcome.Accepted));

        Assert.That(queue.GetSnapshot().Counts.DroppedNewest, Is.EqualTo(2));
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3", "c"]));
    }

    // ---- DropOldest

    [Test]
    public async Task UnderDropOldestTheOldestReadyMessageMakesRoom()
    {
        MessageQueue queue = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest });

        await Send(queue, "4", "5");
        Assert.That((await Soon(queue.TrySendAsync(Text("6")))).Outcome, Is.EqualTo(SendOutcome.Accepted));

        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Dropped)).EqualTo(3).And.Property(nameof(QueueCounts.DroppedNewest)).EqualTo(0));
        Assert.That(await Drain(queue), Is.EqualTo(["4", "5", "6"]));
    }

    [Test]
    public async Task UnderDropOldestTheLowestPriorityGoesFirst()
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = OverflowPolicy.DropOldest, MaxMessages = 3 });
        foreach ((string body, byte priority) in new (string, byte)[] { ("high", 9), ("low 1", 0), ("low 2", 0), ("middle", 5), ("late", 0) })
            await Soon(queue.SendAsync(new Message(Text(body).Body) { Priority = priority }));

        Assert.That(await Drain(queue), Is.EqualTo(["high", "middle", "late"]));
    }

    [Test]
    public async Task UnderDropOldestAsManyGoAsTheBytesNeed()
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = OverflowPolicy.DropOldest, MaxBytes = 10, MaxMessages = null });
        await Send(queue, "123", "456", "789");

        await Send(queue, "abcde");

        Assert.That(queue.GetSnapshot().Counts.Dropped, Is.EqualTo(2));
        Assert.That(await Drain(queue), Is.EqualTo(["789", "abcde"]));
    }

    [Test]
    public async Task UnderDropOldestMessagesInFlightAreNeverDropped()
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        IReadOnlyList<Delivery> held = await queue.ReceiveBatchAsync(2, TimeSpan.Zero);

        SendReceipt receipt = await Soon(queue.SendAsync(Text("3")));

        Assert.That(receipt.Outcome, Is.EqualTo(SendOutcome.Dropped), "with nothing ready the newcomer is");
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.DroppedNewest)).EqualTo(1).And.Property(nameof(QueueCounts.Dropped)).EqualTo(0));
        Assert.That(held.Select(delivery => delivery.Ack()), Is.All.EqualTo(SettleResult.Settled));
    }

    [Test]
    public async Task UnderDropOldestABatchReplacesAsManyAsItNeedsOrIsDroppedWhole()
    {
        MessageQueue queue = await DeclareFull(4, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        Delivery held = await Receive(queue);

        Assert.That((await Soon(queue.SendBatchAsync(new[] { Text("a"), Text("b") }))).Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That((await Soon(queue.SendBatchAsync(new[] { Text("c"), Text("d"), Text("e"), Text("f") }))).Outcome, Is.EqualTo(SendOutcome.Dropped), "one place is taken by the delivery");

        held.Ack();
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Dropped)).EqualTo(2).And.Property(nameof(QueueCounts.DroppedNewest)).EqualTo(4));
        Assert.That(await Drain(queue), Is.EqualTo(["4", "a", "b"]));
    }

    [Test]
    public async Task WhatDropOldestDropsIsKeptAsDeadLettersIfTheQueueSaysSo()
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest, DeadLetterOn = DeadLetterReasons.Overflow });

        await Send(queue, "3");

        Delivery dead = (await DeadLettersOf(queue)).Single();
        Assert.That((Text(dead), dead.DeadLetter!.Reason, dead.DeadLetter.Source), Is.EqualTo(("1", DeadLetterReasons.Overflow, "orders")));
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.DeadLettered)).EqualTo(1).And.Property(nameof(QueueCounts.Dropped)).EqualTo(0));
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task VictimAndNewcomerChangePlacesInOneCommit()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> sending = queue.SendAsync(Text("3")).AsTask();
            await Soon(stall.Entered);
            queue = await CrashAndReopen();
            Assert.That(async () => await Soon(sending), Throws.InstanceOf<StoreException>());
        }
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(2), "nothing of it was written");

        await Send(queue, "4");
        queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["2", "4"]), "all of it was written");
    }

    [Test]
    public async Task ANewcomerThatTheStoreRefusesPutsItsVictimsBackInTheirPlace()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        Store.RefuseCommits();

        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("a"), Text("b") }),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused).And.Property(nameof(StoreException.OutcomeUnknown)).EqualTo(false));

        Assert.That(queue.GetSnapshot().Counts.Dropped, Is.Zero);
        Delivery first = await Receive(queue);
        Assert.That((Text(first), first.IsRedelivered), Is.EqualTo(("1", false)), "it was never delivered");
        first.Ack();
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task ANewcomerThatTheStoreRefusesKillsNobody([Values] bool batch)
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(3, s_keepsTheOldest);
        await Send(queue, "4");
        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1), "so that the queue of dead letters exists");

        RefuseMessagesOnce();
        Assert.That(async () => await Soon(batch ? queue.SendBatchAsync(new[] { Text("5"), Text("6") }) : queue.SendAsync(Text("5"))),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused));
        await Idle(queue);

        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.DeadLettered)).EqualTo(1).And.Property(nameof(QueueCounts.Accepted)).EqualTo(4));
        Assert.That(Broker.GetQueue("orders.dead").GetSnapshot().Messages, Is.EqualTo(1));
        Delivery first = await Receive(queue);
        Assert.That((Text(first), first.IsRedelivered), Is.EqualTo(("2", false)), "nobody came whom the oldest would have to make room for");
        first.Ack();
        Assert.That(await Drain(queue), Is.EqualTo(["3", "4"]));
    }

    [Test]
    public async Task ATransactionThatTheStoreRefusesKillsNobody([Values] bool transientVictims)
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest with { Durability = transientVictims ? Durability.Transient : Durability });
        MessageQueue other = await Declare("other");
        await Send(queue, "3");
        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1), "so that the queue of dead letters exists");

        RefuseMessagesOnce();
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("4"));
        transaction.Send(other, Text("x"));
        Assert.That(async () => await Soon(transaction.CommitAsync()), Throws.InstanceOf<StoreException>());
        await Idle(queue);

        Assert.That(queue.GetSnapshot().Counts.DeadLettered, Is.EqualTo(1));
        Assert.That(await DeadLettersOf(queue), Is.Empty, "the only one is out");
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task ATransactionThatIsWithdrawnWhileItWaitsKillsNobody()
    {
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest), full = await DeclareFull(1, name: "full");
        using var cancel = new CancellationTokenSource();
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("3"));
        transaction.Send(full, Text("no room"));

        Task committing = transaction.CommitAsync(cancel.Token).AsTask();
        await Idle(queue);
        await cancel.CancelAsync();

        Assert.That(async () => await Soon(committing), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(await DeadLettersOf(queue), Is.Empty);
        Assert.That(await Drain(queue), Is.EqualTo(["1", "2"]));
    }

    [Test]
    public async Task ATransactionsVictimsAreKeptIfTheQueueSaysSo()
    {
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);

        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("3"));
        await Soon(transaction.CommitAsync());

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1"]));
        if (IsDurable)
            queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task AVictimThatIsKeptLeavesInTheCommitOfTheNewcomer()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);
        await Send(queue, "3");
        await Idle(queue);
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> sending = queue.SendAsync(Text("4")).AsTask();
            await Soon(stall.Entered);
            queue = await CrashAndReopen();
            Assert.That(async () => await Soon(sending), Throws.InstanceOf<StoreException>());
        }
        Assert.That((queue.GetSnapshot().Messages, Broker.GetQueue("orders.dead").GetSnapshot().Messages), Is.EqualTo((2, 1)), "nothing of it was written");

        await Send(queue, "5");
        queue = await CrashAndReopen();

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1", "2"]), "all of it was written");
        Assert.That(await Drain(queue), Is.EqualTo(["3", "5"]));
    }

    [Test]
    public async Task WhatIsSentBehindASendWithVictimsStaysBehindIt()
    {
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);

        Task<SendReceipt>[] sends = [.. Enumerable.Range(3, 6).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
        SendReceipt[] receipts = await Soon(Task.WhenAll(sends));
        await Idle(queue);

        Assert.That(receipts.Where(receipt => receipt.Outcome == SendOutcome.Accepted).Select(receipt => receipt.Sequence), Is.Ordered);
        string[] all = [.. (await DeadLettersOf(queue)).Select(Text), .. await Drain(queue)];
        Assert.That(all.Select(int.Parse), Is.Ordered);
        Assert.That(all, Has.Length.EqualTo(2 + receipts.Count(receipt => receipt.Outcome == SendOutcome.Accepted)));
    }

    [Test]
    public async Task DeadLettersThatTheirQueueDropsAreCountedAsDiscardedUnlessTheStoreRefusesTheNewcomer()
    {
        OnlyWithAStore();
        await DeclareFull(1, QueueOptions.ForDeadLetters() with { Overflow = OverflowPolicy.DropNewest }, "orders.dead");
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);

        RefuseMessagesOnce();
        Assert.That(async () => await Soon(queue.SendAsync(Text("3"))), Throws.InstanceOf<StoreException>());
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Discarded)).EqualTo(0).And.Property(nameof(QueueCounts.DeadLettered)).EqualTo(0));
        await Send(queue, "4");

        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Discarded)).EqualTo(1).And.Property(nameof(QueueCounts.DeadLettered)).EqualTo(0));
        Assert.That(await Drain(await Reopen()), Is.EqualTo(["2", "4"]));
    }

    [Test]
    public async Task AQueueOfDeadLettersMayItselfKeepWhatItDrops()
    {
        await Declare("attic", QueueOptions.ForDeadLetters());
        await DeclareFull(1, s_keepsTheOldest with { DeadLetterQueue = "attic" }, "cellar");
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest with { DeadLetterQueue = "cellar" });
        if (IsDurable)
        {
            RefuseMessagesOnce();
            Assert.That(async () => await Soon(queue.SendAsync(Text("refused"))), Throws.InstanceOf<StoreException>());
        }

        await Send(queue, "3");
        await Idle(queue);

        Assert.That((await DeadLettersOf(queue)).Single().DeadLetter!.Source, Is.EqualTo("orders"));
        Assert.That((await DeadLettersOf(Broker.GetQueue("cellar"))).Single().DeadLetter!.Source, Is.EqualTo("cellar"));
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public void BufferIsRefusedWhereNoStoreCanHoldWhatSpills() =>
        Assert.That(async () => await Declare(new QueueOptions { Durability = Durability.Transient, Overflow = OverflowPolicy.Buffer }), Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("Buffer"));

    // ---- All policies

    [Test]
    public async Task AMessageOrBatchThatCanNeverFitIsRefusedBeforeAnythingElseHappens(
        [Values(OverflowPolicy.Backpressure, OverflowPolicy.Reject, OverflowPolicy.DropNewest, OverflowPolicy.DropOldest)] OverflowPolicy policy)
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = policy, MaxMessages = 2, MaxBytes = 8 });
        await Send(queue, "1234", "5678");
        QueueSnapshot before = queue.GetSnapshot();

        Assert.That(async () => await queue.SendAsync(Text("123456789")),
            Throws.InstanceOf<MessageTooLargeException>().With.Property(nameof(MessageTooLargeException.Size)).EqualTo(9).And.Property(nameof(MessageTooLargeException.Limit)).EqualTo(8));
        Assert.That(async () => await queue.TrySendAsync(Text("123456789")), Throws.InstanceOf<MessageTooLargeException>());
        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("12345"), Text("6789") }), Throws.InstanceOf<MessageTooLargeException>());
        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("1"), Text("2"), Text("3") }),
            Throws.InstanceOf<MessageTooLargeException>().With.Property(nameof(MessageTooLargeException.Size)).EqualTo(3).And.Property(nameof(MessageTooLargeException.Limit)).EqualTo(2));

        Assert.That(queue.GetSnapshot().Counts, Is.EqualTo(before.Counts));
        Assert.That(await Drain(queue), Is.EqualTo(["1234", "5678"]));
    }

    [Test]
    public async Task PausedSendingWaitsWhateverThePolicyAndDropsNothing(
        [Values(OverflowPolicy.Backpressure, OverflowPolicy.Reject, OverflowPolicy.DropNewest, OverflowPolicy.DropOldest)] OverflowPolicy policy)
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = policy, MaxMessages = 3 });
        await Send(queue, "1");
        queue.Pause(QueueFlow.Sending);

        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        Assert.That((await Soon(queue.TrySendAsync(Text("not now")))).Outcome, Is.EqualTo(SendOutcome.Refused));
        (await Receive(queue)).Release();
        await Idle(queue);
        Assert.That(sending.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Paused)).EqualTo(QueueFlow.Sending).And.Property(nameof(QueueSnapshot.WaitingSenders)).EqualTo(1));

        queue.Resume(QueueFlow.Both);

        Assert.That((await Soon(sending)).Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Dropped)).EqualTo(0).And.Property(nameof(QueueCounts.DroppedNewest)).EqualTo(0));
        Assert.That(await Drain(queue), Is.EqualTo(["1", "2"]));
    }

    [TestCase(OverflowPolicy.Backpressure)]
    [TestCase(OverflowPolicy.Reject)]
    [TestCase(OverflowPolicy.DropNewest)]
    [TestCase(OverflowPolicy.DropOldest)]
    public async Task SendersThatAPauseHasHeldUpAreJudgedByThePolicyInTheirOrder(OverflowPolicy policy)
    {
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = policy });
        await Soon((await Receive(queue)).AckAsync());
        queue.Pause(QueueFlow.Sending);
        Task<SendReceipt>[] sends = [.. Enumerable.Range(3, 3).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
        Task<SendReceipt> batch = queue.SendBatchAsync(new[] { Text("6"), Text("7") }).AsTask();
        await Idle(queue);
        Assert.That(sends.Append(batch).Count(send => send.IsCompleted), Is.Zero);

        queue.Resume(QueueFlow.Sending);
        await Idle(queue);

        Assert.That((await Soon(sends[0])).Outcome, Is.EqualTo(SendOutcome.Accepted), "there is room for one");
        QueueCounts counts = queue.GetSnapshot().Counts;
        switch (policy)
        {
            case OverflowPolicy.Backpressure:
                Assert.That(queue.GetSnapshot().WaitingSenders, Is.EqualTo(3));
                Assert.That(await Drain(queue), Is.EqualTo(["2", "3", "4", "5", "6", "7"]));
                break;
            case OverflowPolicy.Reject:
                foreach (Task<SendReceipt> send in sends[1..].Append(batch))
                    Assert.That(async () => await Soon(send), Throws.InstanceOf<QueueFullException>());
                Assert.That(counts.Refused, Is.EqualTo(4));
                Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
                break;
            case OverflowPolicy.DropNewest:
                foreach (Task<SendReceipt> send in sends[1..].Append(batch))
                    Assert.That((await Soon(send)).Outcome, Is.EqualTo(SendOutcome.Dropped));
                Assert.That(counts.DroppedNewest, Is.EqualTo(4));
                Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
                break;
            default:
                Assert.That(counts.Dropped + counts.DroppedNewest, Is.EqualTo(4));
                // On a durable queue the newcomers are not ready before their commit, and what is not ready is never dropped.
                Assert.That(await Drain(queue), Is.EqualTo(IsDurable ? ["3", "4"] : (string[])["6", "7"]));
                break;
        }
        Assert.That((await Soon(queue.TrySendAsync(Text("8")))).Outcome, Is.EqualTo(SendOutcome.Accepted), "nobody stands in line");
    }

    [Test]
    public async Task VictimsOfSendersThatAPauseHasHeldUpAreKeptIfTheQueueSaysSo()
    {
        MessageQueue queue = await DeclareFull(3, s_keepsTheOldest);
        queue.Pause(QueueFlow.Sending);
        Task<SendReceipt>[] sends = [.. Enumerable.Range(4, 3).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
        await Idle(queue);

        queue.Resume(QueueFlow.Sending);
        await Soon(Task.WhenAll(sends));
        await Idle(queue);

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1", "2", "3"]));
        if (IsDurable)
            queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["4", "5", "6"]));
    }

    [Test]
    public async Task ATransactionThatAPauseHasHeldUpIsJudgedByThePolicy()
    {
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest), strict = await DeclareFull(1, new QueueOptions { Overflow = OverflowPolicy.Reject }, "strict");
        queue.Pause(QueueFlow.Sending);
        strict.Pause(QueueFlow.Sending);
        Task refused = Commit(strict, "too much"), kept = Commit(queue, "3");
        await Idle(queue);
        Assert.That((refused.IsCompleted, kept.IsCompleted), Is.EqualTo((false, false)));

        queue.Resume(QueueFlow.Sending);
        strict.Resume(QueueFlow.Sending);

        Assert.That(async () => await Soon(refused), Throws.InstanceOf<QueueFullException>());
        await Soon(kept);
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1"]));
        if (IsDurable)
            queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));

        async Task Commit(MessageQueue to, string body)
        {
            await using BrokerTransaction transaction = Broker.BeginTransaction();
            transaction.Send(to, Text(body));
            await transaction.CommitAsync();
        }
    }

    [Test]
    public async Task WithoutLimitsNothingEverWaits()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxBytes = null, MaxMessages = null, Overflow = OverflowPolicy.Reject });

        for (int i = 0; i < 20; i++)
            await Soon(queue.SendBatchAsync(Enumerable.Range(0, 1_000).Select(n => Text($"{n}")).ToArray()));

        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(20_000));
    }

    private void RefuseMessagesOnce() => Store.RefuseCommits(1, batch => batch.Operations.ToArray().Any(operation => operation.Kind == StoreOperationKind.Insert));

    private static void InterlockedMax(ref long target, long value)
    {
        long seen = Volatile.Read(ref target);
        while (value > seen && Interlocked.CompareExchange(ref target, value, seen) is var now && now != seen)
            seen = now;
    }
}
