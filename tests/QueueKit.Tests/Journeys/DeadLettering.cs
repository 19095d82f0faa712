using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class DeadLettering(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ARejectedMessageGoesToTheDeadLettersWithEverythingThatIsKnown()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        await Soon(queue.SendAsync(Sending.Letter()));
        (await Receive(queue)).Nack(error: new FormatException("not a number"));
        Advance(Minute);
        Delivery rejected = await Receive(queue);

        Assert.That(rejected.Reject("unreadable", "line 7"), Is.EqualTo(SettleResult.Settled));

        Delivery dead = (await DeadLettersOf(queue)).Single();
        Sending.AssertSame(dead.Message, Sending.Letter());
        Assert.Multiple(() =>
        {
            Assert.That(dead.QueueName, Is.EqualTo("orders.dead"));
            Assert.That(dead.DeadLetter!.Source, Is.EqualTo("orders"));
            Assert.That(dead.DeadLetter.Reason, Is.EqualTo(DeadLetterReasons.Rejected));
            Assert.That(dead.DeadLetter.Description, Is.EqualTo("unreadable"));
            Assert.That(dead.DeadLetter.Details, Is.EqualTo("line 7"));
            Assert.That(dead.DeadLetter.Attempts, Is.EqualTo(1));
            Assert.That(dead.DeadLetter.LastError, Is.EqualTo("System.FormatException: not a number"));
            Assert.That(dead.DeadLetter.SourceSequence, Is.EqualTo(rejected.Sequence));
            Assert.That(dead.DeadLetter.DeadLetteredAt, Is.EqualTo(Clock.GetUtcNow()));
            Assert.That((dead.Attempt, dead.IsRedelivered), Is.EqualTo((1, false)));
            Assert.That(rejected.DeadLetter, Is.Null);
        });
        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That((snapshot.Messages, snapshot.Counts.DeadLettered), Is.EqualTo((0, 1)));
    }

    [Test]
    public async Task ALoggerThatThrowsLosesItsLineAndNothingElse()
    {
        await OpenAnew(options => options.LoggerFactory = new LogHook(_ => throw new InvalidOperationException("The log is full.")));
        MessageQueue queue = await Declare();
        await Send(queue, "bad");

        (await Receive(queue)).Reject("no");

        Assert.That(Text((await DeadLettersOf(queue)).Single()), Is.EqualTo("bad"));
    }

    [Test]
    public async Task AMessageIsGivenUpAfterItsLastAttempt()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 3, RetryDelay = RetryDelay.None });
        await Send(queue, "a");

        for (int attempt = 1; attempt <= 3; attempt++)
            (await Receive(queue)).Nack(error: new InvalidOperationException($"attempt {attempt}"));

        Delivery dead = (await DeadLettersOf(queue)).Single();
        Assert.That(dead.DeadLetter!.Reason, Is.EqualTo(DeadLetterReasons.AttemptsExhausted));
        Assert.That(dead.DeadLetter.Attempts, Is.EqualTo(3));
        Assert.That(dead.DeadLetter.LastError, Does.Contain("attempt 3"));
        Assert.That(dead.DeadLetter.Description, Does.Contain("3"));
        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task TheQueueOfDeadLettersIsCreatedAtTheFirstDeadLetterAndHasNoLimits()
    {
        MessageQueue queue = await Declare();
        Assert.That(Broker.TryGetQueue("orders.dead", out _), Is.False);

        await Send(queue, "a");
        (await Receive(queue)).Reject("bad");
        await Idle(queue);

        MessageQueue letters = Broker.GetQueue("orders.dead");
        Assert.That(letters.Options, Is.EqualTo(QueueOptions.ForDeadLetters() with { Durability = Durability }));
    }

    [Test]
    public async Task DeadLettersMayGoToAnyQueue()
    {
        MessageQueue graveyard = await Declare("graveyard", QueueOptions.ForDeadLetters());
        MessageQueue queue = await Declare(new QueueOptions { DeadLetterQueue = "graveyard" });
        await Send(queue, "a");
        Task<Delivery> watching = graveyard.ReceiveAsync().AsTask();

        (await Receive(queue)).Reject("bad");

        Assert.That(Text(await Soon(watching)), Is.EqualTo("a"));
        Assert.That(Broker.TryGetQueue("orders.dead", out _), Is.False);
    }

    [TestCase("orders.dead")]
    [TestCase("graveyard")]
    public async Task ADeadLetterThatIsRejectedAgainStaysWhereItIs(string name)
    {
        MessageQueue queue = await Declare(new QueueOptions { DeadLetterQueue = name });
        await Send(queue, "a");
        (await Receive(queue)).Reject("bad");
        Delivery dead = (await DeadLettersOf(queue)).Single();

        Assert.That(dead.Reject("still bad"), Is.EqualTo(SettleResult.Settled));

        MessageQueue letters = Broker.GetQueue(name);
        await Advance(letters, TimeSpan.FromHours(1));
        Delivery again = (await DeadLettersOf(queue)).Single();
        Assert.That((Text(again), again.DeadLetter!.Description), Is.EqualTo(("a", "bad")));
        Assert.That(letters.GetSnapshot().Counts.Discarded, Is.Zero);
        Assert.That(Broker.TryGetQueue(name + ".dead", out _), Is.False);
    }

    [Test]
    public async Task ADeadLetterMayFailAnyNumberOfTimes()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        (await Receive(queue)).Reject("bad");
        await Idle(queue);
        MessageQueue letters = Broker.GetQueue("orders.dead");

        for (int i = 0; i < 20; i++)
            (await Receive(letters)).Nack(TimeSpan.Zero);

        Assert.That(await Drain(letters), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task DeadLettersOfADeadLetterQueueGoOnDownTheLine()
    {
        await Declare("second", new QueueOptions { DeadLetterQueue = "third" });
        MessageQueue first = await Declare("first", new QueueOptions { DeadLetterQueue = "second" });
        await Send(first, "a");

        (await Receive(first)).Reject("one");
        (await Receive(Broker.GetQueue("second"))).Reject("two");
        await Idle(first);

        DeadLetterInfo info = (await Receive(Broker.GetQueue("third"))).DeadLetter!;
        Assert.That((info.Source, info.Description), Is.EqualTo(("second", "two")));
    }

    [Test]
    public async Task CirclesAreRefusedAtDeclaration()
    {
        Assert.That(async () => await Declare("self", new QueueOptions { DeadLetterQueue = "self" }), Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("self → self"));
        await Declare("a", new QueueOptions { DeadLetterQueue = "b" });
        await Declare("b", new QueueOptions { DeadLetterQueue = "c" });

        Assert.That(async () => await Declare("c", new QueueOptions { DeadLetterQueue = "a" }),
            Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("c → a → b → c").And.Property(nameof(QueueDeclarationException.QueueName)).EqualTo("c"));

        await Declare("c");
        Assert.That(async () => await Declare("c", new QueueOptions { DeadLetterQueue = "b" }), Throws.InstanceOf<QueueDeclarationException>(), "a redeclaration is a declaration too");
        Assert.That(Broker.GetQueue("c").Options.DeadLetterQueue, Is.Null);
        await Declare("c", new QueueOptions { DeadLetterQueue = "b", DeadLetterOn = DeadLetterReasons.None });
    }

    [Test]
    public async Task WhatTheQueueDoesNotKeepIsDiscardedAndCounted()
    {
        MessageQueue queue = await Declare(new QueueOptions { DeadLetterOn = DeadLetterReasons.Rejected, MaxAttempts = 1 });
        await Send(queue, "failed", "rejected");

        (await Receive(queue)).Nack();
        (await Receive(queue)).Reject("bad");
        await Idle(queue);

        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["rejected"]));
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Discarded)).EqualTo(1).And.Property(nameof(QueueCounts.DeadLettered)).EqualTo(1));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task ADelayedMessageIsNotDelayedAgainAsADeadLetter()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = Minute }));
        await Advance(queue, Minute);

        (await Receive(queue)).Reject("bad");

        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task AFullQueueOfDeadLettersTakesThemAllTheSameAndShowsTheOvershoot()
    {
        MessageQueue letters = await DeclareFull(1, QueueOptions.ForDeadLetters() with { Overflow = OverflowPolicy.Reject }, "orders.dead");
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");

        foreach (Delivery delivery in await queue.ReceiveBatchAsync(2, TimeSpan.Zero))
            delivery.Reject("bad");
        await Idle(queue);

        QueueSnapshot snapshot = letters.GetSnapshot();
        Assert.That((snapshot.Messages, snapshot.Overshoot, snapshot.Counts.Refused), Is.EqualTo((3, 2, 0)));
        Assert.That(await Drain(letters), Is.EqualTo(["1", "a", "b"]));
    }

    [Test]
    public async Task ADroppingQueueOfDeadLettersDropsAsItsPolicySays()
    {
        MessageQueue newest = await DeclareFull(1, QueueOptions.ForDeadLetters() with { Overflow = OverflowPolicy.DropNewest }, "newest");
        MessageQueue oldest = await DeclareFull(1, QueueOptions.ForDeadLetters() with { Overflow = OverflowPolicy.DropOldest }, "oldest");
        MessageQueue first = await Declare("first", new QueueOptions { DeadLetterQueue = "newest" });
        MessageQueue second = await Declare("second", new QueueOptions { DeadLetterQueue = "oldest" });
        await Send(first, "a");
        await Send(second, "a");

        (await Receive(first)).Reject("bad");
        (await Receive(second)).Reject("bad");
        await Idle(first);

        Assert.That(await Drain(newest), Is.EqualTo(["1"]));
        Assert.That(await Drain(oldest), Is.EqualTo(["a"]));
        Assert.That((first.GetSnapshot().Counts.Discarded, newest.GetSnapshot().Counts.DroppedNewest), Is.EqualTo((1, 1)));
        Assert.That((second.GetSnapshot().Counts.DeadLettered, oldest.GetSnapshot().Counts.Dropped), Is.EqualTo((1, 1)));
    }

    [Test]
    public async Task WhatDropOldestDropsIntoAFullDroppingQueueOfDeadLettersIsDiscardedAndCounted()
    {
        MessageQueue letters = await DeclareFull(1, QueueOptions.ForDeadLetters() with { Overflow = OverflowPolicy.DropNewest }, "orders.dead");
        MessageQueue queue = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest, DeadLetterOn = DeadLetterReasons.Overflow });

        await Send(queue, "3", "4");
        await Idle(queue);

        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(2));
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Discarded)).EqualTo(2).And.Property(nameof(QueueCounts.DeadLettered)).EqualTo(0));
        if (IsDurable)
            queue = await Reopen();
        Assert.That(await Drain(queue), Is.EqualTo(["3", "4"]));
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["1"]));
    }

    [Test]
    public async Task TheMoveIsOneCommit()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        (await Receive(queue)).Reject("so that the queue of dead letters exists");
        await Idle(queue);
        Delivery delivery = await Receive(queue);

        using (CommitStall stall = Store.StallCommits())
        {
            delivery.Reject("bad");
            await Soon(stall.Entered);
            Assert.That(queue.GetSnapshot().Leaving.Messages, Is.EqualTo(1));
            queue = await CrashAndReopen();
        }
        Assert.That(await Drain(queue), Is.EqualTo(["b"]), "not moved: still here");
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task DeadLettersSurviveAReopeningWithEverythingThatIsKnown()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        await Soon(queue.SendAsync(Sending.Letter()));
        (await Receive(queue)).Nack(error: new FormatException("not a number"));
        (await Receive(queue)).Reject("unreadable", "line 7");
        Delivery before = (await DeadLettersOf(queue)).Single();

        queue = await Reopen();

        Delivery after = (await DeadLettersOf(queue)).Single();
        Assert.That(after.DeadLetter, Is.EqualTo(before.DeadLetter));
        Sending.AssertSame(after.Message, Sending.Letter());
        Assert.That(Broker.GetQueue("orders.dead").Options, Is.EqualTo(QueueOptions.ForDeadLetters() with { Durability = Durability }));
    }

    [Test]
    public async Task AMoveThatTheStoreRefusesLeavesTheMessageInItsQueue()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        (await Receive(queue)).Reject("so that the queue of dead letters exists");
        await Idle(queue);

        Store.RefuseCommits();
        (await Receive(queue)).Reject("bad");
        await Idle(queue);

        Assert.That(queue.GetSnapshot().Counts.DeadLettered, Is.EqualTo(1));
        Assert.That(Broker.GetQueue("orders.dead").GetSnapshot().Messages, Is.EqualTo(1));
        await Advance(queue, Minute);
        (await Receive(queue)).Reject("bad");
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["a", "b"]));
        queue = await Reopen();
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task WhatHasFailedOftenEnoughIsNotTriedAgainWhenTheStoreRefusesItsMove()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        await Send(queue, "a", "b");
        (await Receive(queue)).Reject("so that the queue of dead letters exists");
        await Idle(queue);

        Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation is { Kind: StoreOperationKind.Insert, Key.Kind: StoreKind.Message }));
        (await Receive(queue)).Nack();
        await Advance(queue, Minute);
        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);

        Store.RefuseCommits(0);
        await Advance(queue, Minute);

        Assert.That(await queue.ReceiveAsync(TimeSpan.Zero), Is.Null);
        Assert.That((await DeadLettersOf(queue)).Select(Text), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task NoDeadLetterIsLostWhenTheStoreRefusesTheirQueue()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a");

        Store.RefuseCommits(int.MaxValue, batch => batch.Operations.ToArray().Any(operation => operation.Key.Kind == StoreKind.Queue));
        (await Receive(queue)).Reject("bad");
        await Idle(queue);
        Store.RefuseCommits(0);
        await Advance(queue, Minute);
        queue = await Reopen();

        string[] all = [.. await Drain(queue), .. (await DeadLettersOf(queue)).Select(Text)];
        Assert.That(all, Is.EqualTo(["a"]));
    }

    [Test]
    public async Task DurableDeadLettersDoNotEndInAQueueThatATransientOneHasCreated()
    {
        OnlyWithAStore();
        MessageQueue passing = await Declare("passing", new QueueOptions { Durability = Durability.Transient, DeadLetterQueue = "graveyard" });
        MessageQueue queue = await Declare(new QueueOptions { DeadLetterQueue = "graveyard" });
        await Send(passing, "transient");
        await Send(queue, "durable");

        (await Receive(passing)).Reject("bad");
        await Idle(passing);
        (await Receive(queue)).Reject("bad");
        await Idle(queue);
        queue = await Reopen();

        Assert.That((await DeadLettersOf(queue)).Select(Text), Does.Contain("durable"));
    }

    [Test]
    public async Task ADurableQueueWithATransientQueueOfDeadLettersIsRefused()
    {
        OnlyWithAStore();
        await Declare("orders.dead", QueueOptions.ForDeadLetters() with { Durability = Durability.Transient });
        Assert.That(async () => await Declare("orders"), Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("orders.dead"));

        await Declare("invoices");
        Assert.That(async () => await Declare("invoices.dead", QueueOptions.ForDeadLetters() with { Durability = Durability.Transient }),
            Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("invoices"));
        await Declare("orders", new QueueOptions { DeadLetterOn = DeadLetterReasons.None });
    }

    [Test]
    public async Task WhereADurableQueueSendsItsDeadLettersNoTransientOneIsDeclared([Values] bool isReopened)
    {
        OnlyWithAStore();
        await Declare("invoices", new QueueOptions { DeadLetterQueue = "graveyard" });
        if (isReopened)
            await Reopen("invoices");

        Assert.That(async () => await Declare("graveyard", new QueueOptions { Durability = Durability.Transient }),
            Throws.InstanceOf<QueueDeclarationException>().With.Message.Contains("invoices"));
        // Once they go elsewhere the name is free.
        await Declare("invoices", new QueueOptions { DeadLetterQueue = "elsewhere" });
        await Declare("graveyard", new QueueOptions { Durability = Durability.Transient });
    }

    [Test]
    public async Task ATransientQueueMayHaveADurableQueueOfDeadLetters()
    {
        OnlyWithAStore();
        await Declare("graveyard", QueueOptions.ForDeadLetters());
        MessageQueue queue = await Declare(new QueueOptions { Durability = Durability.Transient, DeadLetterQueue = "graveyard" });
        await Send(queue, "a");

        (await Receive(queue)).Reject("bad");
        await Idle(queue);
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);

        MessageQueue graveyard = await Reopen("graveyard");
        Assert.That(await Drain(graveyard), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ReadersOfDeadLettersAreWokenAndCanSendThemBack()
    {
        MessageQueue queue = await Declare();
        MessageQueue letters = await Declare("orders.dead", QueueOptions.ForDeadLetters());
        Task<Delivery> watching = letters.ReceiveAsync().AsTask();
        await Send(queue, "a");
        (await Receive(queue)).Reject("bad");

        Delivery dead = await Soon(watching);
        await using (BrokerTransaction redrive = Broker.BeginTransaction())
        {
            redrive.Send(Broker.GetQueue(dead.DeadLetter!.Source), dead.Message);
            redrive.Settle(dead, Settlement.Ack);
            await Soon(redrive.CommitAsync());
        }

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
        Assert.That(letters.GetSnapshot().Messages, Is.Zero);
    }
}
