using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Declaring(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ANewQueueHasTheDefaultsThatTheReadmeStates()
    {
        MessageQueue queue = await Declare();

        QueueOptions options = queue.Options;
        Assert.Multiple(() =>
        {
            Assert.That(options.Durability, Is.EqualTo(Durability));
            Assert.That(options.Overflow, Is.EqualTo(OverflowPolicy.Backpressure));
            Assert.That(options.MaxMessages, Is.EqualTo(10_000));
            Assert.That(options.MaxBytes, Is.EqualTo(64 * 1024 * 1024));
            Assert.That(options.BackpressureTimeout, Is.Null);
            Assert.That(options.LeaseDuration, Is.EqualTo(30 * Second));
            Assert.That(options.MaxLeaseDuration, Is.EqualTo(TimeSpan.FromHours(1)));
            Assert.That(options.MaxAttempts, Is.EqualTo(5));
            Assert.That(options.RetryDelay, Is.EqualTo(RetryDelay.Exponential(Second, TimeSpan.FromMinutes(5), 0.2)));
            Assert.That(options.DeadLetterQueue, Is.Null);
            Assert.That(options.DeadLetterOn, Is.EqualTo(DeadLetterReasons.Rejected | DeadLetterReasons.AttemptsExhausted));
        });
    }

    [Test]
    public async Task OptionsAreCopiedWhenTheQueueIsDeclaredAndWhenTheyAreRead()
    {
        var options = new QueueOptions { MaxMessages = 5, Durability = Durability };
        MessageQueue queue = await Broker.DeclareQueueAsync("orders", options);

        options.MaxMessages = 6;
        queue.Options.MaxMessages = 7;

        Assert.That(queue.Options.MaxMessages, Is.EqualTo(5));
    }

    [Test]
    public async Task DeclaringAgainGivesTheSameQueueAndTheLastOptionsHold()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 5 });
        await Send(queue, "a");

        Assert.That(await Declare(new QueueOptions { MaxMessages = 5 }), Is.SameAs(queue));
        Assert.That(await Declare(new QueueOptions { MaxMessages = 1, Overflow = OverflowPolicy.Reject, RetryDelay = RetryDelay.List(Second, Minute) }), Is.SameAs(queue));
        Assert.That(await Broker.DeclareQueueAsync("orders"), Is.SameAs(queue), "without options nothing changes");

        Assert.That(queue.Options, Is.EqualTo(new QueueOptions { Durability = Durability, MaxMessages = 1, Overflow = OverflowPolicy.Reject, RetryDelay = RetryDelay.List(Second, Minute) }));
        Assert.That(async () => await queue.SendAsync(Text("b")), Throws.InstanceOf<QueueFullException>());
        if (IsDurable)
            Assert.That((await Reopen()).Options, Is.EqualTo(queue.Options));
    }

    [Test]
    public async Task AnotherDurabilityIsRefusedAndTheDifferenceIsNamed()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 5 });
        Durability other = IsDurable ? Durability.Transient : Durability.Flushed;

        Assert.That(async () => await Broker.DeclareQueueAsync("orders", new QueueOptions { Durability = other, MaxMessages = 6 }),
            Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains($"{Durability}").And.Message.Contains($"{other}").And.Property(nameof(QueueDeclarationException.QueueName)).EqualTo("orders"));

        Assert.That(queue.Options.MaxMessages, Is.EqualTo(5));
        Assert.That((await Broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = 6 })).Options, Is.EqualTo(new QueueOptions { Durability = Durability, MaxMessages = 6 }),
            "no durability given: the one it has");
    }

    [Test]
    public async Task ALowerLimitDropsNothingAndHoldsForNewMessages()
    {
        MessageQueue queue = await DeclareFull(5);

        await Declare(new QueueOptions { MaxMessages = 2 });
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(5).And.Property(nameof(QueueSnapshot.Overshoot)).EqualTo(3));
        Task<SendReceipt> sending = queue.SendAsync(Text("6")).AsTask();
        for (int i = 0; i < 3; i++)
            await Soon((await Receive(queue)).AckAsync());
        await Idle(queue);
        Assert.That(sending.IsCompleted, Is.False);
        await Soon((await Receive(queue)).AckAsync());

        await Soon(sending);
    }

    [Test]
    public async Task QueuesAreFoundByNameListedAndDeleted()
    {
        MessageQueue a = await Declare("a"), b = await Declare("b");

        Assert.That(Broker.Queues, Is.EquivalentTo([a, b]));
        Assert.That(Broker.GetQueue("a"), Is.SameAs(a));
        Assert.That(Broker.TryGetQueue("b", out MessageQueue? found) ? found : null, Is.SameAs(b));
        Assert.That(await Soon(Broker.DeleteQueueAsync("a")));
        Assert.That(await Soon(Broker.DeleteQueueAsync("a")), Is.False);
        Assert.That(Broker.Queues, Is.EquivalentTo([b]));
        Assert.That(() => Broker.GetQueue("a"), Throws.InstanceOf<QueueNotFoundException>().With.Property(nameof(QueueNotFoundException.QueueName)).EqualTo("a").And.Message.Contains("DeclareQueueAsync"));
        Assert.That(() => Broker.GetQueue("A"), Throws.InstanceOf<QueueNotFoundException>(), "names are case-sensitive");
    }

    [Test]
    public async Task WhoeverUsesADeletedQueueIsTold()
    {
        MessageQueue queue = await DeclareFull(1), empty = await Declare("empty");
        Task<SendReceipt> sending = queue.SendAsync(Text("2")).AsTask();
        Task<Delivery> receiving = empty.ReceiveAsync().AsTask();
        MessageReceiver receiver = empty.OpenReceiver();
        Task<bool> waiting = receiver.WaitToReceiveAsync().AsTask();
        Delivery held = await Receive(queue);

        await Soon(Broker.DeleteQueueAsync("orders"));
        await Soon(Broker.DeleteQueueAsync("empty"));

        Assert.Multiple(() =>
        {
            Assert.That(async () => await Soon(sending), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(async () => await Soon(receiving), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(async () => await queue.SendAsync(Text("3")), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(async () => await queue.ReceiveAsync(), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(async () => await queue.PurgeAsync(), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(() => queue.OpenReceiver(), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(() => queue.Consume((_, _) => default), Throws.InstanceOf<QueueNotFoundException>());
            Assert.That(held.LeaseLost.IsCancellationRequested);
            Assert.That(held.Ack(), Is.EqualTo(SettleResult.LeaseLost));
            Assert.That(held.ExtendLease(), Is.False);
            Assert.That(receiver.TryReceive(out _), Is.False);
        });
        Assert.That(await Soon(waiting), Is.False);
        Assert.That(await receiver.WaitToReceiveAsync(), Is.False);
        Audit(queue);
    }

    [Test]
    public async Task AQueueDeclaredAfterItsDeletionIsANewOne()
    {
        MessageQueue old = await Declare();
        await Send(old, "a");
        await Soon(Broker.DeleteQueueAsync("orders"));

        MessageQueue queue = await Declare();

        Assert.That(queue, Is.Not.SameAs(old));
        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task ManyMayDeclareTheSameQueueAtOnce()
    {
        MessageQueue[] queues = await Soon(Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => Declare()))));

        Assert.That(queues.Distinct().Count(), Is.EqualTo(1));
        Assert.That(Broker.Queues, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task TheSuffixOfDeadLettersIsReserved()
    {
        Assert.That(async () => await Declare("orders.dead", new QueueOptions()), Throws.ArgumentException.With.Message.Contains(".dead"));
        Assert.That(async () => await Declare("orders.dead", QueueOptions.ForDeadLetters() with { DeadLetterQueue = "x" }), Throws.ArgumentException);

        Assert.That((await Declare("orders.dead", QueueOptions.ForDeadLetters())).Options.MaxMessages, Is.Null);
        Assert.That((await Broker.DeclareQueueAsync("invoices.dead")).Options.MaxAttempts, Is.Null, "without options it gets those for dead letters");
    }

    [Test]
    public async Task ALimitLoweredBelowABatchThatWaitsDoesNotBlockTheLine()
    {
        MessageQueue queue = await DeclareFull(4);
        Task<SendReceipt> batch = queue.SendBatchAsync(new[] { Text("a"), Text("b"), Text("c") }).AsTask();
        Task<SendReceipt> behind = queue.SendAsync(Text("behind")).AsTask();

        await Declare(new QueueOptions { MaxMessages = 2 });
        await Drain(queue);
        await Idle(queue);

        Assert.That(async () => await Soon(batch), Throws.InstanceOf<MessageTooLargeException>(), "it can never fit any more");
        await Soon(behind);
    }

    [Test]
    public async Task WhoeverDeclaresAQueueThatIsStillBeingDeclaredWaitsForTheStoreToo()
    {
        OnlyWithAStore();
        await Declare("first");
        Task<MessageQueue> first, second;
        using (CommitStall stall = Store.StallCommits())
        {
            Task<SendReceipt> stalled = Broker.GetQueue("first").SendAsync(Text("a")).AsTask();
            await Soon(stall.Entered);
            first = Declare();
            second = Declare();
            Assert.That(second.IsCompleted, Is.False);
            Store.RefuseCommits(1, batch => batch.Operations.ToArray().Any(operation => operation.Key.Kind == StoreKind.Queue));
        }

        Assert.That(async () => await Soon(first), Throws.InstanceOf<StoreException>());
        Assert.That(async () => await Soon(second), Throws.InstanceOf<StoreException>());
        Assert.That(await Soon(Declare()), Is.SameAs(Broker.GetQueue("orders")));
    }
}
