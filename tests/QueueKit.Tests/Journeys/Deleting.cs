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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        // With ample room, the next one from this thread takes its place without the lock. From another thread it would not, and the deletion
        // would wait for the lock that its own test holds: so nothing is awaited between the two.
        Send(queue, "first").GetAwaiter().GetResult();

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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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
        OnlyWithAStore();
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

    [Test]
    public async Task ALargeQueueGoesAtOnceAndWhatItHasLeftInTheStoreGoesInSlices()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareLarge(5_000);
        var ranges = new List<StoreOperation>();
        Store.RefuseCommits(int.MaxValue, batch =>
        {
            ranges.AddRange(batch.Operations.ToArray().Where(operation => operation is { Kind: StoreOperationKind.DeleteRange, Key.Kind: StoreKind.Message }));
            return false;
        });

        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")));
        Assert.That(Broker.TryGetQueue("orders", out _), Is.False);
        queue = await Declare();
        await Send(queue, "new");
        await Idle(queue);

        Assert.That(ranges, Has.Count.GreaterThanOrEqualTo(5));
        Assert.That(await Drain(await Reopen()), Is.EqualTo(["new"]));
        await Soon(Broker.DisposeAsync());
        Assert.That(await QueuesInTheStore(), Is.EqualTo(new[] { 2u }));
    }

    [Test]
    public async Task ADeletionThatIsCutShortIsFinishedAfterTheNextOpening()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareLarge(5_000);
        int slices = 0;
        Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation.Kind == StoreOperationKind.DeleteRange && operation.Key.Kind == StoreKind.Message) && ++slices > 2);
        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")));
        await Idle(queue);
        Store.Crash();
        Assert.That(await QueuesInTheStore(), Is.EqualTo(new[] { 1u }));
        Store.RefuseCommits(0);

        Broker = await Open();

        Assert.That(Broker.Queues, Is.Empty);
        queue = await Declare();
        await Send(queue, "new");
        await Idle(queue);
        await Soon(Broker.DisposeAsync());
        Assert.That(await QueuesInTheStore(), Is.EqualTo(new[] { 2u }));
    }

    [Test]
    public async Task ALargeQueueWhoseDeletionTheStoreRefusesIsThereAgain()
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareLarge(1_500);
        Store.RefuseCommits();

        Assert.That(async () => await Soon(Broker.DeleteQueueAsync("orders")), Throws.InstanceOf<StoreException>());

        Assert.That((await ReceiveWhatIsThere(queue)).Length, Is.EqualTo(1_500));
        Assert.That((await CrashAndReopen()).GetSnapshot().Messages, Is.EqualTo(1_500));
    }

    [Test]
    public async Task ALargePurgeGoesInSlices([Values] bool loaded)
    {
        MessageQueue queue = await DeclareLarge(5_000);
        if (IsDurable && !loaded)
            queue = await Reopen();
        int slices = 0;
        Store.RefuseCommits(int.MaxValue, batch =>
        {
            slices += batch.Operations.ToArray().Any(operation => operation is { Kind: StoreOperationKind.Delete or StoreOperationKind.DeleteRange, Key.Kind: StoreKind.Message }) ? 1 : 0;
            return false;
        });

        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(5_000));

        Assert.That(slices, IsDurable ? Is.EqualTo(5) : Is.Zero);
        Assert.That(queue.GetSnapshot().Counts.Purged, Is.EqualTo(5_000));
        await Send(queue, "new");
        Assert.That(await Drain(IsDurable ? await Reopen() : queue), Is.EqualTo(["new"]));
    }

    [Test]
    public async Task ALargePurgeThatTheStoreRefusesHalfwayHasPurgedTheOldest([Values] bool loaded)
    {
        OnlyWithAStore();
        MessageQueue queue = await DeclareLarge(5_000);
        if (!loaded)
            queue = await Reopen();
        int slices = 0;
        Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation is { Kind: StoreOperationKind.Delete or StoreOperationKind.DeleteRange, Key.Kind: StoreKind.Message }) && ++slices > 2);

        Assert.That(async () => await Soon(queue.PurgeAsync()), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused));

        Assert.That(queue.GetSnapshot().Counts.Purged, Is.EqualTo(2_048));
        Store.RefuseCommits(0);
        string[] rest = [.. Enumerable.Range(2_048, 5_000 - 2_048).Select(i => $"{i}")];
        Assert.That((await ReceiveWhatIsThere(queue)).Select(Text), Is.EqualTo(rest));
        queue = await Reopen();
        Assert.That((await ReceiveWhatIsThere(queue)).Select(Text), Is.EqualTo(rest));
    }

    private async Task<MessageQueue> DeclareLarge(int messages)
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });
        await Soon(queue.SendBatchAsync(Enumerable.Range(0, messages).Select(i => Text($"{i}")).ToArray()));
        return queue;
    }

    // Of which there is anything at all.
    private async Task<uint[]> QueuesInTheStore()
    {
        await using IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync();
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Queue), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records.Where(record => record.Key.Kind != StoreKind.Delta).Select(record => record.Key.Queue).Distinct()];
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
        private int _thread;

        /// <summary>What the thread that sets this does when it reads the clock next.</summary>
        public Action OnNextRead
        {
            set
            {
                _thread = Environment.CurrentManagedThreadId;
                _onNextRead = value;
            }
        }

        public override long TimestampFrequency => clock.TimestampFrequency;

        public override long GetTimestamp()
        {
            if (Environment.CurrentManagedThreadId == _thread)
                Interlocked.Exchange(ref _onNextRead, null)?.Invoke();
            return clock.GetTimestamp();
        }

        public override DateTimeOffset GetUtcNow() => clock.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => clock.CreateTimer(callback, state, dueTime, period);
    }

    [Test]
    public async Task ADeletionThatTheStoreRefusesLeavesOneQueueOfTheNameThoughADeadLetterCameMeanwhile()
    {
        OnlyWithAStore();
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
