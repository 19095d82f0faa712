using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;

namespace QueueKit.Tests.Outbox;

/// <summary>Rows that cannot be moved: what becomes of them is told, nothing is lost, and nobody else waits.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(60_000)]
public class WaitingRowsTests
{
    private const string Insert = "INSERT INTO queuekit_outbox(queue, body) VALUES ";

    [Test]
    public async Task RowsForAQueueThatIsNotThereWaitForItAndNobodyWaitsForThem()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        app.Execute(Insert + "('later', '1'), ('orders', 'a'), ('later', '2')");
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["a"]));
        HeldRows held = app.Outbox.GetSnapshot().Held.Single();
        Assert.That((held.Queue, held.Reason), Is.EqualTo(("later", "there is no queue of that name. Declare it.")));
        Assert.That(app.Log.Count(static line => line.Contains("'later' wait", StringComparison.Ordinal)), Is.EqualTo(1));

        await app.ReopenAsync();
        MessageQueue later = await app.Broker.DeclareQueueAsync("later");
        Assert.That((await later.ReceiveAsync()).Message.Body.ToArray(), Is.EqualTo("1"u8.ToArray()), "nobody had to ask");
        await app.Outbox.DrainAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(later), Is.EqualTo(["2"]));
        Assert.That(app.Outbox.GetSnapshot().Held, Is.Empty);
    }

    [Test]
    public async Task ANameThatNoQueueCanHaveIsShownAsItIs()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("a");
        app.Execute(Insert + "('a' || char(0) || 'b', '1'), ('', '2')");

        await app.Outbox.DrainAsync();

        Assert.That(orders.GetSnapshot().Messages, Is.Zero);
        Assert.That(app.Outbox.GetSnapshot().Held.Select(static held => held.Queue), Is.EquivalentTo(["a\0b", ""]));
    }

    [Test]
    public async Task RowsForATransientQueueWait()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        await app.Broker.DeclareQueueAsync("orders", new QueueOptions { Durability = Durability.Transient });
        app.Execute(Insert + "('orders', 'a')");
        await app.Outbox.DrainAsync();
        Assert.That(app.Outbox.GetSnapshot().Held.Single().Reason, Does.Contain("transient"));
        await app.Broker.DeleteQueueAsync("orders");

        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders", new QueueOptions { Durability = Durability.Written });
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["a"]));
    }

    [TestCase(OverflowPolicy.Backpressure)]
    [TestCase(OverflowPolicy.Reject)]
    [TestCase(OverflowPolicy.Buffer)]
    public async Task WhatAFullQueueHasNoRoomForStaysInTheOutbox(OverflowPolicy policy)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        var options = policy == OverflowPolicy.Buffer
            ? new QueueOptions { Overflow = policy, MaxMessages = 1, MaxBufferedMessages = 2 }
            : new QueueOptions { Overflow = policy, MaxMessages = 2 };
        // The clock goes on while a delivery is on its way.
        options.LeaseDuration = TimeSpan.FromHours(1);
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders", options);
        MessageQueue others = await app.Broker.DeclareQueueAsync("others");
        app.Execute(Insert + "('orders', '1'), ('orders', '2'), ('orders', '3'), ('orders', '4'), ('others', 'a')");
        // Opening waits for nobody's room.
        await app.ReopenAsync();
        orders = app.Broker.GetQueue("orders");
        Assert.That(orders.GetSnapshot().Messages, Is.EqualTo(2));
        Assert.That(await OutboxJourney.TakeAllAsync(others = app.Broker.GetQueue("others")), Is.EqualTo(["a"]));

        var came = new List<string>();
        for (int i = 0; i < 4; i++)
        {
            app.Clock.Advance(TimeSpan.FromSeconds(3));
            ValueTask<Delivery> coming = orders.ReceiveAsync();
            while (!coming.IsCompleted)
            {
                app.Clock.Advance(TimeSpan.FromSeconds(3));
                await Task.Yield();
            }
            Delivery delivery = await coming;
            came.Add(OutboxJourney.TextOf(delivery));
            Assert.That(await delivery.AckAsync(), Is.EqualTo(SettleResult.Settled));
            Assert.That(orders.GetSnapshot().PeakMessages, Is.LessThanOrEqualTo(2));
        }
        await app.Outbox.DrainAsync();

        Assert.That(came, Is.EqualTo(["1", "2", "3", "4"]));
        Assert.That(app.Outbox.GetSnapshot().Held, Is.Empty);
    }

    [TestCase(OverflowPolicy.DropNewest, new[] { "1", "2" })]
    [TestCase(OverflowPolicy.DropOldest, new[] { "3", "4" })]
    public async Task AQueueThatDropsMessagesDropsThemOneByOneAndCountsThem(OverflowPolicy policy, string[] kept)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders", new QueueOptions { Overflow = policy, MaxMessages = 2 });

        await app.SendAsync(orders, "1", "2", "3", "4");
        await app.Outbox.DrainAsync();

        QueueCounts counts = orders.GetSnapshot().Counts;
        Assert.That(counts.Dropped + counts.DroppedNewest, Is.EqualTo(2));
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(kept));
        await app.ReopenAsync();
        Assert.That(app.Broker.GetQueue("orders").GetSnapshot().Messages, Is.Zero, "a row that was dropped does not come again");
    }

    [Test]
    public async Task RowsWaitWhileSendingIsPausedAndWhileTheStoreRefuses()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        orders.Pause(QueueFlow.Sending);
        await app.SendAsync(orders, "1");
        app.Clock.Advance(TimeSpan.FromSeconds(1));
        Assert.That(await orders.ReceiveAsync(TimeSpan.Zero), Is.Null);
        orders.Resume(QueueFlow.Sending);
        await app.Outbox.DrainAsync();

        app.Memory.RefuseCommits(1);
        app.Execute(Insert + "('orders', '2')");
        Task draining = app.Outbox.DrainAsync().AsTask();
        while (!draining.IsCompleted)
        {
            app.Clock.Advance(TimeSpan.FromSeconds(3));
            await Task.Yield();
        }
        await draining;

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["1", "2"]));
        Assert.That(app.Log, Has.Some.Contains("Warning: Rows of outbox"));
    }

    [Test]
    public async Task WhenTheOutcomeOfACommitIsUnknownNothingMoreIsMovedAndTheNextOpeningFindsOut()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        app.Memory.FailNextCommit(written: true);
        await app.SendAsync(orders, "1");

        StoreException stopped = (await Assert.ThrowsAsync<StoreException>(async () => await app.Outbox.DrainAsync()))!;
        Assert.That(stopped.OutcomeUnknown, Is.True);
        Assert.That(app.Outbox.GetSnapshot().Error, Is.Not.Null);
        Assert.That(app.Log, Has.Some.StartsWith("Critical: Outbox"));

        await app.ReopenAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(app.Broker.GetQueue("orders")), Is.EqualTo(["1"]));
    }

    [TestCase("(queue, body) VALUES (X'00', 'a')", "queue is no text.")]
    [TestCase("(queue, body) VALUES ('orders', 1)", "body is neither bytes nor a text.")]
    [TestCase("(queue, body, priority) VALUES ('orders', 'a', 10)", "priority is no whole number from 0 to 9.")]
    [TestCase("(queue, body, priority) VALUES ('orders', 'a', 'high')", "priority is no whole number from 0 to 9.")]
    [TestCase("(queue, body, due_at) VALUES ('orders', 'a', 'tomorrow')", "due_at is 'tomorrow'")]
    [TestCase("(queue, body, type) VALUES ('orders', 'a', X'00')", "type is no text.")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '[1]')", "no JSON object")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{')", "no JSON")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{\"h\": null}')", "Header 'h'")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{\"h\": 9223372036854775808}')", "Header 'h'")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{\"h\": {\"bytes\": \"!\"}}')", "Header 'h'")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{\"h\": \"\\ud800\"}')", "text")]
    [TestCase("(queue, body, headers) VALUES ('orders', 'a', '{\"\": 1}')", "name")]
    [TestCase("(queue, body, message_id) VALUES ('orders', 'a', printf('%2000s', 'x'))", "MessageId has 2000")]
    [TestCase("(queue, body) VALUES ('orders', zeroblob(2000))", "at most 1,000")]
    public async Task WhatCannotBeAMessageIsSetAsideWithTheReason(string row, string reason)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = 1000 });
        app.Execute(Insert + "('orders', 'before')");
        app.Execute("INSERT INTO queuekit_outbox" + row);
        app.Execute(Insert + "('orders', 'after')");

        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["before", "after"]));
        Assert.That(app.Query("SELECT reason FROM queuekit_outbox_dead").Single(), Does.Contain(reason));
        Assert.That(app.Query("SELECT id FROM queuekit_outbox_dead WHERE body IS NOT NULL AND queue IS NOT NULL AND sent_at IS NOT NULL"), Is.EqualTo(["2"]), "as it was");
        Assert.That(app.Query("SELECT id FROM queuekit_outbox WHERE id = 2"), Is.Empty);
        Assert.That(app.Outbox.GetSnapshot().SetAside, Is.EqualTo(1));
        Assert.That(app.Log, Has.Some.StartsWith("Error: Row 2 of outbox"));
    }

    [Test]
    public async Task WhatCannotBeSetAsideYetIsNotPassedOver()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        app.Execute(Insert + "('orders', 1), ('orders', 'after')");
        using (SqliteConnection connection = app.Connect())
        {
            using SqliteTransaction writing = connection.BeginTransaction();
            using var briefly = new CancellationTokenSource();
            Task draining = app.Outbox.DrainAsync(briefly.Token).AsTask();
            while (app.Outbox.GetSnapshot().Held.Count == 0)
                await Task.Yield();
            Assert.That(app.Outbox.GetSnapshot().Held.Single().Reason, Does.Contain("set aside"));
            await briefly.CancelAsync();
            Assert.That(async () => await draining, Throws.InstanceOf<OperationCanceledException>());
            Assert.That(orders.GetSnapshot().Messages, Is.Zero, "a watermark behind the row would make it count as moved");
            await app.Broker.DisposeAsync();
        }

        await app.OpenAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(app.Broker.GetQueue("orders")), Is.EqualTo(["after"]));
        Assert.That(app.Query("SELECT id FROM queuekit_outbox_dead"), Is.EqualTo(["1"]));
    }

    [Test]
    public async Task WhatWasSetAsideCanBeSentAgain()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = 1000 });
        app.Execute(Insert + "('orders', zeroblob(2000))");
        await app.Outbox.DrainAsync();
        await app.Broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = 10_000 });

        app.Execute("INSERT INTO queuekit_outbox(queue, priority, body) SELECT queue, priority, body FROM queuekit_outbox_dead; DELETE FROM queuekit_outbox_dead");
        await app.Outbox.DrainAsync();

        Assert.That((await orders.ReceiveAsync()).Message.Body.Length, Is.EqualTo(2000));
    }
}
