using Microsoft.Extensions.Logging;
using QueueKit.Stores;
using QueueKit.Tests.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>The process ends in the midst of it, and another one opens the store: what the witness beside the store has kept.</summary>
[TestFixture(Durability.Written)]
[TestFixture(Durability.Flushed)]
public sealed class Crashes(Durability durability) : Journey(durability), IDisposable
{
    private readonly TestFolder _folder = new();
    // Handlers that have ended the process hang here until the test is over.
    private readonly TaskCompletionSource _afterlife = Signal();
    private readonly LoggedLines _log = new();
    private Witness _witness = null!;

    private string StorePath => _folder.File("queue.db");

    private string WitnessPath => StorePath + "-witness";

    [SetUp]
    public async Task OpenWithAWitness() => await OpenAnew(Watched, NewStore());

    [TearDown]
    public void LetTheDeadGo() => _afterlife.TrySetResult();

    public void Dispose() => _folder.Delete();

    // ---- Marked

    [Test]
    public async Task WhatConsumersHadComesBackFirstAndMarkedAndNobodyElseIs()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3", "4");
        await Receive(queue);
        await Receive(queue);

        queue = await Crash();
        await Send(queue, "5");

        Assert.That(await DrainMarked(queue), Is.EqualTo(["1!", "2!", "3", "4", "5"]));
    }

    [Test]
    public async Task PrioritiesKeepTheirOrderAndDeliveriesTheirMark()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "low");
        await Soon(queue.SendAsync(new Message(Text("high").Body) { Priority = 9 }));
        await Soon(queue.SendAsync(new Message(Text("middle").Body) { Priority = 5 }));
        await Receive(queue);
        await Receive(queue);

        Assert.That(await DrainMarked(await Crash()), Is.EqualTo(["high!", "middle!", "low"]));
    }

    [Test]
    public async Task AScheduledMessageIsMarkedAndChargedLikeAnyOther()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("later").Body) { Delay = Minute }));
        await Advance(queue, Minute);
        await Receive(queue);

        queue = await Crash();
        await Advance(queue, Tick);

        Delivery delivery = await Receive(queue);
        Assert.That((Text(delivery), delivery.IsRedelivered, delivery.Attempt), Is.EqualTo(("later", true, 2)));
    }

    [Test]
    public async Task WhatIsOnlySetAsideForAReceiverWasNotDelivered()
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(1, 40).Select(i => $"{i}")]);
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.That(receiver.TryReceive(out _), Is.True);
        Assert.That(OnRecord(SlotState.Offered), Is.GreaterThan(1));

        queue = await Crash();

        Assert.That((await DrainMarked(queue)).Where(body => body.EndsWith('!')), Is.EqualTo(["1!"]));
    }

    [Test]
    public async Task WhatAReceiverTookFromItsHandWas()
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(1, 40).Select(i => $"{i}")]);
        await using MessageReceiver receiver = queue.OpenReceiver();
        for (int i = 0; i < 4; i++)
            Assert.That(receiver.TryReceive(out _), Is.True);

        Assert.That((await DrainMarked(await Crash())).Where(body => body.EndsWith('!')), Is.EqualTo(["1!", "2!", "3!", "4!"]));
    }

    [Test]
    public async Task WhatIsSettledLeavesTheRecordWhenTheStoreHasHeardOfIt()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "ack", "nack", "release", "reject");
        Delivery[] held = [.. await queue.ReceiveBatchAsync(4, TimeSpan.Zero)];
        using (CommitStall stall = Store.StallCommits())
        {
            held[0].Ack();
            held[1].Nack(Minute);
            held[2].Release();
            held[3].Reject("no");
            Assert.That((OnRecord(SlotState.Started), OnRecord(SlotState.Seen)), Is.EqualTo((0, 2)), "The ack and the dead letter are not committed.");
            await Soon(stall.Entered);
        }
        await Idle(queue);

        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AnAckThatTheStoreHadNotHeardOfBringsTheMessageBackButBlamesNobody()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "1", "2");
        Delivery delivery = await Receive(queue);
        using CommitStall stall = Store.StallCommits();
        delivery.Ack();
        await Soon(stall.Entered);

        queue = await Crash();

        Assert.That(await Attempts(queue), Is.EqualTo(["1! 1", "2 1"]));
    }

    [Test]
    public async Task AnAtMostOnceConsumerLeavesNoTrace()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { AtMostOnce = true });
        Assert.That(await Soon(receiver.WaitToReceiveAsync()), Is.True);
        Assert.That(receiver.TryReceive(out _), Is.True);

        Assert.That(OnRecord(), Is.Empty);
        Assert.That(await DrainMarked(await Crash()), Is.EqualTo(["2"]));
    }

    [Test]
    public async Task TransientQueuesAreNoneOfItsBusiness()
    {
        MessageQueue queue = await Broker.DeclareQueueAsync("passing", new QueueOptions { Durability = Durability.Transient });
        await Send(queue, "1");
        await Receive(queue);

        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AGoodEndBlamesNobodyAndRemembersWhoHadWhat()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "1", "2");
        await Receive(queue);

        await OpenAnew(Watched);
        Assert.That(_witness.WasClean, Is.True);

        Assert.That(await Attempts(Broker.GetQueue("orders")), Is.EqualTo(["1! 1", "2 1"]));
    }

    [Test]
    public async Task AMarkThatNobodyHasSeenYetOutlivesFurtherEnds([Values] bool inGoodOrder)
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        await Receive(queue);
        await Receive(queue);
        await Crash();
        for (int i = 0; i < 3; i++)
        {
            if (inGoodOrder)
                await OpenAnew(Watched);
            else
                await Crash();
        }

        Assert.That(await DrainMarked(Broker.GetQueue("orders")), Is.EqualTo(["1!", "2!", "3"]));
        await Idle(Broker.GetQueue("orders"));
        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AMarkOutlivesAnOfferThatNobodyTook([Values] bool takenBack)
    {
        MessageQueue queue = await Declare();
        await Send(queue, [.. Enumerable.Range(1, 40).Select(i => $"{i}")]);
        await queue.ReceiveBatchAsync(40, TimeSpan.Zero);
        await OpenAnew(Watched);
        queue = Broker.GetQueue("orders");
        await using (MessageReceiver receiver = queue.OpenReceiver())
        {
            Assert.That(await Soon(receiver.WaitToReceiveAsync()), Is.True);
            Assert.That(receiver.TryReceive(out _), Is.True);
            Assert.That(receiver.TryReceive(out _), Is.True);
            Assert.That(OnRecord(SlotState.OfferedAgain), Is.GreaterThan(1));
            if (takenBack)
                await receiver.DisposeAsync();
            queue = await Crash();
        }

        Assert.That((await DrainMarked(queue)).Select(body => body[^1]), Has.Exactly(40).EqualTo('!'));
        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task WhatIsDroppedToMakeRoomLeavesTheRecord()
    {
        MessageQueue queue = await DeclareFull(3, new QueueOptions { Overflow = OverflowPolicy.DropOldest });
        await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        await OpenAnew(Watched);
        queue = Broker.GetQueue("orders");
        await Send(queue, "4", "5", "6");

        Assert.That(await DrainMarked(queue), Is.EqualTo(["4", "5", "6"]));
        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task ATransactionIsOnRecordUntilItIsCommittedAndAgainIfItIsRefused()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        Delivery first = await Receive(queue), second = await Receive(queue);
        Store.RefuseCommits(1);
        await using (BrokerTransaction refused = Broker.BeginTransaction())
        {
            refused.Settle(first, Settlement.Ack);
            Assert.That(async () => await refused.CommitAsync(), Throws.InstanceOf<StoreException>());
        }
        Assert.That(OnRecord(SlotState.Started), Is.EqualTo(2));
        await using (BrokerTransaction committed = Broker.BeginTransaction())
        {
            committed.Settle(first, Settlement.Ack);
            committed.Settle(second, Settlement.Release);
            await Soon(committed.CommitAsync());
        }
        await Idle(queue);

        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AfterAPowerCutEverythingIsMarkedAndNobodyIsCharged()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "1", "2", "3");
        await Receive(queue);

        queue = await PowerCut();
        Assert.That(_log.Lines, Has.Some.Contains("counts as maybe delivered before"));
        await Send(queue, "4");
        Delivery[] both = [await Receive(queue), await Receive(queue)];
        Assert.That(both.Select(delivery => (Text(delivery), delivery.Attempt)), Is.EqualTo([("1", 1), ("2", 1)]), "Nobody is suspect: they are out together.");
        Array.ForEach(both, delivery => delivery.Release());

        queue = await PowerCut();
        queue = await Crash();
        Assert.That(await Attempts(queue), Is.EqualTo(["1! 1", "2! 1", "3! 1", "4! 1"]));
    }

    [Test]
    public async Task AMissingWitnessIsSaidAndMakesEverythingDoubtful()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        Store.Crash();
        File.Delete(WitnessPath);

        Broker = await Open(Watched);

        Assert.That(_log.Lines, Has.Some.Contains("is missing beside a store that exists").And.Some.Contains(WitnessPath));
        await Send(Broker.GetQueue("orders"), "3");
        Assert.That(await DrainMarked(Broker.GetQueue("orders")), Is.EqualTo(["1!", "2!", "3"]));
    }

    // ---- Blamed

    [Test]
    public async Task AMessageThatEndsTheProcessAloneIsDeadLetteredAfterSoManyDeaths()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 3 });
        await Send(queue, "poison");
        for (int attempt = 1; attempt <= 3; attempt++)
        {
            Delivery delivery = await Receive(queue);
            Assert.That((delivery.Attempt, delivery.IsRedelivered), Is.EqualTo((attempt, attempt > 1)));
            queue = await Crash();
        }

        Assert.That(await IsQuiet(queue), Is.True);
        Delivery letter = (await DeadLettersOf(queue)).Single();
        Assert.That(Text(letter), Is.EqualTo("poison"));
        Assert.That(letter.DeadLetter, Has.Property(nameof(DeadLetterInfo.Reason)).EqualTo(DeadLetterReasons.AttemptsExhausted)
            .And.Property(nameof(DeadLetterInfo.Attempts)).EqualTo(3)
            .And.Property(nameof(DeadLetterInfo.Description)).EqualTo("3 of 3 attempts failed, and each ended the process")
            .And.Property(nameof(DeadLetterInfo.LastError)).Contains("The process ended"));
        Assert.That(_log.Lines, Has.Exactly(3).Contains("no other message can be the reason"));
        queue = await Crash();
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AScheduledMessageThatIsDueWhenTheStoreIsOpenedIsNotTriedOnceMoreThanItMay()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Soon(queue.SendAsync(new Message(Text("poison").Body) { Delay = Minute }));
        await Advance(queue, Minute);
        await Receive(queue);

        Store.Crash();
        // Time goes on while the store is being opened: all is read, and the death is about to be judged.
        Broker = await Open(options =>
        {
            Watched(options);
            options.LoggerFactory = new LogHook(line =>
            {
                if (line.Contains("come back marked"))
                    Advance(Second);
            });
        });
        queue = Broker.GetQueue("orders");
        await Advance(queue, Second);

        Assert.That(await IsQuiet(queue), Is.True);
        Assert.That(Text((await DeadLettersOf(queue)).Single()), Is.EqualTo("poison"));
    }

    [Test]
    public async Task AQueueThatDropsItsOldestIsOpenedThoughOneOfThemHasEndedTheProcessTooOften()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1, Overflow = OverflowPolicy.DropOldest });
        await Send(queue, "poison");
        await Receive(queue);

        queue = await Crash();

        Assert.That(await IsQuiet(queue), Is.True);
        Assert.That(Text((await DeadLettersOf(queue)).Single()), Is.EqualTo("poison"));
    }

    [Test]
    public async Task DeathsAndOrdinaryFailuresAddUp()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 3 });
        await Send(queue, "poison");
        (await Receive(queue)).Nack(TimeSpan.Zero, new FormatException("no number"));
        await Idle(queue);
        for (int i = 0; i < 2; i++)
        {
            await Receive(queue);
            queue = await Crash();
        }

        Assert.That(await IsQuiet(queue), Is.True);
        Assert.That((await DeadLettersOf(queue)).Single().DeadLetter!.Description, Is.EqualTo("3 of 3 attempts failed, and 2 of them ended the process"));
    }

    [Test]
    public async Task WhatHasEndedTheProcessTooOftenIsDiscardedWhereNothingIsKept()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1, DeadLetterOn = DeadLetterReasons.None });
        await Send(queue, "poison");
        await Receive(queue);

        queue = await Crash();

        Assert.That(await IsQuiet(queue), Is.True);
        // The look that found nothing set the discard off; it counts when it is committed.
        await Idle(queue);
        Assert.That(queue.GetSnapshot().Counts.Discarded, Is.EqualTo(1));
        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AmongSeveralNobodyIsChargedAndTheyAreHandedOutOneAtATime()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "1", "2", "3", "4", "5", "6");
        Assert.That(await queue.ReceiveBatchAsync(3, TimeSpan.Zero), Has.Count.EqualTo(3));

        queue = await Crash();

        Delivery first = await Receive(queue), other = await Receive(queue);
        Assert.That((Text(first), first.Attempt, Text(other), other.Attempt), Is.EqualTo(("1", 1, "4", 1)));
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(6));
        Assert.That((queue.GetSnapshot().Ready.Messages, queue.GetSnapshot().InFlight.Messages), Is.EqualTo((4, 2)));
        first.Ack();
        Delivery second = await Receive(queue);
        Assert.That((Text(second), second.IsRedelivered), Is.EqualTo(("2", true)));
        Assert.That(Text(await Receive(queue)), Is.EqualTo("5"));
        second.Release();
        Assert.That(Text(await Receive(queue)), Is.EqualTo("3"), "The released one has proved harmless: it waits among the others, but no longer for its turn.");
        Assert.That(Text(await Receive(queue)), Is.EqualTo("2"));
    }

    [Test]
    public async Task OfSeveralTheOneThatWasSuspectBeforeIsCharged()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "poison", "2", "3", "4");
        Assert.That(await queue.ReceiveBatchAsync(2, TimeSpan.Zero), Has.Count.EqualTo(2));
        queue = await Crash();
        Assert.That((await queue.ReceiveBatchAsync(4, TimeSpan.Zero)).Select(Text), Is.EqualTo(["poison", "3", "4"]));

        queue = await Crash();

        Assert.That(await Attempts(queue), Is.EqualTo(["2! 1", "3! 1", "4! 1"]));
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["poison"]));
    }

    [Test]
    public async Task SuspectsOfAllQueuesTakeTurns()
    {
        MessageQueue orders = await Declare("orders"), bills = await Declare("bills");
        await Send(orders, "order");
        await Send(bills, "bill", "next bill");
        await Receive(orders);
        await Receive(bills);

        orders = await Crash();
        bills = Broker.GetQueue("bills");
        Delivery order = await Receive(orders);
        Assert.That(Text(await Receive(bills)), Is.EqualTo("next bill"));
        Task<Delivery> waiting = bills.ReceiveAsync().AsTask();
        await Idle(bills);
        Assert.That(waiting.IsCompleted, Is.False);
        order.Ack();

        Assert.That(Text(await Soon(waiting)), Is.EqualTo("bill"));
    }

    [Test]
    public async Task ASuspectWhoseLeaseTimesOutOrWhoseConsumerStopsMakesRoomForTheNext([Values] bool stops)
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = Minute });
        await Send(queue, "1", "2");
        await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        queue = await Crash();
        if (stops)
        {
            MessageReceiver receiver = queue.OpenReceiver();
            Task<bool> wait = receiver.WaitToReceiveAsync().AsTask();
            await Soon(wait);
            Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
            await receiver.DisposeAsync();
            Assert.That(Text(await Receive(queue)), Is.EqualTo("1"), "Nobody has had it: it is suspect still, and first.");
            Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
            return;
        }
        await Receive(queue);
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
        await Advance(queue, Minute);
        Assert.That(Text(await Receive(queue)), Is.EqualTo("2"));
        Assert.That(Text(await Receive(queue)), Is.EqualTo("1"));
    }

    [Test]
    public async Task ANewcomerIsServedWhileASuspectWaitsForItsTurn()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        queue = await Crash();
        await Receive(queue);
        Task<Delivery> waiting = queue.ReceiveAsync().AsTask();
        await Idle(queue);
        Assert.That(waiting.IsCompleted, Is.False);

        await Send(queue, "3");

        Assert.That(Text(await Soon(waiting)), Is.EqualTo("3"));
    }

    [Test]
    public async Task SuspectsCanBePurged()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        await queue.ReceiveBatchAsync(2, TimeSpan.Zero);
        queue = await Crash();
        (await Receive(queue)).Release();
        await Idle(queue);

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(3));
        Assert.That(await DrainMarked(await Crash()), Is.Empty);
    }

    [Test]
    public async Task SuspectsOfADeletedQueueAreForgotten()
    {
        MessageQueue queue = await Declare("doomed");
        await Send(queue, "1");
        await Receive(queue);
        await Soon(Broker.DeleteQueueAsync("doomed"));
        await Declare();

        await Crash();
        await Declare("doomed");

        Assert.That(OnRecord(), Is.Empty);
    }

    [Test]
    public async Task AHandlerThatEndsTheProcessCostsItsMessageAndNobodyElse()
    {
        const int Messages = 60;
        const int Deadly = 17;
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 3 });
        await Send(queue, [.. Enumerable.Range(1, Messages).Select(i => $"{i}")]);
        var seen = new List<(int Number, int Attempt, bool IsRedelivered)>();
        int deaths = 0;
        for (TaskCompletionSource died = Signal(); ; died = Signal())
        {
            InMemoryMessageStore mine = Store;
            bool isDead = false;
            queue.Consume(async (delivery, _) =>
            {
                int number = int.Parse(Text(delivery), System.Globalization.CultureInfo.InvariantCulture);
                await Task.Yield();
                lock (seen)
                {
                    if (!isDead && number == Deadly)
                    {
                        isDead = true;
                        seen.Add((number, delivery.Attempt, delivery.IsRedelivered));
                        mine.Crash();
                        died.SetResult();
                    }
                    else if (!isDead)
                    {
                        seen.Add((number, delivery.Attempt, delivery.IsRedelivered));
                    }
                }
                if (isDead)
                    await _afterlife.Task;
            }, new ConsumeOptions { Concurrency = 4 });
            MessageQueue watched = queue;
            await Until(() => died.Task.IsCompleted || watched.GetSnapshot().Messages == 0);
            if (!died.Task.IsCompleted)
                break;
            deaths++;
            Broker = await Open(Watched);
            queue = Broker.GetQueue("orders");
        }

        await Idle(queue);
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo([$"{Deadly}"]));
        // The first death may have had company.
        Assert.That(deaths, Is.InRange(3, 4));
        Assert.That(seen.Where(one => one.Number != Deadly).Select(one => one.Attempt), Is.All.EqualTo(1), "Nobody else is charged.");
        Assert.That(seen.Where(one => one.Number != Deadly).Select(one => one.Number).Distinct(), Is.EquivalentTo(Enumerable.Range(1, Messages).Where(i => i != Deadly)), "Nobody else is lost.");
        Assert.That(seen.GroupBy(one => one.Number).SelectMany(ofOne => ofOne.Skip(1)).Select(one => one.IsRedelivered), Is.All.True, "What comes twice is marked.");
    }

    [Test]
    public async Task AFullDiskAtOpeningChargesNobodyAndKeepsNobodyOut()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        await Receive(queue);
        Store.Crash();
        Store.RefuseCommits(1);

        Broker = await Open(Watched);

        Assert.That(await Attempts(Broker.GetQueue("orders")), Is.EqualTo(["1! 1"]));
    }

    // ---- Refused

    [Test]
    public async Task TheNumberOfTheLastCommitIsOnRecordBeforeAnybodyHearsOfIt()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1");

        Assert.That(_witness.WrittenCommit, Is.EqualTo(Broker.Pipeline!.CommitNumber).And.GreaterThan(1));
        Assert.That(_witness.FlushedCommit, Is.EqualTo(Durability == Durability.Flushed ? _witness.WrittenCommit : _witness.WrittenCommit - 1), "Only the declaration was flushed.");
    }

    [Test]
    public async Task AStoreThatHasLostCommitsIsRefusedUntilItIsGivenUp()
    {
        await OpenAnew(Watched, NewStore(tracksFlushes: true, path: "other.db"));
        MessageQueue queue = await Broker.DeclareQueueAsync("orders", new QueueOptions { Durability = Durability.Written });
        await Send(queue, "1", "2");

        // The machine runs on, and the store has lost what was written: no power cut explains that.
        Store.CrashLosingUnflushed();
        StoreException error = (await Assert.ThrowsAsync<StoreException>(async () => await Open()))!;
        Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(error.Message, Does.Contain("2 confirmed commits are missing").And.Contain(_folder.File("other.db")).And.Contain("backup"));
        await Assert.ThrowsAsync<StoreException>(async () => await Open(), "It is no better the second time.");

        File.Delete(_folder.File("other.db-witness"));
        Broker = await Open();
        Assert.That(await Drain(Broker.GetQueue("orders")), Is.Empty);
    }

    [Test]
    public async Task APowerCutMayTakeWhatWasOnlyWritten()
    {
        await OpenAnew(Watched, NewStore(tracksFlushes: true, path: "other.db"));
        MessageQueue queue = await Broker.DeclareQueueAsync("orders", new QueueOptions { Durability = Durability.Written });
        await Send(queue, "1", "2");
        Store.CrashLosingUnflushed();
        Store.Boot = Guid.NewGuid();

        Broker = await Open(Watched);

        queue = Broker.GetQueue("orders");
        Assert.That(await Drain(queue), Is.Empty);
        await Send(queue, "3");
        Assert.That(await Drain(await Crash()), Is.EqualTo(["3"]), "The numbers begin anew where the store ends.");
    }

    [Test]
    public async Task AStoreThatWasExchangedForANewOneIsRefused()
    {
        await Send(await Declare(), "1");
        Store.Crash();

        StoreException error = (await Assert.ThrowsAsync<StoreException>(async () => await OpenAnew(Watched, NewStore())))!;
        Assert.That(error.Message, Does.Contain("gone altogether"));
        File.Delete(WitnessPath);
    }

    [Test]
    public async Task AFailedCommitIsRememberedAndTheStoreRefusedUntilItIsRepaired([Values] bool written)
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        Store.FailNextCommit(written);
        Assert.That(async () => await queue.SendAsync(Text("2")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Failed));
        await Assert.ThrowsAsync<StoreException>(async () => await Soon(Broker.Completion));
        await Soon(Broker.DisposeAsync());

        StoreException error = (await Assert.ThrowsAsync<StoreException>(async () => await Open()))!;
        Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(error.Message, Does.Contain("not to be believed").And.Contain("on a test's demand").And.Contain("repair it first"));

        using (Witness repair = Witness.Open(StorePath, storeExists: true, forRepair: true, Clock, Store.Boot))
            repair.ClearPoison();
        Broker = await Open(Watched);
        Assert.That(await Drain(Broker.GetQueue("orders")), Is.EqualTo(written ? ["1", "2"] : new[] { "1" }));
    }

    [Test]
    public async Task ARefusedCommitIsNothingToRemember()
    {
        MessageQueue queue = await Declare();
        Store.RefuseCommits();
        Assert.That(async () => await queue.SendAsync(Text("1")), Throws.InstanceOf<StoreException>());
        await Send(queue, "2");

        Assert.That(await Drain(await Crash()), Is.EqualTo(["2"]));
    }

    [Test]
    public async Task ASecondBrokerIsTurnedAwayWithTheOwnersName()
    {
        var second = new InMemoryMessageStore { WitnessedAt = StorePath };

        StoreException error = (await Assert.ThrowsAsync<StoreException>(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = second })))!;
        Assert.That(error.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(error.Message, Does.Contain(StorePath).And.Contain($"{Environment.ProcessId}"));
    }

    [Test]
    public async Task ADamagedWitnessIsSaidAndTheStoreIsWellWithoutIt()
    {
        await Send(await Declare(), "1");
        Store.Crash();
        byte[] damaged = File.ReadAllBytes(WitnessPath);
        damaged[100] ^= 1;
        File.WriteAllBytes(WitnessPath, damaged);

        Assert.That(async () => await Open(), Throws.InstanceOf<StoreException>().With.Message.Contains("delete the damaged file"));
        File.Delete(WitnessPath);
        Broker = await Open(Watched);
        Assert.That(await DrainMarked(Broker.GetQueue("orders")), Is.EqualTo(["1!"]));
    }

    // ---- Many

    [Test]
    public async Task ThousandsOfDeliveriesInTurnLeaveNothingOnRecord()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });
        int free = _witness.Slots.Free;
        for (int round = 0; round < 5; round++)
        {
            await Soon(queue.SendBatchAsync(Enumerable.Range(0, 2_000).Select(i => Text($"{i}")).ToArray()));
            foreach (Delivery delivery in await queue.ReceiveBatchAsync(2_000, TimeSpan.Zero))
                delivery.Ack();
            await Idle(queue);
        }

        Assert.That(OnRecord(), Is.Empty);
        Assert.That(_witness.Slots.Free, Is.GreaterThanOrEqualTo(free - 2 * SlotMagazine.Size), "All but what the queue keeps as change is back.");
        Assert.That(new FileInfo(WitnessPath).Length, Is.EqualTo(4096 + WitnessSlots.BlockBytes));
    }

    [Test]
    public async Task MoreDeliveriesThanTheFirstBlockHoldsAreAllOnRecord()
    {
        const int Many = WitnessSlots.PerBlock * 2 + 100;
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });
        await Soon(queue.SendBatchAsync(Enumerable.Range(0, Many + 1).Select(i => Text($"{i}")).ToArray()));
        Assert.That(await queue.ReceiveBatchAsync(Many, TimeSpan.Zero), Has.Count.EqualTo(Many));
        await Idle(queue);
        Assert.That(OnRecord(SlotState.Started), Is.EqualTo(Many));

        queue = await Crash();

        Assert.That(_log.Lines, Has.Some.Contains($"{Many} messages come back marked"));
        Assert.That((await DrainMarked(queue)).Where(body => !body.EndsWith('!')), Is.EqualTo([$"{Many}"]));
    }

    [Test]
    public async Task DeliveriesThatFindNoSlotMakeEverythingDoubtful()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2", "3");
        while (_witness.Slots.TryTake() is not null) { }
        _witness.Slots.GrowthWanted = null;
        while (_witness.Slots.TryTake() is not null) { }
        await Receive(queue);
        Assert.That(OnRecord(), Is.Empty);

        queue = await Crash();

        Assert.That(_log.Lines, Has.Some.Contains("more was delivered than its witness could hold"));
        Assert.That(await Attempts(queue), Is.EqualTo(["1! 1", "2! 1", "3! 1"]));
    }

    // ---- Recovery that is cut off itself

    [Test]
    public async Task ARecoveryMayBeCutOffAtEveryStepAndComesToTheSame([Values] bool powerCut)
    {
        int steps = 0;
        string[]? expected = null;
        for (int at = int.MaxValue; steps == 0 || at < steps; at++)
        {
            string path = $"{at}.db";
            await OpenAnew(Watched, NewStore(path: path));
            MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 5 });
            await Send(queue, "first", "1", "2", "3", "4", "5");
            await Receive(queue);
            queue = await Crash();
            // The suspect, charged once already, and two others.
            Assert.That((await queue.ReceiveBatchAsync(3, TimeSpan.Zero)).Select(Text), Is.EqualTo(["first", "1", "2"]));
            Store.Crash();
            if (powerCut)
                Store.Boot = Guid.NewGuid();

            int step = 0;
            Store.Witnessed = witness =>
            {
                _witness = witness;
                witness.BeforeStep = () =>
                {
                    if (step++ == at)
                        throw new ProcessEndedException();
                };
            };
            if (at != int.MaxValue)
            {
                await Assert.ThrowsAsync<ProcessEndedException>(async () => await Open());
                step = int.MinValue;
            }
            Broker = await Open(Watched);
            if (at == int.MaxValue)
            {
                steps = step;
                at = -1;
            }

            string[] found = await Attempts(Broker.GetQueue("orders"));
            Assert.That(found, Is.EqualTo(expected ??= found), $"cut off before step {at}");
        }

        Assert.That(steps, Is.GreaterThan(7));
        Assert.That(expected, Is.EqualTo(powerCut
            ? new[] { "first! 2", "1! 1", "2! 1", "3! 1", "4! 1", "5! 1" }
            : ["first! 3", "1! 1", "2! 1", "3 1", "4 1", "5 1"]));
    }

    [Test]
    public async Task ARecoveryThatIsCutOffAtItsCommitChargesOnce([Values] bool committed)
    {
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        await Receive(queue);
        Store.Crash();
        if (committed)
        {
            Store.Witnessed = witness => witness.BeforeStep = () => throw new ProcessEndedException();
            for (int i = 0; i < 3; i++)
                await Assert.ThrowsAsync<ProcessEndedException>(async () => await Open());
        }
        else
        {
            Store.RefuseCommits(1, _ =>
            {
                Store.Crash();
                return false;
            });
            Assert.That(async () => await Open(), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped));
            Store.RefuseCommits(0);
        }

        Store.Witnessed = witness => _witness = witness;
        Broker = await Open(Watched);

        Assert.That(await Attempts(Broker.GetQueue("orders")), Is.EqualTo(["1! 2", "2 1"]));
    }

    // Ends at random moments, seeded: whatever consumers had is marked, what was acked for certain does not return, and nothing is lost.
    [Test]
    public async Task RandomEndsLoseNothingBringBackNothingAndMarkWhatComesTwice([Values(1, 2, 3, 4)] int seed)
    {
        var random = new Random(seed);
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null, MaxAttempts = null, RetryDelay = RetryDelay.None });
        var sent = new HashSet<string>();
        var acked = new HashSet<string>();
        var seen = new HashSet<string>();
        // Given back with a word: the store does not remember that it was delivered.
        var released = new HashSet<string>();
        for (int life = 0; life < 30; life++)
        {
            var held = new List<Delivery>();
            await using MessageReceiver receiver = queue.OpenReceiver();
            for (int step = random.Next(1, 60); step > 0; step--)
            {
                switch (random.Next(7))
                {
                    case 0 or 1:
                        string body = $"{life}-{step}";
                        await Send(queue, body);
                        sent.Add(body);
                        break;
                    case 2 or 3 or 6 when await Take(queue, receiver, random) is { } delivery:
                        Assert.That(acked, Does.Not.Contain(Text(delivery)), "An ack that was confirmed holds.");
                        if (!released.Contains(Text(delivery)))
                            Assert.That(delivery.IsRedelivered, Is.EqualTo(!seen.Add(Text(delivery))), $"{Text(delivery)} in life {life}");
                        held.Add(delivery);
                        break;
                    case 4 when held.Count > 0:
                        Delivery done = TakeAny(held, random);
                        Assert.That(await Soon(done.AckAsync()), Is.EqualTo(SettleResult.Settled));
                        acked.Add(Text(done));
                        break;
                    case 5 when held.Count > 0:
                        Delivery back = TakeAny(held, random);
                        released.Add(Text(back));
                        back.Release();
                        break;
                }
            }
            if (random.Next(4) != 0)
                queue = await Crash();
            else
                await OpenAnew(Watched);
            queue = Broker.GetQueue("orders");
            await Advance(queue, Minute);
        }

        Assert.That((await Drain(queue)).Concat(acked), Is.EquivalentTo(sent));
    }

    // ---- Means

    private InMemoryMessageStore NewStore(bool tracksFlushes = false, string path = "queue.db") =>
        new() { WitnessedAt = _folder.File(path), TimeProvider = Clock, TracksFlushes = tracksFlushes, Witnessed = witness => _witness = witness };

    private void Watched(MessageBrokerOptions options) => options.LoggerFactory = _log;

    private async Task<MessageQueue> Crash()
    {
        Store.Crash();
        Broker = await Open(Watched);
        return Broker.GetQueue("orders");
    }

    private async Task<MessageQueue> PowerCut()
    {
        Store.Crash();
        Store.Boot = Guid.NewGuid();
        Broker = await Open(Watched);
        return Broker.GetQueue("orders");
    }

    // What another process would find in the file if this one ended now.
    private WitnessedDelivery[] OnRecord()
    {
        var deliveries = new List<WitnessedDelivery>();
        byte[] content = new byte[new FileInfo(WitnessPath).Length];
        Assert.That(WitnessFile.Peek(WitnessPath, content), Is.EqualTo(content.Length));
        Assert.That(WitnessSlots.TryRead(content.AsSpan(WitnessLife.PageBytes), deliveries), Is.True);
        return [.. deliveries];
    }

    private int OnRecord(SlotState state) => OnRecord().Count(delivery => delivery.State == state);

    // Takes and acks whatever is there; what was marked as redelivered with an exclamation mark.
    private static Task<string[]> DrainMarked(MessageQueue queue) => Drained(queue, delivery => $"{Text(delivery)}{(delivery.IsRedelivered ? "!" : "")}");

    // The same, with the attempt's number.
    private static Task<string[]> Attempts(MessageQueue queue) => Drained(queue, delivery => $"{Text(delivery)}{(delivery.IsRedelivered ? "!" : "")} {delivery.Attempt}");

    private static async Task<string[]> Drained(MessageQueue queue, Func<Delivery, string> describe)
    {
        var found = new List<string>();
        await Idle(queue);
        while (await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
        {
            found.Add(describe(delivery));
            delivery.Ack();
        }
        await Idle(queue);
        return [.. found];
    }

    // By a look, or as a receiver does, for which more is set aside.
    private static async Task<Delivery?> Take(MessageQueue queue, MessageReceiver receiver, Random random)
    {
        Delivery? delivery = random.Next(2) == 0 ? await queue.ReceiveAsync(TimeSpan.Zero) : null;
        if (delivery is null)
            receiver.TryReceive(out delivery);
        return delivery;
    }

    private static Delivery TakeAny(List<Delivery> from, Random random)
    {
        int index = random.Next(from.Count);
        Delivery taken = from[index];
        from.RemoveAt(index);
        return taken;
    }

    private sealed class ProcessEndedException : Exception;

    private sealed class LoggedLines : ILoggerFactory, ILogger
    {
        private readonly List<string> _lines = [];

        public string[] Lines
        {
            get
            {
                lock (_lines)
                    return [.. _lines];
            }
        }

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) { }

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            lock (_lines)
                _lines.Add(formatter(state, exception));
        }

        public void Dispose() { }
    }
}
