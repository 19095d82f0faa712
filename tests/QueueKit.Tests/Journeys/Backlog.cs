using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>A backlog of which memory holds only the beginning: under Buffer, and after an opening.</summary>
[TestFixture(Durability.Written)]
[TestFixture(Durability.Flushed)]
public class Backlog(Durability durability) : Journey(durability)
{
    private static readonly QueueOptions s_small = new() { Overflow = OverflowPolicy.Buffer, MaxMessages = 8 };

    // ---- Buffer

    [Test]
    public async Task WhatExceedsTheLimitsWaitsInTheStoreAndComesBackInItsOrder()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 100));

        QueueSnapshot full = queue.GetSnapshot();
        Assert.That((full.Messages, full.Ready.Messages, full.Ready.Messages - full.Paged.Messages), Is.EqualTo((100, 100, 8)));

        Assert.That(await Drain(queue), Is.EqualTo(Numbers(1, 100)));
        Assert.That(queue.GetSnapshot().Paged.Messages, Is.Zero);
    }

    [Test]
    public async Task MemoryNeverHoldsMoreReadyMessagesThanTheLimitSays()
    {
        MessageQueue queue = await Declare(s_small with { MaxMessages = 20, MaxBytes = 40 });
        await Send(queue, Numbers(1000, 200));

        for (int i = 0; i < 200; i++)
        {
            await Soon((await Receive(queue)).AckAsync());
            await Idle(queue);
            QueueSnapshot snapshot = queue.GetSnapshot();
            Assert.That(snapshot.Ready.Messages - snapshot.Paged.Messages, Is.LessThanOrEqualTo(20));
            Assert.That(snapshot.Ready.Bytes - snapshot.Paged.Bytes, Is.LessThanOrEqualTo(40 + 4));
        }
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AMessageLargerThanTheMemoryMayHoldPassesAlone()
    {
        MessageQueue queue = await Declare(s_small with { MaxBytes = 4 });

        await Send(queue, "1", "much too large", "2");

        Assert.That(await Drain(queue), Is.EqualTo(["1", "much too large", "2"]));
    }

    [TestCase(OverflowPolicy.Backpressure)]
    [TestCase(OverflowPolicy.Reject)]
    [TestCase(OverflowPolicy.DropNewest)]
    public async Task LargeBodiesWaitInTheStoreUnderEveryPolicyThatCanSpareThem(OverflowPolicy overflow)
    {
        const int size = 4 * 1024 * 1024, count = 10;
        MessageQueue queue = await Declare(new QueueOptions { Overflow = overflow });
        for (int i = 0; i < count; i++)
            await Soon(queue.SendAsync(new Message(new byte[size]) { CorrelationId = $"{i}" }));

        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That(snapshot.Ready.Messages, Is.EqualTo(count));
        Assert.That(snapshot.Ready.Bytes - snapshot.Paged.Bytes, Is.LessThanOrEqualTo(16 * 1024 * 1024));
        for (int i = 0; i < count; i++)
        {
            Delivery delivery = await Receive(queue);
            Assert.That(delivery.Message.CorrelationId, Is.EqualTo($"{i}"));
            Assert.That(delivery.Message.Body.Length, Is.EqualTo(size));
            await Soon(delivery.AckAsync());
        }
    }

    [Test]
    public async Task WhatComesBackKeepsItsPlaceBeforeWhatHasYetToBeRead()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 40));
        Delivery[] taken = [await Receive(queue), await Receive(queue), await Receive(queue)];

        taken[1].Release();
        taken[0].Nack(TimeSpan.Zero);
        await Soon(taken[2].SettleAsync(Settlement.Nack(Minute)));

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", .. Numbers(4, 37)]));
        await Advance(queue, Minute);
        Assert.That(await Drain(queue), Is.EqualTo(["3"]));
    }

    [Test]
    public async Task AHigherPriorityGoesFirstThoughMemoryIsFullOfALowerOne()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 20));
        await Soon(queue.SendAsync(new Message(Text("urgent").Body) { Priority = 5 }));

        Assert.That(await Drain(queue), Is.EqualTo(["urgent", .. Numbers(1, 20)]));
    }

    [Test]
    public async Task ConsumersThatWaitGetWhatIsReadForThem()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 60));
        var handled = new System.Collections.Concurrent.ConcurrentQueue<string>();

        await using (queue.Consume((delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            return ValueTask.CompletedTask;
        }))
        {
            await Until(() => handled.Count == 60);
        }

        Assert.That(handled, Is.EqualTo(Numbers(1, 60)));
    }

    [Test]
    public async Task AReceiverSeesTheWholeBacklog()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 60));
        await using MessageReceiver receiver = queue.OpenReceiver();
        var bodies = new List<string>();

        while (bodies.Count < 60 && await Soon(receiver.WaitToReceiveAsync()))
        {
            while (receiver.TryReceive(out Delivery? delivery))
            {
                bodies.Add(Text(delivery));
                await Soon(delivery.AckAsync());
            }
        }

        Assert.That(bodies, Is.EqualTo(Numbers(1, 60)));
    }

    [Test]
    public async Task BehindTheOuterLimitTheOldestMakeRoomThoughNobodyReads()
    {
        MessageQueue queue = await Declare(s_small with { MaxBufferedMessages = 30, BufferOverflow = OverflowPolicy.DropOldest });
        await Send(queue, Numbers(1, 30));

        foreach (string body in Numbers(31, 30))
        {
            await Send(queue, body);
            await Idle(queue);
        }

        Assert.That(await Drain(queue), Is.EqualTo(Numbers(31, 30)));
    }

    [Test]
    public async Task AfterAnOpeningTheOldestMakeRoomThoughNobodyReads()
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = OverflowPolicy.DropOldest, MaxMessages = 3_000 });
        await Soon(queue.SendBatchAsync(Numbers(1, 3_000).Select(Text).ToArray()));
        queue = await Reopen();

        for (int i = 3_001; i <= 6_000; i += 500)
        {
            await Soon(queue.SendBatchAsync(Numbers(i, 500).Select(Text).ToArray()));
            await Idle(queue);
        }

        Assert.That(queue.GetSnapshot().Counts.DroppedNewest, Is.Zero);
        Assert.That(await Drain(queue), Is.EqualTo(Numbers(3_001, 3_000)));
    }

    [TestCase(OverflowPolicy.Reject)]
    [TestCase(OverflowPolicy.DropNewest)]
    [TestCase(OverflowPolicy.Backpressure)]
    public async Task BehindTheOuterLimitTheSecondPolicyHolds(OverflowPolicy second)
    {
        MessageQueue queue = await Declare(s_small with { MaxBufferedMessages = 30, BufferOverflow = second });
        await Send(queue, Numbers(1, 30));

        Task<SendReceipt> send = queue.SendAsync(Text("31")).AsTask();

        if (second == OverflowPolicy.Reject)
            Assert.That(async () => await Soon(send), Throws.InstanceOf<QueueFullException>().With.Message.Contains("30"));
        else if (second == OverflowPolicy.DropNewest)
            Assert.That((await Soon(send)).Outcome, Is.EqualTo(SendOutcome.Dropped));
        else
            Assert.That(send.IsCompleted, Is.False);
        Assert.That((await Drain(queue)).Take(30), Is.EqualTo(Numbers(1, 30)));
        if (second == OverflowPolicy.Backpressure)
            await Soon(send);
    }

    [Test]
    public async Task ALaterDeclarationChangesHowMuchMemoryHolds()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 40));
        await Declare(s_small with { MaxMessages = 1_000 });
        await Send(queue, Numbers(41, 10));
        await Declare(new QueueOptions());
        await Send(queue, Numbers(51, 10));

        Assert.That(await Drain(queue), Is.EqualTo(Numbers(1, 60)));
    }

    // ---- Purge

    [Test]
    public async Task APurgeTakesWhatIsOnlyInTheStoreTooAndNothingThatIsInFlight()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 50));
        Delivery first = await Receive(queue);

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(49));
        await Send(queue, "after");

        first.Release();
        queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.EqualTo(["1", "after"]));
    }

    [Test]
    public async Task APurgeOfWhatHasNotBeenReadTakesItsFailedAttemptsAlong()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 3));
        (await Receive(queue)).Nack(TimeSpan.Zero);
        await Idle(queue);
        queue = await Reopen();

        await Soon(queue.PurgeAsync());
        await Reopen();
        await Soon(Broker.DisposeAsync());

        await using IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync();
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Attempts), StoreKey.After(StoreKind.Attempts), 10, 1_000, page);
        Assert.That(page.Records, Is.Empty);
    }

    [Test]
    public async Task APurgeThatTheStoreRefusesLeavesTheOrderAsItWas()
    {
        MessageQueue queue = await Declare(s_small);
        await Send(queue, Numbers(1, 30));
        Task<long> purge;
        Task<SendReceipt> send;
        using (CommitStall stall = Store.StallCommits())
        {
            purge = queue.PurgeAsync().AsTask();
            await Soon(stall.Entered);
            send = queue.SendAsync(Text("31")).AsTask();
            Store.RefuseCommits(1);
        }

        Assert.That(async () => await Soon(purge), Throws.InstanceOf<StoreException>());
        await Soon(send);
        Assert.That(await Drain(queue), Is.EqualTo(Numbers(1, 31)));
    }

    // ---- Opening

    [Test]
    public async Task AfterAnOpeningTheBacklogIsCountedAndNotRead()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 3_000));

        Store.Crash();
        var reads = new CountingReads(Store);
        Broker = await Open(options => options.Store = reads);
        int atOpening = reads.Messages;
        queue = Broker.GetQueue("orders");

        Assert.That(atOpening, Is.Zero);
        Assert.That((queue.GetSnapshot().Messages, queue.GetSnapshot().Counts.Recovered), Is.EqualTo((3_000, 3_000)));
        Assert.That(await Drain(queue), Is.EqualTo(Numbers(1, 3_000)));
        Assert.That(reads.Messages, Is.EqualTo(3_000), "Each was read once.");
    }

    [Test]
    public async Task ALookThatFindsNothingLoadedWaitsForThePageAndForNothingElse()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        queue = await CrashAndReopen();

        Assert.That(Text((await Soon(queue.ReceiveAsync(TimeSpan.Zero)))!), Is.EqualTo("1"));
        Assert.That(await Soon(queue.ReceiveAsync(TimeSpan.Zero)), Is.Null);
        Assert.That(await Soon(queue.ReceiveBatchAsync(5, TimeSpan.Zero)), Is.Empty);
    }

    [Test]
    public async Task ALookAtABacklogThatOnlyPausesForRetriesFindsNothing()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        await Soon((await Receive(queue)).SettleAsync(Settlement.Nack(Minute)));
        await Idle(queue);
        queue = await CrashAndReopen();

        Assert.That(await Soon(queue.ReceiveAsync(TimeSpan.Zero)), Is.Null);
        await Advance(queue, Minute);
        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(2));
    }

    [Test]
    public async Task OverManyCommitsAndOpeningsTheCountsStayTrue([Values(1, 2, 3)] int seed)
    {
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        MessageQueue queue = await Declare(s_small with { MaxMessages = 5 });
        var expected = new Queue<string>();
        int next = 0;

        for (int step = 0; step < 400; step++)
        {
            switch (random.Next(10))
            {
                case < 5:
                    await Send(queue, $"{next}");
                    expected.Enqueue($"{next++}");
                    break;
                case < 8 when expected.Count > 0:
                    Delivery delivery = await Receive(queue);
                    Assert.That(Text(delivery), Is.EqualTo(expected.Dequeue()));
                    await Soon(delivery.AckAsync());
                    break;
                case 8 when expected.Count > 0:
                    Delivery returned = await Receive(queue);
                    Assert.That(Text(returned), Is.EqualTo(expected.Peek()));
                    // Twice in a row would be slowed down.
                    await Soon(returned.SettleAsync(Settlement.Nack(TimeSpan.Zero)));
                    await Soon((await Receive(queue)).AckAsync());
                    expected.Dequeue();
                    break;
                case 9 when random.Next(10) == 0:
                    await Idle(queue);
                    queue = await CrashAndReopen();
                    break;
                default:
                    await Idle(queue);
                    break;
            }
            Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(expected.Count));
        }
        Assert.That(await Drain(queue), Is.EqualTo(expected));
    }

    // ---- Damage

    [Test]
    public async Task WhatLiesBeforeADamagedMessageIsDeliveredAndWhoeverWaitsForMoreIsTold()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 10));
        await Damage(StoreKind.Message, 6, static (batch, record) => batch.Put(record.Key, Flipped(record.Head), record.Body));

        queue = await CrashAndReopen();
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(10));
        for (int i = 1; i <= 6; i++)
            Assert.That(Text(await Receive(queue)), Is.EqualTo($"{i}"));

        Assert.That(async () => await Receive(queue), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable).And.Message.Contains("message 7 of queue 1"));
        await Send(queue, "11");
        Assert.That(async () => await Receive(queue), Throws.InstanceOf<StoreException>(), "Nothing overtakes the damaged one.");
        MessageConsumer consumer = queue.Consume(static (_, _) => ValueTask.CompletedTask);
        Assert.That(async () => await Soon(consumer.Completion), Throws.InstanceOf<StoreException>());
    }

    [Test]
    public async Task APurgeRidsAQueueOfWhatCannotBeRead()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 10));
        await Damage(StoreKind.Message, 3, static (batch, record) => batch.Put(record.Key, Flipped(record.Head), record.Body));
        queue = await CrashAndReopen();
        await Idle(queue);

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(10));
        await Send(queue, "new");

        Assert.That(await Drain(queue), Is.EqualTo(["new"]));
    }

    [Test]
    public async Task AConfirmedMessageThatIsMissingIsReported()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 10));
        await Damage(StoreKind.Message, 4, static (batch, record) => batch.Delete(record.Key));

        queue = await CrashAndReopen();
        for (int i = 0; i < 9; i++)
            await Receive(queue);

        Assert.That(async () => await Receive(queue), Throws.InstanceOf<StoreException>().With.Message.Contains("1 messages").And.Message.Contains("lost"));
    }

    [Test]
    public async Task ACommitThatIsMissingIsReportedWhenTheStoreIsOpened()
    {
        MessageQueue queue = await Declare();
        await Send(queue, Numbers(1, 10));
        await Damage(StoreKind.Delta, 4, static (batch, record) => batch.Delete(record.Key));

        Assert.That(async () => await Open(), Throws.InstanceOf<StoreException>().With.Message.Contains("missing"));
    }

    // ---- Means

    private static string[] Numbers(int first, int count) => [.. Enumerable.Range(first, count).Select(static i => $"{i}")];

    private static byte[] Flipped(ReadOnlyMemory<byte> head)
    {
        byte[] flipped = head.ToArray();
        flipped[^6] ^= 1;
        return flipped;
    }

    // Changes a record behind the broker's back.
    private async Task Damage(StoreKind kind, int index, Action<StoreBatch, StoreRecord> change)
    {
        Store.Crash();
        await using IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync();
        var page = new StorePage();
        store.Read(StoreKey.First(kind), StoreKey.After(kind), int.MaxValue, long.MaxValue, page);
        var batch = new StoreBatch();
        change(batch, page.Records[index]);
        store.Commit(batch, FlushLevel.Flushed);
    }
}
