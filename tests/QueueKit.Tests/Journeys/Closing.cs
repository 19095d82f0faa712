using System.Collections.Concurrent;
using QueueKit.Queues;
using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Closing(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ABrokerMayBeClosedAnyNumberOfTimes()
    {
        await Declare();

        await Soon(Task.WhenAll(Broker.DisposeAsync().AsTask(), Broker.CloseAsync().AsTask(), Broker.DisposeAsync().AsTask()));
        await Soon(Broker.DisposeAsync());

        Assert.That(Broker.Completion.IsCompletedSuccessfully);
    }

    [Test]
    public async Task AfterTheCloseEverythingSaysSo()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        Delivery delivery = await Receive(queue);
        MessageReceiver receiver = queue.OpenReceiver();
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("c"));
        await Soon(Broker.DisposeAsync());

        Assert.Multiple(() =>
        {
            Assert.That(async () => await queue.SendAsync(Text("c")), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.TrySendAsync(Text("c")), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.SendBatchAsync(new[] { Text("c") }), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.ReceiveAsync(), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.ReceiveAsync(TimeSpan.Zero), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.ReceiveBatchAsync(1, TimeSpan.Zero), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => queue.OpenReceiver(), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => queue.Consume((_, _) => default), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await queue.PurgeAsync(), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => queue.Pause(QueueFlow.Both), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await Broker.DeclareQueueAsync("x"), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => Broker.GetQueue("orders"), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await Broker.DeleteQueueAsync("orders"), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => Broker.BeginTransaction(), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(receiver.TryReceive(out _), Is.False);
            Assert.That(delivery.LeaseLost.IsCancellationRequested);
            Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.LeaseLost));
            Assert.That(delivery.ExtendLease(), Is.False);
        });
        Assert.That(await receiver.WaitToReceiveAsync(), Is.False);
        Assert.That(await delivery.AckAsync(), Is.EqualTo(SettleResult.LeaseLost));
        await receiver.DisposeAsync();
        await transaction.DisposeAsync();
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(2), "the books can still be read");
    }

    [Test]
    public async Task WhoeverWaitsIsTold()
    {
        MessageQueue queue = await DeclareFull(1), empty = await Declare("empty");
        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        Task<SendReceipt> batch = queue.SendBatchAsync(new[] { Text("3") }).AsTask();
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, Text("4"));
        Task committing = transaction.CommitAsync().AsTask();
        Task<Delivery> receiving = empty.ReceiveAsync().AsTask();
        Task<IReadOnlyList<Delivery>> receivingBatch = empty.ReceiveBatchAsync(2, Minute).AsTask();
        MessageReceiver receiver = empty.OpenReceiver();
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();

        await Soon(Broker.DisposeAsync());

        foreach (Task task in new Task[] { sending, batch, committing, receiving, receivingBatch })
            Assert.That(async () => await Soon(task), Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(await Soon(waiting), Is.False);
    }

    [Test]
    public async Task ACloseLetsRunningHandlersFinishAndStartsNoMore()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal(), finish = Signal();
        int handled = 0;
        MessageConsumer consumer = queue.Consume(async (_, _) =>
        {
            started.TrySetResult();
            await finish.Task;
            Interlocked.Increment(ref handled);
        });
        await Send(queue, "a", "b");
        await Soon(started.Task);

        Task closing = Broker.CloseAsync().AsTask();
        await Idle(queue);
        Assert.That(closing.IsCompleted, Is.False);
        finish.SetResult();
        await Soon(closing);

        Assert.That(handled, Is.EqualTo(1));
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Stopped));
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(1));
    }

    [Test]
    public async Task AHandlerMaySendItsResultWhileTheBrokerDrains()
    {
        MessageQueue queue = await Declare(), results = await Declare("results");
        TaskCompletionSource started = Signal(), finish = Signal();
        queue.Consume(async (delivery, ct) =>
        {
            started.TrySetResult();
            await finish.Task;
            await results.SendAsync(Text($"result of {Text(delivery)}"), ct);
        });
        await Send(queue, "a");
        await Soon(started.Task);

        Task closing = Broker.CloseAsync().AsTask();
        finish.SetResult();
        await Soon(closing);

        Assert.That((queue.GetSnapshot().Counts.Acked, results.GetSnapshot().Counts.Accepted), Is.EqualTo((1, 1)));
    }

    [Test]
    public async Task ACloseThatRunsOutOfTimeCancelsTheHandlersAndBurnsNoAttempt()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource<CancellationToken> started = Signal<CancellationToken>();
        TaskCompletionSource finish = Signal();
        queue.Consume(async (_, ct) =>
        {
            started.TrySetResult(ct);
            await finish.Task;
        }, new ConsumeOptions { LeaseDuration = TimeSpan.FromHours(1) });
        await Send(queue, "a");
        CancellationToken token = await Soon(started.Task);

        Task closing = Broker.CloseAsync().AsTask();
        await Idle(queue);
        await Advance(queue, 30 * Second - Tick);
        Assert.That(closing.IsCompleted, Is.False);
        Advance(Tick);
        await Soon(closing);

        Assert.That(token.IsCancellationRequested);
        finish.SetResult();
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Released)).EqualTo(1).And.Property(nameof(QueueCounts.Nacked)).EqualTo(0));
        if (IsDurable)
        {
            queue = await Reopen();
            Assert.That((await Receive(queue)).Attempt, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task ADeadlineOfItsOwnGoesBeforeTheDrainTimeout()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal(), finish = Signal();
        queue.Consume(async (_, _) =>
        {
            started.TrySetResult();
            await finish.Task;
        });
        await Send(queue, "a");
        await Soon(started.Task);
        using var deadline = new CancellationTokenSource();

        Task closing = Broker.CloseAsync(deadline.Token).AsTask();
        await Idle(queue);
        Assert.That(closing.IsCompleted, Is.False);
        await deadline.CancelAsync();

        await Soon(closing);
        finish.SetResult();
    }

    [Test]
    public async Task ABrokerMayBeDisposedFromInsideAHandlerWhichIsNotWaitedFor()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource done = Signal();
        var settled = new ConcurrentQueue<SettleResult>();
        queue.Consume(async (delivery, _) =>
        {
            await Broker.DisposeAsync();
            await Broker.DisposeAsync();
            settled.Enqueue(delivery.Ack());
            done.TrySetResult();
        });
        await Send(queue, "a");

        await Soon(done.Task);

        Assert.That(settled, Is.EqualTo([SettleResult.LeaseLost]));
        Assert.That(Broker.Completion.IsCompletedSuccessfully);
        if (IsDurable)
            Assert.That((await Receive(await Reopen())).Attempt, Is.EqualTo(1));
    }

    [Test]
    public async Task SeveralHandlersMayDisposeTheBrokerAtOnce()
    {
        MessageQueue queue = await Declare();
        using var barrier = new CountdownEvent(4);
        TaskCompletionSource all = Signal();
        int disposed = 0;
        queue.Consume(async (_, _) =>
        {
            if (barrier.Signal())
                all.SetResult();
            await all.Task;
            await Broker.DisposeAsync();
            Interlocked.Increment(ref disposed);
        }, new ConsumeOptions { Concurrency = 4 });
        await Send(queue, "1", "2", "3", "4");

        await Soon(all.Task);
        await Soon(Broker.DisposeAsync());

        await Until(() => Volatile.Read(ref disposed) >= 4);
    }

    [Test]
    public async Task WhatWasSentAndSettledBeforeIsCommittedByTheClose()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "acked", "nacked", "kept");
        (await Receive(queue)).Ack();
        (await Receive(queue)).Nack(TimeSpan.Zero);
        Task<SendReceipt> sending = queue.SendAsync(Text("sent")).AsTask();

        queue = await Reopen();

        await Soon(sending);
        IReadOnlyList<Delivery> found = await queue.ReceiveBatchAsync(10, TimeSpan.Zero);
        Assert.That(found.Select(delivery => (Text(delivery), delivery.Attempt)), Is.EqualTo(new[] { ("nacked", 2), ("kept", 1), ("sent", 1) }));
    }

    [Test]
    public async Task TheBrokerMayBeDisposedAtAnyMoment()
    {
        for (int round = 0; round < 30; round++)
        {
            await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new InMemoryMessageStore() });
            MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = 5, Durability = Durability });
            using var everybodyRuns = new CountdownEvent(5);
            MessageConsumer consumer = queue.Consume(async (delivery, _) =>
            {
                if (delivery.Sequence % 2 == 0)
                    await Task.Yield();
                if (delivery.Sequence % 5 == 0)
                    throw new InvalidOperationException("now and then");
            }, new ConsumeOptions { Concurrency = 2 });
            Task[] users =
            [
                Run(async () => await queue.SendAsync(Text("a"))),
                Run(async () => await queue.SendBatchAsync(new[] { Text("b"), Text("c") })),
                Run(async () => await (await queue.ReceiveAsync()).AckAsync()),
                Run(async () =>
                {
                    await using BrokerTransaction transaction = broker.BeginTransaction();
                    transaction.Settle(await queue.ReceiveAsync(), Settlement.Ack);
                    transaction.Send(queue, Text("d"));
                    try
                    {
                        await transaction.CommitAsync();
                    }
                    catch (LeaseLostException)
                    {
                    }
                }),
                Run(async () =>
                {
                    queue.GetSnapshot();
                    await queue.PurgeAsync();
                }),
            ];
            Task Run(Func<Task> step) => Task.Run(async () =>
            {
                try
                {
                    for (int i = 0; ; i++)
                    {
                        await step();
                        if (i == 2)
                            everybodyRuns.Signal();
                    }
                }
                catch (ObjectDisposedException)
                {
                }
            });
            everybodyRuns.Wait(TimeSpan.FromSeconds(20));

            await Soon(broker.DisposeAsync());

            await Soon(Task.WhenAll(users));
            await Soon(consumer.Completion);
            Audit(queue);
        }
    }

    [Test]
    public async Task AnAwaitedAckThatComesWhileTheStoreClosesIsAnswered()
    {
        OnlyWithAStore();
        var provider = new StoreThatCallsOnClose(new InMemoryMessageStore());
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = provider });
        MessageQueue queue = await broker.DeclareQueueAsync("orders");
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        Task<SettleResult>? acking = null;
        provider.OnClose = () => acking = delivery.AckAsync().AsTask();

        await Soon(broker.DisposeAsync());

        Assert.That(await Soon(acking!), Is.EqualTo(SettleResult.LeaseLost));
    }

    [Test]
    public async Task AStoreThatCannotBeClosedIsReportedToTheCloserAndToWhoeverWaitsForTheEnd()
    {
        OnlyWithAStore();
        var error = new StoreException(StoreFault.Failed, "The disk is gone.");
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new StoreThatCallsOnClose(new InMemoryMessageStore()) { OnClose = () => throw error } });

        Assert.That(async () => await Soon(broker.CloseAsync()), Throws.Exception.SameAs(error));
        Assert.That(async () => await Soon(broker.Completion), Throws.Exception.SameAs(error));
    }

    // ---- Calls that are on their way to the store when it closes: a line in the log tells where they are

    [Test]
    public async Task ADeletionThatTheCloseOvertakesIsToldThatTheBrokerIsClosed()
    {
        OnlyWithAStore();
        await Declare();
        await OpenAnew(options => options.LoggerFactory = ClosingOn("deleted"));

        Assert.That(async () => await Soon(Broker.DeleteQueueAsync("orders")), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public async Task ASettleThatTheCloseOvertakesIsToldThatTheBrokerIsClosed()
    {
        OnlyWithAStore();
        await OpenAnew(options => options.LoggerFactory = ClosingOn("dead letter"));
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);

        Assert.That(async () => await Soon(delivery.SettleAsync(Settlement.Reject("bad"))), Throws.InstanceOf<ObjectDisposedException>());

        Assert.That(await Drain(await Reopen()), Is.EqualTo(["a"]), "it was not moved");
    }

    [Test]
    public async Task ATransactionThatTheCloseOvertakesIsToldThatTheBrokerIsClosed()
    {
        OnlyWithAStore();
        await OpenAnew(options => options.LoggerFactory = ClosingOn("dead letter"));
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Settle(await Receive(queue), Settlement.Reject("bad"));
        transaction.Send(queue, Text("b"));

        Assert.That(async () => await Soon(transaction.CommitAsync()), Throws.InstanceOf<ObjectDisposedException>());

        Assert.That(await Drain(await Reopen()), Is.EqualTo(["a"]), "nothing of it was done");
    }

    [Test]
    public async Task WhatComesToTheStoreAfterTheCloseIsToldThatTheBrokerIsClosed()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Soon(Broker.DisposeAsync());

        Assert.That(async () => await Soon(new AwaitedWork(FlushLevel.Flushed, write: null).EnqueueTo(queue.Conductor.Broker)), Throws.InstanceOf<ObjectDisposedException>());
    }

    private LogHook ClosingOn(string part) => new(line =>
    {
        if (line.Contains(part, StringComparison.Ordinal))
            Soon(Broker.DisposeAsync()).GetAwaiter().GetResult();
    });

    private sealed class StoreThatCallsOnClose(IMessageStoreProvider inner) : IMessageStoreProvider
    {
        public Action OnClose { get; set; } = () => { };

        public string Description => inner.Description;

        public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) => new Session(this, await inner.OpenAsync(ct));

        private sealed class Session(StoreThatCallsOnClose owner, IMessageStore store) : IMessageStore
        {
            public int MaxRecordBytes => store.MaxRecordBytes;

            public bool CommitBlocks => store.CommitBlocks;

            public void Commit(StoreBatch batch, FlushLevel level) => store.Commit(batch, level);

            public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page) => store.Read(from, to, maxCount, maxBytes, page);

            public ValueTask DisposeAsync()
            {
                owner.OnClose();
                return store.DisposeAsync();
            }
        }
    }
}
