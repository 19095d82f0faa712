using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>Queues that are deleted at the most awkward moment. That the store then holds nothing that belongs to no queue is checked at the end of every journey.</summary>
[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Deleting(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ADeadLetterWhoseQueueIsDeletedOnTheWayIsNotLost()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders.dead"));
        MessageQueue queue = await Declare();
        await Declare("orders.dead", QueueOptions.ForDeadLetters());
        await Send(queue, "a");

        (await Receive(queue)).Reject("bad");
        await Advance(queue, Minute);
        Assert.That(queue.GetSnapshot().Counts.DeadLettered, Is.Zero);

        queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ATransactionWhoseDeadLettersLoseTheirQueueDoesNothing()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders.dead"));
        MessageQueue queue = await Declare(), other = await Declare("other");
        await Declare("orders.dead", QueueOptions.ForDeadLetters());
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(delivery, Settlement.Reject("bad"));
        transaction.Send(other, Text("b"));

        Assert.That(async () => await Soon(transaction.CommitAsync()), Throws.InstanceOf<QueueNotFoundException>().With.Property(nameof(QueueNotFoundException.QueueName)).EqualTo("orders.dead"));

        Assert.That(await IsQuiet(other));
        Assert.That(await Soon(delivery.AckAsync()), Is.EqualTo(SettleResult.Settled), "it is its consumer's again");
        await Reopen();
        Assert.That(await IsQuiet(Broker.GetQueue("other")));
    }

    [Test]
    public async Task ASendWhoseQueueIsDeletedOnTheWayIsToldAndLeavesNothing()
    {
        var clock = new HookedClock(Clock);
        await OpenAnew(options => options.TimeProvider = clock);
        MessageQueue queue = await Declare();
        await Send(queue, "with ample room, the next one takes its place without the lock");

        if (IsDurable)
            clock.OnNextRead = () => Soon(Broker.DeleteQueueAsync("orders")).GetAwaiter().GetResult();
        else
            await Soon(Broker.DeleteQueueAsync("orders"));

        Assert.That(async () => await Soon(queue.SendAsync(Text("a"))), Throws.InstanceOf<QueueNotFoundException>());
        await Idle(queue);
        Assert.That(queue.GetSnapshot().Storing.Messages, Is.Zero);
    }

    [Test]
    public async Task ASendWhoseVictimsLoseTheirQueueOfDeadLettersKeepsThemInTheNextOne()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders.dead"));
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);
        await Declare("orders.dead", QueueOptions.ForDeadLetters());

        await Send(queue, "3");

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1"]));
        Assert.That(queue.GetSnapshot().Counts.DeadLettered, Is.EqualTo(1));
        Assert.That(await Drain(await Reopen()), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task ASendThatLosesItsQueueWhileItsVictimsAreMovedIsToldAndMovesNobody()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders"));
        MessageQueue queue = await DeclareFull(2, s_keepsTheOldest);
        MessageQueue letters = await Declare("orders.dead", QueueOptions.ForDeadLetters());

        Assert.That(async () => await Soon(queue.SendAsync(Text("3"))), Throws.InstanceOf<QueueNotFoundException>());

        Assert.That(await IsQuiet(letters));
        Audit(queue);
    }

    [Test]
    public async Task AFailedAttemptInATransactionIsNotPutOnRecordForAQueueThatIsDeletedOnTheWay()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders"));
        MessageQueue queue = await Declare(), other = await Declare("other");
        await Send(queue, "a");
        await Send(other, "b");
        Delivery a = await Receive(queue), b = await Receive(other);
        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(a, Settlement.Nack(Minute));
        transaction.Settle(b, Settlement.Reject("bad"));

        await Soon(transaction.CommitAsync());

        Assert.That((await DeadLettersOf(other)).Select(Text), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task LeasesThatARefusedTransactionGivesBackAreLostIfTheirQueueIsDeletedByThen()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await OpenAnew(options => options.LoggerFactory = DeletingOn("goes to", "orders"));
        MessageQueue queue = await Declare(), other = await Declare("other");
        await Declare("other.dead", QueueOptions.ForDeadLetters());
        await Send(queue, "a");
        await Send(other, "b");
        Delivery a = await Receive(queue), b = await Receive(other);
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(a, Settlement.Ack);
        transaction.Settle(b, Settlement.Reject("bad"));
        Store.RefuseCommits(1, batch => batch.Operations.ToArray().Any(operation => operation is { Kind: StoreOperationKind.Insert, Key.Kind: StoreKind.Message }));

        Assert.That(async () => await Soon(transaction.CommitAsync()), Throws.InstanceOf<StoreException>());

        Assert.That((a.Nack(Minute), b.Ack()), Is.EqualTo((SettleResult.LeaseLost, SettleResult.Settled)));
    }

    [Test]
    public async Task WhatIsSentToAQueueWhoseDeclarationTheStoreRefusesIsRefusedToo()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        await Declare("first");
        Task<MessageQueue> declaring;
        Task<SendReceipt> sending;
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> stalled = Broker.GetQueue("first").SendAsync(Text("a")).AsTask();
            await Soon(stall.Entered);
            declaring = Declare();
            sending = Broker.GetQueue("orders").SendAsync(Text("b")).AsTask();
            Store.RefuseCommits(2, batch => batch.Operations.ToArray().Any(operation => operation.Key.Kind == StoreKind.Queue));
        }

        Assert.That(async () => await Soon(declaring), Throws.InstanceOf<StoreException>());
        Assert.That(async () => await Soon(sending), Throws.InstanceOf<QueueNotFoundException>());
        await Reopen("first");
        Assert.That(Broker.TryGetQueue("orders", out _), Is.False);
    }

    [Test]
    public async Task AQueueOfDeadLettersThatTheStoreRefusedComesWithItsFirstMessageWhoeverSendsIt()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation.Key.Kind == StoreKind.Queue));
        (await Receive(queue)).Reject("bad");
        await Idle(queue);
        Store.RefuseCommits(0);

        await Send(Broker.GetQueue("orders.dead"), "b");

        Assert.That(await Drain(await Reopen("orders.dead")), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task ADeadLetterThatComesWhileItsQueueIsBeingDeletedMakesNoSecondOneOfThatName([Values] bool refused)
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        MessageQueue queue = await Declare();
        await Declare("orders.dead", QueueOptions.ForDeadLetters());
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        Task<bool> deleting;
        using (CommitStall stall = Store.StallCommits())
        {
            deleting = Broker.DeleteQueueAsync("orders.dead").AsTask();
            await Soon(stall.Entered);
            delivery.Reject("bad");
            Store.RefuseCommits(refused ? 2 : 0, DeletesAQueue);
        }

        if (refused)
            Assert.That(async () => await Soon(deleting), Throws.InstanceOf<StoreException>());
        else
            Assert.That(await Soon(deleting));

        await Advance(queue, Minute);
        if (!refused)
            (await Receive(queue)).Reject("bad again, now that its queue is gone");
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["a"]));
        Assert.That(await Drain(await Reopen("orders.dead")), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ASendThatIsCommittedWhileItsQueueIsBeingDeletedIsToldWhatComesOfThat([Values] bool refused)
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        MessageQueue queue = await Declare();
        Task<SendReceipt> sending;
        Task<bool> deleting;
        using (CommitStall stall = Store.StallCommits())
        {
            sending = queue.SendAsync(Text("a")).AsTask();
            await Soon(stall.Entered);
            deleting = Broker.DeleteQueueAsync("orders").AsTask();
            Store.RefuseCommits(refused ? 1 : 0, DeletesAQueue);
        }

        if (refused)
        {
            Assert.That(async () => await Soon(deleting), Throws.InstanceOf<StoreException>());
            Assert.That((await Soon(sending)).Outcome, Is.EqualTo(SendOutcome.Accepted));
            Assert.That(await Drain(await Reopen()), Is.EqualTo(["a"]));
        }
        else
        {
            Assert.That(async () => await Soon(sending), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(await Soon(deleting));
        }
    }

    [Test]
    public async Task ASendThatIsCommittedBeforeADeletionThatFailsHearsThatNobodyKnows()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        MessageQueue queue = await Declare();
        Task<SendReceipt> sending;
        Task<bool> deleting;
        CommitStall next;
        using (CommitStall stall = Store.StallCommits())
        {
            sending = queue.SendAsync(Text("a")).AsTask();
            await Soon(stall.Entered);
            deleting = Broker.DeleteQueueAsync("orders").AsTask();
            next = Store.StallCommits();
        }
        await Soon(next.Entered);
        Assert.That(sending.IsCompleted, Is.False);
        Store.FailNextCommit(written: true);
        next.Release();

        Assert.That(async () => await Soon(deleting), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).True);
        Assert.That(async () => await Soon(sending), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).True);
    }

    private static bool DeletesAQueue(StoreBatch batch) => batch.Operations.ToArray().Any(operation => operation is { Kind: StoreOperationKind.Delete, Key.Kind: StoreKind.Queue });

    private static readonly QueueOptions s_keepsTheOldest = new() { Overflow = OverflowPolicy.DropOldest, DeadLetterOn = DeadLetterReasons.Overflow };

    private LogHook DeletingOn(string part, string queue)
    {
        bool done = false;
        return new LogHook(line =>
        {
            if (done || !line.Contains(part, StringComparison.Ordinal))
                return;
            done = true;
            Assert.That(Soon(Broker.DeleteQueueAsync(queue)).GetAwaiter().GetResult());
        });
    }

    private sealed class HookedClock(VirtualClock clock) : TimeProvider
    {
        private Action? _onNextRead;

        public Action OnNextRead { set => _onNextRead = value; }

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override long GetTimestamp()
        {
            Interlocked.Exchange(ref _onNextRead, null)?.Invoke();
            return clock.GetTimestamp();
        }

        public override DateTimeOffset GetUtcNow() => clock.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => clock.CreateTimer(callback, state, dueTime, period);
    }

    [Test]
    public async Task ADeletionThatTheStoreRefusesLeavesOneQueueOfTheNameThoughADeadLetterCameMeanwhile()
    {
        if (!IsDurable)
            Assert.Ignore("About the store.");
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        (await Receive(queue)).Reject("no");
        await Idle(queue);
        Task deletion;
        using (CommitStall stall = Store.StallCommits())
        {
            // Only the deletion deletes a range of messages.
            Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation.Kind == StoreOperationKind.DeleteRange && operation.Key.Kind == StoreKind.Message));
            deletion = Broker.DeleteQueueAsync("orders.dead").AsTask();
            await Soon(stall.Entered);
            (await Receive(queue)).Reject("no");
        }
        Assert.That(async () => await Soon(deletion), Throws.InstanceOf<StoreException>());
        Store.RefuseCommits(0);
        await Advance(queue, Second);

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EquivalentTo(["1", "2"]));
        await Reopen();
    }
}
