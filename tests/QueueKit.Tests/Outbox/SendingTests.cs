using System.Diagnostics;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;

namespace QueueKit.Tests.Outbox;

/// <summary>What is sent in the application's transaction comes to its queue with the commit, and only then.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(60_000)]
public class SendingTests
{
    [Test]
    public async Task ACommittedMessageComesToItsQueueWithAllThatIsSaidAboutIt([Values("memory", "litedb", "rocksdb", "sqlite")] string store)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync(store);
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        var headers = new MessageHeaders
        {
            ["text"] = "nörth \"1\"", ["flag"] = true, ["no"] = false, ["whole"] = -5L, ["most"] = long.MaxValue, ["double"] = 3.0, ["small"] = 1e-300, ["nan"] = double.NaN,
            ["guid"] = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff"), ["time"] = new DateTimeOffset(2026, 11, 24, 9, 30, 0, TimeSpan.FromMinutes(-90)), ["bytes"] = new byte[] { 0, 255, 7 },
        };
        var sent = new Message(new byte[] { 0, 1, 255 }) { MessageId = "m-1", CorrelationId = "c", ReplyTo = "r", ContentType = "text/plain", Type = "t", Priority = 7, Headers = headers };
        using SqliteConnection connection = app.Connect();
        using (SqliteTransaction transaction = connection.BeginTransaction())
        {
            Assert.That(await app.Outbox.SendAsync("orders", sent, transaction), Is.EqualTo(1));
            Assert.That(await app.Outbox.SendAsync(orders, new Message(Array.Empty<byte>()), transaction), Is.EqualTo(2));
            transaction.Commit();
        }
        await app.Outbox.DrainAsync();

        Delivery first = await orders.ReceiveAsync(), second = await orders.ReceiveAsync();
        Message message = first.Message;
        Assert.That(message.Body.ToArray(), Is.EqualTo(sent.Body.ToArray()));
        Assert.That((message.MessageId, message.CorrelationId, message.ReplyTo, message.ContentType, message.Type, message.Priority), Is.EqualTo(("m-1", "c", "r", "text/plain", "t", (byte)7)));
        Assert.That(message.Headers, Is.EqualTo(headers));
        Assert.That(second.Message.Body.Length, Is.Zero);
        Assert.That(second.Message.MessageId, Does.Match("^[0-9a-f]{32}-2$"), "whoever has no id gets one that stays the same");
    }

    // The pool hands the handle that a connection had before to somebody else; the statements that were compiled for it must not stay in use.
    [Test]
    public async Task AConnectionThatIsOpenedAgainSendsInItsOwnTransaction()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        var inbox = new SqliteInbox();
        using SqliteConnection connection = app.Connect();
        async Task Work(string body, bool commit)
        {
            using SqliteTransaction transaction = connection.BeginTransaction();
            await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf(body), transaction);
            Assert.That(await inbox.TryBeginAsync("orders", body, transaction), Is.True);
            if (commit)
                transaction.Commit();
        }
        await Work("first", commit: true);
        connection.Close();
        connection.Open();
        await Work("second", commit: true);
        object before = connection.Handle!;
        connection.Close();
        using SqliteConnection other = app.Connect();
        connection.Open();
        Assert.That(connection.Handle, Is.Not.SameAs(before), "somebody else has it now");

        await Work("third", commit: false);
        await Work("third", commit: false);
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["first", "second"]));
    }

    [Test]
    public async Task ARowKeepsItsQueue()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        using SqliteConnection connection = app.Connect();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "INSERT INTO queuekit_outbox(queue, body) VALUES ('ordrs', 'x')";
        command.ExecuteNonQuery();
        command.CommandText = "UPDATE queuekit_outbox SET queue = 'orders'";

        Assert.That(() => command.ExecuteNonQuery(), Throws.InstanceOf<SqliteException>().With.Message.Contains("insert it anew without an id"));
    }

    [Test]
    public async Task ARollbackLeavesNoTrace([Values] RollbackBy by)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        using SqliteConnection connection = app.Connect();
        SqliteTransaction transaction = connection.BeginTransaction();
        await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("kept"), transaction);
        transaction.Save("point");
        await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("gone"), transaction);
        if (by == RollbackBy.Savepoint)
        {
            transaction.Rollback("point");
            transaction.Commit();
        }
        else if (by == RollbackBy.Rollback)
        {
            transaction.Rollback();
        }
        else if (by == RollbackBy.Closing)
        {
            connection.Close();
        }
        transaction.Dispose();
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(by == RollbackBy.Savepoint ? ["kept"] : Array.Empty<string>()));
        await app.SendAsync(orders, "next");
        await app.Outbox.DrainAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["next"]));
    }

    [Test]
    public async Task NothingComesBeforeTheCommitAndEverythingAfterItWithoutBeingAsked()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        using SqliteConnection connection = app.Connect();
        using SqliteTransaction transaction = connection.BeginTransaction();
        await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("a"), transaction);
        await app.Outbox.DrainAsync();
        Assert.That(orders.GetSnapshot().Messages, Is.Zero);
        ValueTask<Delivery> coming = orders.ReceiveAsync();

        transaction.Commit();
        app.Clock.Advance(TimeSpan.FromMilliseconds(100));

        Assert.That(OutboxJourney.TextOf(await coming), Is.EqualTo("a"));
    }

    [Test]
    public async Task WhenNoTransactionIsOpenNobodyLooks()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        int idle = app.Clock.ArmedTimers;
        using SqliteConnection connection = app.Connect();
        using (SqliteTransaction transaction = connection.BeginTransaction())
        {
            await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("a"), transaction);
            await app.Outbox.DrainAsync();
            Assert.That(app.Clock.ArmedTimers, Is.EqualTo(idle + 1), "a transaction is open");
            app.Clock.Advance(TimeSpan.FromHours(1));
            transaction.Commit();
        }
        for (int i = 0; i < 3; i++)
        {
            await app.Outbox.DrainAsync();
            app.Clock.Advance(TimeSpan.FromSeconds(1));
        }
        await app.Outbox.DrainAsync();

        Assert.That(app.Rows, Is.Zero);
        Assert.That(app.Clock.ArmedTimers, Is.EqualTo(idle));
    }

    [Test]
    public async Task MessagesComeInTheOrderOfTheCommitsWhateverConnectionTheyComeFrom([Values("memory", "sqlite")] string store)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync(store);
        MessageQueue[] queues = [await app.Broker.DeclareQueueAsync("a"), await app.Broker.DeclareQueueAsync("b")];
        var sent = new List<long>[] { [], [] };
        var gate = new Lock();

        await Task.WhenAll(Enumerable.Range(0, 4).Select(writer => Task.Run(async () =>
        {
            using SqliteConnection connection = app.Connect();
            for (int i = 0; i < 50; i++)
            {
                using SqliteTransaction transaction = connection.BeginTransaction();
                for (int part = 0; part < 1 + i % 3; part++)
                {
                    int queue = (writer + part) % 2;
                    long row = await app.Outbox.SendAsync(queues[queue], new Message(BitConverter.GetBytes(0)) { CorrelationId = $"{i % 5}" }, transaction);
                    // The lock for writing is held: whoever adds here is the next to commit.
                    if (i % 5 != 4)
                    {
                        lock (gate)
                            sent[queue].Add(row);
                    }
                }
                if (i % 5 == 4)
                    transaction.Rollback();
                else
                    transaction.Commit();
            }
        })));
        await app.Outbox.DrainAsync();

        for (int queue = 0; queue < 2; queue++)
        {
            var came = new List<long>();
            while (await queues[queue].ReceiveAsync(TimeSpan.Zero) is { } delivery)
            {
                Assert.That(delivery.Message.CorrelationId, Is.Not.EqualTo("4"), "it was rolled back");
                came.Add(long.Parse(delivery.Message.MessageId!.Split('-')[1], System.Globalization.CultureInfo.InvariantCulture));
                delivery.Ack();
            }
            Assert.That(came, Is.EqualTo(sent[queue]));
        }
        Assert.That(app.Outbox.GetSnapshot().Moved, Is.EqualTo(sent.Sum(static rows => rows.Count)));
    }

    [Test]
    public async Task ATransactionThatStaysOpenHoldsNoQueueUp()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync("sqlite");
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        await app.SendAsync(orders, "before");
        using SqliteConnection connection = app.Connect();
        using SqliteTransaction open = connection.BeginTransaction();
        await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("in it"), open);

        await app.Outbox.DrainAsync();
        await orders.SendAsync(OutboxJourney.MessageOf("directly"));

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["before", "directly"]));
        open.Commit();
        await app.Outbox.DrainAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["in it"]));
    }

    [Test]
    public async Task ADelayCountsFromTheSend()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        using SqliteConnection connection = app.Connect();
        using SqliteTransaction transaction = connection.BeginTransaction();
        await app.Outbox.SendAsync(orders, new Message("a"u8.ToArray()) { Delay = TimeSpan.FromMinutes(10) }, transaction);
        await app.Outbox.SendAsync(orders, new Message("b"u8.ToArray()) { DueTime = app.Clock.GetUtcNow() + TimeSpan.FromMinutes(20) }, transaction);
        app.Clock.Advance(TimeSpan.FromMinutes(9));
        transaction.Commit();
        await app.Outbox.DrainAsync();

        Assert.That(orders.GetSnapshot().Delayed.Messages, Is.EqualTo(2));
        app.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["a"]));
        app.Clock.Advance(TimeSpan.FromMinutes(10));
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task TheTraceGoesOnFromTheWorkThatHasSent()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        using var work = new Activity("work");
        work.SetIdFormat(ActivityIdFormat.W3C);
        work.Start();
        var own = new Message("b"u8.ToArray()) { Headers = new MessageHeaders { ["traceparent"] = "mine" } };
        using (SqliteConnection connection = app.Connect())
        {
            using SqliteTransaction transaction = connection.BeginTransaction();
            await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("a"), transaction);
            await app.Outbox.SendAsync(orders, own, transaction);
            transaction.Commit();
        }
        work.Stop();
        await app.Outbox.DrainAsync();

        Assert.That((string)(await orders.ReceiveAsync()).Message.Headers["traceparent"], Is.EqualTo(work.Id));
        Assert.That((string)(await orders.ReceiveAsync()).Message.Headers["traceparent"], Is.EqualTo("mine"), "what the application sets is not overwritten");
    }

    [Test]
    public async Task MovedRowsAreDeletedAlongWithLaterAppendsAndComeBackIfThoseAreRolledBack()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        await app.SendAsync(orders, "1", "2", "3");
        await app.Outbox.DrainAsync();
        Assert.That(app.Rows, Is.EqualTo(3), "nobody has had a moment to delete them");

        using (SqliteConnection connection = app.Connect())
        {
            using SqliteTransaction transaction = connection.BeginTransaction();
            await app.Outbox.SendAsync(orders, OutboxJourney.MessageOf("not"), transaction);
            Assert.That(app.Outbox.GetSnapshot().Undeleted, Is.Zero, "the transaction has them");
            transaction.Rollback();
        }
        await app.Outbox.DrainAsync();
        Assert.That(app.Outbox.GetSnapshot().Undeleted, Is.EqualTo(3));

        await app.SendAsync(orders, "4");
        await app.Outbox.DrainAsync();
        Assert.That(app.Query("SELECT id FROM queuekit_outbox"), Is.EqualTo(["4"]));
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["1", "2", "3", "4"]));
    }

    [Test]
    public async Task WhatNoAppendTakesAlongIsDeletedInAQuietMomentUnlessTheApplicationIsWriting()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        await app.SendAsync(orders, [.. Enumerable.Range(0, 250).Select(static i => $"{i}")]);
        await app.Outbox.DrainAsync();
        using SqliteConnection connection = app.Connect();
        using (SqliteTransaction writing = connection.BeginTransaction())
        {
            app.Clock.Advance(TimeSpan.FromSeconds(1));
            await app.Outbox.DrainAsync();
            Assert.That(app.Outbox.GetSnapshot().Undeleted, Is.EqualTo(250), "a broker that waited for the lock would be in the way");
        }
        long[] left = new long[4];
        for (int i = 0; i < left.Length; i++)
        {
            app.Clock.Advance(TimeSpan.FromSeconds(3));
            await app.Outbox.DrainAsync();
            left[i] = app.Rows;
        }

        Assert.That(left, Is.Ordered.Descending.And.Some.InRange(1, 249), "in slices");
        Assert.That(left[^1], Is.Zero);
    }
}

/// <summary>How a transaction ends that is not to have been.</summary>
public enum RollbackBy
{
    Rollback,
    Savepoint,
    Dispose,
    Closing,
}
