using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Written)]
[TestFixture(Durability.Flushed)]
public class DurabilityAndStores(Durability durability) : Journey(durability)
{
    [Test]
    public async Task WithAStoreQueuesAreFlushedUnlessTheySayOtherwise()
    {
        Assert.That((await Broker.DeclareQueueAsync("a")).Options.Durability, Is.EqualTo(Durability.Flushed));
        Assert.That((await Broker.DeclareQueueAsync("b", new QueueOptions { Durability = Durability.Written })).Options.Durability, Is.EqualTo(Durability.Written));
        Assert.That((await Broker.DeclareQueueAsync("c", new QueueOptions { Durability = Durability.Transient })).Options.Durability, Is.EqualTo(Durability.Transient));
        Assert.That((await Soon(Broker.GetQueue("a").SendAsync(Text("x")))).Durability, Is.EqualTo(Durability.Flushed));
    }

    [Test]
    public async Task WithoutAStoreEveryQueueIsTransientAndADurableOneIsRefused()
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync();

        MessageQueue queue = await broker.DeclareQueueAsync("a");
        Assert.That(queue.Options.Durability, Is.EqualTo(Durability.Transient));
        Assert.That(async () => await broker.DeclareQueueAsync("b", new QueueOptions { Durability = Durability }),
            Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("Store"));
        Assert.That(broker.TryGetQueue("b", out _), Is.False);
    }

    [Test]
    public async Task WhatWasAcceptedIsThereAfterAReopeningInItsOrder()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 5_000 });
        string[] sent = [.. Enumerable.Range(0, 3_000).Select(i => $"{i}")];
        await Soon(queue.SendBatchAsync(sent.Select(Text).ToArray()));

        queue = await Reopen();

        Assert.That(queue.GetSnapshot().Counts.Recovered, Is.EqualTo(3_000));
        Assert.That(queue.Options.MaxMessages, Is.EqualTo(5_000));
        Assert.That((await ReceiveWhatIsThere(queue)).Select(Text), Is.EqualTo(sent));
    }

    [Test]
    public async Task HeadersOfEachTypeAndEverythingElseOfAMessageSurvive()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(Sending.Letter()));
        await Soon(queue.SendAsync(new Message(ReadOnlyMemory<byte>.Empty)));
        DateTimeOffset sentAt = Clock.GetUtcNow();
        Advance(Minute);

        queue = await Reopen();
        Advance(Minute);

        Delivery letter = await Receive(queue), empty = await Receive(queue);
        Sending.AssertSame(letter.Message, Sending.Letter());
        foreach ((string name, HeaderValue value) in Sending.Letter().Headers)
            Assert.That(letter.Message.Headers[name].Kind, Is.EqualTo(value.Kind), name);
        Assert.That(empty.Message.Body.Length, Is.Zero);
        Assert.That(letter.EnqueuedAt, Is.EqualTo(sentAt).Within(TimeSpan.FromMilliseconds(1)));
        Assert.That(queue.GetSnapshot().InFlight.Messages, Is.EqualTo(2));
    }

    [Test]
    public async Task PrioritiesAndNumbersSurvive()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("low").Body)));
        await Soon(queue.SendAsync(new Message(Text("high").Body) { Priority = 9 }));
        long last = (await Soon(queue.SendAsync(Text("low 2")))).Sequence;

        queue = await Reopen();

        Assert.That((await Soon(queue.SendAsync(Text("low 3")))).Sequence, Is.GreaterThan(last));
        Assert.That(await Drain(queue), Is.EqualTo(["high", "low", "low 2", "low 3"]));
    }

    [Test]
    public async Task WhatCameBackAndWhatWasScheduledKeepTheirPlacesAmongTheOthers()
    {
        MessageQueue queue = await Declare();
        var random = new Random(20261123);
        string[] names = [.. Enumerable.Range(1, 60).Select(i => $"{i}")];
        foreach (string name in names)
        {
            await Soon(queue.SendAsync(new Message(Text(name).Body)
            {
                Priority = (byte)random.Next(3),
                Delay = random.Next(3) == 0 ? TimeSpan.FromSeconds(random.Next(1, 10)) : null,
            }));
        }
        await Advance(queue, Minute);
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(names.Length, TimeSpan.Zero))
        {
            switch (random.Next(3))
            {
                case 0:
                    delivery.Nack(TimeSpan.Zero);
                    break;
                case 1:
                    delivery.Release();
                    break;
            }
        }
        await Idle(queue);

        queue = await CrashAndReopen();
        await Advance(queue, Tick);

        Delivery[] found = await ReceiveWhatIsThere(queue);
        Assert.That(found.Select(Text), Is.EquivalentTo(names));
        Assert.That(found.Select(delivery => (-delivery.Message.Priority, delivery.Sequence)), Is.Ordered);
        Assert.That(found.Select(delivery => delivery.Attempt).Distinct(), Is.EquivalentTo([1, 2]));
    }

    [Test]
    public async Task WhatWasAckedIsGoneForGood()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b", "c");
        await Soon((await Receive(queue)).AckAsync());

        queue = await CrashAndReopen();

        Assert.That(await Drain(queue), Is.EqualTo(["b", "c"]));
        queue = await CrashAndReopen();
        Assert.That(await Drain(queue), Is.Empty);
    }

    [Test]
    public async Task WhatWasInFlightWhenTheProcessEndedComesBackBeforeNewWork()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        await Receive(queue);
        await Receive(queue);

        queue = await CrashAndReopen();
        await Send(queue, "4");

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "3", "4"]));
    }

    [Test]
    public async Task APowerCutTakesNothingOfAFlushedQueueAndOnlyTheLastOfAWrittenOne()
    {
        await OpenAnew(_ => { }, new InMemoryMessageStore { TracksFlushes = true });
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");

        Store.CrashLosingUnflushed();
        await OpenAnew(_ => { });

        Assert.That(await Drain(Broker.GetQueue("orders")), Is.EqualTo(Durability == Durability.Flushed ? new[] { "a", "b" } : Array.Empty<string>()));
    }

    [Test]
    public async Task TransientQueuesAreGoneAndDurableOnesAreListedThoughNobodyDeclaredThemAgain()
    {
        await Declare();
        await Broker.DeclareQueueAsync("passing", new QueueOptions { Durability = Durability.Transient });

        await Reopen();

        Assert.That(Broker.Queues.Select(queue => queue.Name), Is.EquivalentTo(["orders"]));
    }

    [Test]
    public async Task ADeliverableMessageIsACommittedOne()
    {
        MessageQueue queue = await Declare();
        using CommitStall stall = Store.StallCommits();

        Task<SendReceipt> sending = queue.SendAsync(Text("a")).AsTask();
        await Soon(stall.Entered);
        Assert.That(sending.IsCompleted, Is.False);
        Assert.That(queue.GetSnapshot().Storing.Messages, Is.EqualTo(1));
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
        stall.Release();

        await Soon(sending);
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task MessagesOnTheirWayIntoTheStoreCountInTheLimits()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 2 });
        using CommitStall stall = Store.StallCommits();

        Task<SendReceipt>[] sends = [.. Enumerable.Range(1, 3).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
        await Soon(stall.Entered);
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(2).And.Property(nameof(QueueSnapshot.WaitingSenders)).EqualTo(1));
        Assert.That((await Soon(queue.TrySendAsync(Text("4")))).Outcome, Is.EqualTo(SendOutcome.Refused));
        stall.Release();

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "3"]));
        await Soon(Task.WhenAll(sends));
    }

    [Test]
    public async Task ACancelledTokenIsIgnoredOnceTheMessageIsAdmitted()
    {
        MessageQueue queue = await Declare();
        using var cancel = new CancellationTokenSource();
        using CommitStall stall = Store.StallCommits();

        Task<SendReceipt> sending = queue.SendAsync(Text("a"), cancel.Token).AsTask();
        await Soon(stall.Entered);
        await cancel.CancelAsync();
        Assert.That(sending.IsCompleted, Is.False);
        stall.Release();

        Assert.That((await Soon(sending)).Outcome, Is.EqualTo(SendOutcome.Accepted));
    }

    [Test]
    public async Task AnAckFreesItsPlaceWhenItIsCommitted()
    {
        MessageQueue queue = await DeclareFull(1);
        Delivery delivery = await Receive(queue);
        Task<SendReceipt> sending;
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SettleResult> acking = delivery.AckAsync().AsTask();
            await Soon(stall.Entered);
            sending = queue.SendAsync(Text("2")).AsTask();
            Assert.That((acking.IsCompleted, sending.IsCompleted, queue.GetSnapshot().Leaving.Messages), Is.EqualTo((false, false, 1)));
        }

        await Soon(sending);
    }

    // ---- Refused

    [Test]
    public async Task ASendThatTheStoreRefusesIsToldAndItsPlaceIsFreeAgain()
    {
        MessageQueue queue = await DeclareFull(2);
        (await Receive(queue)).Ack();
        await Idle(queue);
        Store.RefuseCommits();

        Assert.That(async () => await queue.SendAsync(Text("refused")),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused).And.Property(nameof(StoreException.OutcomeUnknown)).EqualTo(false));

        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(1));
        await Send(queue, "3");
        Assert.That(await Drain(queue), Is.EqualTo(["2", "3"]));
        Assert.That(Broker.Completion.IsCompleted, Is.False);
    }

    [Test]
    public async Task ARefusalWakesTheNextInLine()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 1 });
        Task<SendReceipt> refused, next;
        using (CommitStall stall = Store.StallCommits())
        {
            refused = queue.SendAsync(Text("refused")).AsTask();
            await Soon(stall.Entered);
            next = queue.SendAsync(Text("next")).AsTask();
            Store.RefuseCommits();
        }

        Assert.That(async () => await Soon(refused), Throws.InstanceOf<StoreException>());
        await Soon(next);
        Assert.That(await Drain(queue), Is.EqualTo(["next"]));
    }

    [Test]
    public async Task OneBadMessageNeverHurtsItsNeighboursInTheCommit()
    {
        MessageQueue queue = await Declare();
        Task<SendReceipt>[] sends;
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> first = queue.SendAsync(Text("0")).AsTask();
            await Soon(stall.Entered);
            sends = [first, .. Enumerable.Range(1, 20).Select(i => queue.SendAsync(Text(i == 13 ? "bad" : $"{i}")).AsTask())];
            Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation.Body.Length + operation.Head.Length > 0 && Contains(operation, "bad")));
        }

        for (int i = 0; i < sends.Length; i++)
        {
            if (i == 13)
                Assert.That(async () => await Soon(sends[13]), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused));
            else
                await Soon(sends[i]);
        }
        Store.RefuseCommits(0);
        Assert.That(await Drain(queue), Is.EqualTo(Enumerable.Range(0, 21).Where(i => i != 13).Select(i => $"{i}")));

        static bool Contains(StoreOperation operation, string text) =>
            operation.Head.Span.IndexOf(Text(text).Body.Span) >= 0 || operation.Body.Span.IndexOf(Text(text).Body.Span) >= 0;
    }

    [Test]
    public async Task AnAckThatTheStoreRefusesBringsTheMessageBack()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Store.RefuseCommits(2);

        Assert.That(async () => await (await Receive(queue)).AckAsync(), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused));
        Delivery second = await Receive(queue);
        Assert.That((second.IsRedelivered, second.Attempt), Is.EqualTo((true, 1)));
        second.Ack();
        await Idle(queue);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ARefusedPurgeLeavesEverythingAsItWas()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "ready", "retried");
        await Soon(queue.SendAsync(new Message(Text("scheduled").Body) { Delay = Minute }));
        IReadOnlyList<Delivery> both = await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        both[1].Nack(Minute);
        both[0].Release();
        await Idle(queue);
        QueueSnapshot before = queue.GetSnapshot();
        Store.RefuseCommits();

        Assert.That(async () => await queue.PurgeAsync(), Throws.InstanceOf<StoreException>());

        Assert.That(queue.GetSnapshot(), Is.EqualTo(before));
        Assert.That(await Drain(queue), Is.EqualTo(["ready"]));
        await Advance(queue, Minute);
        Assert.That(await Drain(queue), Is.EqualTo(["retried", "scheduled"]));
    }

    [Test]
    public async Task APurgeIsForGood()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b", "kept");
        await Soon(queue.SendAsync(new Message(Text("scheduled").Body) { Delay = Minute }));
        IReadOnlyList<Delivery> taken = await queue.ReceiveBatchAsync(3, TimeSpan.Zero);
        taken[0].Nack(Minute);
        taken[1].Release();

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(3));

        Assert.That(queue.GetSnapshot().Counts.Purged, Is.EqualTo(3));
        queue = await CrashAndReopen();
        await Advance(queue, Minute);
        Assert.That(await Drain(queue), Is.EqualTo(["kept"]));
    }

    [Test]
    public async Task ADeclarationThatTheStoreRefusesNeverWas()
    {
        Store.RefuseCommits();
        Assert.That(async () => await Declare(), Throws.InstanceOf<StoreException>());
        Assert.That(Broker.TryGetQueue("orders", out _), Is.False);

        MessageQueue queue = await Declare();
        await Send(queue, "a");
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ARedeclarationThatTheStoreRefusesLeavesTheQueueAsItWas()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 5 });
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        Store.RefuseCommits();

        Assert.That(async () => await Declare(new QueueOptions { MaxMessages = 7 }), Throws.InstanceOf<StoreException>());

        Assert.That(Broker.GetQueue("orders"), Is.SameAs(queue));
        Assert.That(queue.Options.MaxMessages, Is.EqualTo(5));
        Assert.That(delivery.Release(), Is.EqualTo(SettleResult.Settled));
        await Send(queue, "b");
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task ADeletionThatTheStoreRefusesLeavesTheQueueWithWhatWasInIt()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        await Receive(queue);
        await Soon(queue.SendAsync(new Message(Text("later").Body) { Delay = Minute }));
        Store.RefuseCommits();

        Assert.That(async () => await Broker.DeleteQueueAsync("orders"), Throws.InstanceOf<StoreException>());
        Assert.That(Broker.GetQueue("orders"), Is.SameAs(queue));
        await Send(queue, "c");
        Assert.That(await Drain(queue), Is.EqualTo(["a", "b", "c"]));
        await Advance(queue, Minute);
        Assert.That(await Drain(queue), Is.EqualTo(["later"]));

        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")));
        await Soon(Broker.DisposeAsync());
        await OpenAnew(_ => { });
        Assert.That(Broker.Queues, Is.Empty);
    }

    [Test]
    public async Task WhoDeclaresAQueueWhoseDeletionIsUnderWayGetsANewOneOrTheOldOneBack([Values] bool refused)
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Task<bool> deleting;
        Task<MessageQueue> declaring;
        using (CommitStall stall = Store.StallCommits())
        {
            deleting = Broker.DeleteQueueAsync("orders").AsTask();
            await Soon(stall.Entered);
            declaring = Declare();
            Store.RefuseCommits(refused ? 1 : 0);
        }

        if (refused)
            Assert.That(async () => await Soon(deleting), Throws.InstanceOf<StoreException>());
        else
            await Soon(deleting);
        Assert.That(await Soon(declaring), refused ? Is.SameAs(queue) : Is.Not.SameAs(queue));
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(refused ? new[] { "a" } : Array.Empty<string>()));
    }

    // ---- Failed

    [TestCase(true)]
    [TestCase(false)]
    public async Task AFailedCommitHasAnUnknownOutcomeAndStopsDurableQueuesWhileTransientOnesGoOn(bool written)
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 3 });
        MessageQueue passing = await Broker.DeclareQueueAsync("passing", new QueueOptions { Durability = Durability.Transient });
        await Send(queue, "before", "held");
        await Send(passing, "a");
        MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out Delivery? before));
        Delivery held = await Receive(queue);
        MessageConsumer consumer = queue.Consume((_, _) => default);
        Task<Delivery> receiving = queue.ReceiveAsync().AsTask();
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
        await Idle(queue);
        Store.FailNextCommit(written);

        Task<SendReceipt> sending = queue.SendAsync(Text("unknown")).AsTask();
        Task<SendReceipt> second = queue.SendAsync(Text("waits for room")).AsTask();

        Assert.That(async () => await Soon(sending), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).EqualTo(true));
        Assert.That(async () => await Soon(Broker.Completion), Throws.InstanceOf<StoreException>());
        Assert.Multiple(() =>
        {
            Assert.That(async () => await Soon(second), Throws.InstanceOf<StoreException>());
            Assert.That(async () => await Soon(receiving), Throws.InstanceOf<StoreException>());
            Assert.That(async () => await Soon(waiting), Throws.InstanceOf<StoreException>());
            Assert.That(async () => await Soon(consumer.Completion), Throws.InstanceOf<StoreException>());
            Assert.That(async () => await queue.SendAsync(Text("x")), StoppedStore);
            Assert.That(async () => await queue.TrySendAsync(Text("x")), StoppedStore);
            Assert.That(async () => await queue.ReceiveAsync(TimeSpan.Zero), StoppedStore);
            Assert.That(async () => await queue.ReceiveBatchAsync(1, TimeSpan.Zero), StoppedStore);
            Assert.That(async () => await queue.PurgeAsync(), StoppedStore);
            Assert.That(() => receiver.TryReceive(out _), StoppedStore);
            Assert.That(() => held.Ack(), StoppedStore);
            Assert.That(async () => await held.AckAsync(), StoppedStore);
            Assert.That(async () => await Declare("another"), StoppedStore);
        });
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Faulted));

        await Send(passing, "b");
        Assert.That(await Drain(passing), Is.EqualTo(["a", "b"]));
        Assert.That((await Broker.DeclareQueueAsync("transient too", new QueueOptions { Durability = Durability.Transient })).Name, Is.EqualTo("transient too"));

        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(written ? new[] { "before", "held", "unknown" } : new[] { "before", "held" }));
    }

    private static NUnit.Framework.Constraints.IResolveConstraint StoppedStore =>
        Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped).And.Property(nameof(StoreException.OutcomeUnknown)).EqualTo(false);

    [Test]
    public async Task TimeGoesOnHarmlesslyAfterTheStoreHasStopped()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1, LeaseDuration = Second });
        MessageQueue passing = await Broker.DeclareQueueAsync("passing", new QueueOptions { Durability = Durability.Transient });
        await Send(queue, "in flight", "delayed");
        await Send(passing, "a");
        IReadOnlyList<Delivery> both = await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        Delivery transient = await Receive(passing);
        await Soon(queue.SendAsync(new Message(Text("scheduled").Body) { Delay = 5 * Second }));
        Store.FailNextCommit(written: false);
        Assert.That(async () => await both[1].AckAsync(), Throws.InstanceOf<StoreException>());
        Assert.That(async () => await Soon(Broker.Completion), Throws.InstanceOf<StoreException>());

        for (int i = 0; i < 20; i++)
            await Advance(queue, 3 * Second);

        Assert.That(both[0].LeaseLost.IsCancellationRequested);
        Assert.That(transient.LeaseLost.IsCancellationRequested, "the timer of the transient queues runs");
        Audit(queue);
        queue = await Reopen();
        Advance(TimeSpan.Zero);
        Assert.That(await Drain(queue), Is.EqualTo(["in flight", "delayed", "scheduled"]));
    }

    [Test]
    public async Task AfterARefusalInACommitThatFailsInPartEverybodyIsAnswered()
    {
        MessageQueue queue = await Declare();
        Task<SendReceipt>[] sends;
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> first = queue.SendAsync(Text("0")).AsTask();
            await Soon(stall.Entered);
            sends = [first, .. Enumerable.Range(1, 9).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
            // The gathered batch is refused, then each is tried alone; the first of those fails.
            Store.RefuseCommits(1, batch =>
            {
                bool many = batch.Operations.Length > 5;
                if (many)
                    Store.FailNextCommit(written: false);
                return many;
            });
        }

        await Soon(sends[0]);
        foreach (Task<SendReceipt> send in sends[1..])
            Assert.That(async () => await Soon(send), Throws.InstanceOf<StoreException>());
        Assert.That(async () => await Soon(Broker.Completion), Throws.InstanceOf<StoreException>());
        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["0"]));
    }

    [TestCase(StoreKind.Meta, 0, "format")]
    [TestCase(StoreKind.Meta, 1, "last queue id")]
    [TestCase(StoreKind.Delta, 0, "commit")]
    [TestCase(StoreKind.Queue, 0, "queue 1")]
    [TestCase(StoreKind.Attempts, 0, "message 2 of queue 1")]
    public async Task ARecordThatIsDamagedOrNotTheOneOfItsKeyIsNamedWhenTheStoreIsOpened(StoreKind kind, int index, string named)
    {
        MessageQueue queue = await Declare();
        await Declare("another");
        await Send(queue, "1", "2");
        await Soon(queue.SendAsync(new Message(Text("3").Body) { Delay = Minute }));
        await Receive(queue);
        await Soon((await Receive(queue)).SettleAsync(Settlement.Nack(Minute)));
        Store.Crash();
        await using (IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync())
        {
            var page = new StorePage();
            store.Read(StoreKey.First(kind), StoreKey.After(kind), 10, long.MaxValue, page);
            StoreRecord record = page.Records[index];
            byte[] head = record.Head.ToArray();
            head[^5] ^= 1;
            var batch = new StoreBatch();
            batch.Put(record.Key, head, record.Body);
            store.Commit(batch, FlushLevel.Flushed);
        }

        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = Store }),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable).And.Message.Contains(named).And.Message.Contains("backup"));
    }

    [TestCase(StoreKind.Queue)]
    [TestCase(StoreKind.Attempts)]
    public async Task ARecordUnderTheKeyOfAnotherIsRefusedWhenTheStoreIsOpened(StoreKind kind)
    {
        MessageQueue queue = await Declare();
        await Declare("another");
        await Send(queue, "1", "2");
        await Soon(queue.SendAsync(new Message(Text("3").Body) { Delay = Minute }));
        await Soon((await Receive(queue)).SettleAsync(Settlement.Nack(Minute)));
        Store.Crash();
        await using (IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync())
        {
            var page = new StorePage();
            store.Read(StoreKey.First(kind), StoreKey.After(kind), 10, long.MaxValue, page);
            StoreRecord record = page.Records[0];
            var batch = new StoreBatch();
            batch.Put(record.Key with { Queue = 2 }, record.Head, record.Body);
            store.Commit(batch, FlushLevel.Flushed);
        }

        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = Store }),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable).And.Message.Contains("queue 2").And.Message.Contains("backup"));
    }

    [Test]
    public async Task MessagesThatGotOtherNumbersAfterARefusalAreReadable()
    {
        MessageQueue queue = await Declare();
        Task<SendReceipt>[] sends;
        using (CommitStall stall = Store.StallCommits())
        {
            sends = [.. Enumerable.Range(1, 5).Select(i => queue.SendAsync(Text($"{i}")).AsTask())];
            await Soon(stall.Entered);
            // Whatever is committed together is refused, and then tried one by one.
            Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Count(operation => operation.Key.Kind == StoreKind.Message) > 1);
        }
        await Soon(Task.WhenAll(sends));
        Store.RefuseCommits(0);

        queue = await CrashAndReopen();

        Assert.That(await Drain(queue), Is.EqualTo(["1", "2", "3", "4", "5"]));
    }

    [Test]
    public async Task AStoreThatIsOpenElsewhereIsRefusedAndNothingIsLost()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = Store }), Throws.InstanceOf<StoreException>().With.Message.Contains("another broker"));

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    // ---- At most once, deletion, and threads of their own

    [Test]
    public async Task AtMostOnceNeverComesTwiceEvenAfterACrash()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { AtMostOnce = true });
        Assert.That(await Soon(receiver.WaitToReceiveAsync()));
        Assert.That(receiver.TryReceive(out Delivery? delivery));
        Assert.That(Text(delivery!), Is.EqualTo("a"));

        queue = await CrashAndReopen();

        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task AtMostOnceHandsOverNothingBeforeTheDeletionIsCommitted()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { AtMostOnce = true });
        Task<bool> waiting;
        using (CommitStall stall = Store.StallCommits())
        {
            waiting = receiver.WaitToReceiveAsync().AsTask();
            await Soon(stall.Entered);
            Assert.That(waiting.IsCompleted, Is.False);
            Assert.That(receiver.TryReceive(out _), Is.False);
            Assert.That(queue.GetSnapshot().Leaving.Messages, Is.EqualTo(1));
        }
        Assert.That(await Soon(waiting));
        Assert.That(receiver.TryReceive(out Delivery? delivery));
        Assert.That(Text(delivery!), Is.EqualTo("a"));
    }

    [Test]
    public async Task ADeletedQueueIsGoneWithEverythingInIt()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        await Soon(queue.SendAsync(new Message(Text("c").Body) { Delay = Minute }));
        (await Receive(queue)).Nack();

        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")));
        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")), Is.False);
        queue = await Declare();
        await Send(queue, "new");

        queue = await CrashAndReopen();
        await Advance(queue, TimeSpan.FromHours(1));
        Assert.That(await Drain(queue), Is.EqualTo(["new"]));
    }

    [Test]
    public async Task AStoreThatBlocksHasAThreadOfItsOwn()
    {
        await OpenAnew(_ => { }, new InMemoryMessageStore { CommitBlocks = true });
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });

        await Soon(Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(async () =>
        {
            for (int i = 0; i < 100; i++)
                await queue.SendAsync(Text($"{i}"));
        }))));
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(400, TimeSpan.Zero))
            Assert.That(await Soon(delivery.AckAsync()), Is.EqualTo(SettleResult.Settled));

        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(400));
        queue = await Reopen();
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }
}
