using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Outbox;

/// <summary>What an opening finds: rows of earlier lives and of other processes, files that are not what they were.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(60_000)]
public class OpeningTests
{
    private const string Insert = "INSERT INTO queuekit_outbox(queue, body) VALUES ";

    [Test]
    public async Task WhatWasAppendedWhileNoBrokerRanIsThereBeforeAnythingElseIsDelivered([Values("memory", "litedb", "rocksdb", "sqlite")] string store)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync(store);
        await app.Broker.DeclareQueueAsync("orders");
        await app.Broker.DisposeAsync();
        app.Execute(Insert + "('orders', 'a text'), ('orders', X'6263')");

        await app.OpenAsync(store);

        MessageQueue orders = app.Broker.GetQueue("orders");
        Assert.That(orders.GetSnapshot().Ready.Messages, Is.EqualTo(2));
        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["a text", "bc"]));
        Assert.That(app.Log, Has.Some.Contains("2 rows found were moved"));
    }

    [Test]
    public async Task ARowWhoseDeletionDidNotHappenIsNotMovedAgain([Values("memory", "litedb", "rocksdb", "sqlite")] string store)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync(store);
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        await app.SendAsync(orders, "1", "2");
        await app.Outbox.DrainAsync();
        using (SqliteConnection connection = app.Connect())
        {
            using SqliteTransaction writing = connection.BeginTransaction();
            await app.Broker.DisposeAsync();
        }
        Assert.That(app.Rows, Is.EqualTo(2), "the close could not delete them");
        app.Execute(Insert + "('orders', '3')");

        await app.OpenAsync(store);

        Assert.That(await OutboxJourney.TakeAllAsync(app.Broker.GetQueue("orders")), Is.EqualTo(["1", "2", "3"]));
        await app.ReopenAsync(store);
        Assert.That(app.Rows, Is.Zero, "a close deletes what is moved");
        Assert.That(app.Broker.GetQueue("orders").GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AQueueThatWasDeletedAndDeclaredAgainGetsNoRowTwice()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        MessageQueue orders = await app.Broker.DeclareQueueAsync("orders");
        await app.SendAsync(orders, "1");
        await app.Outbox.DrainAsync();
        await app.Broker.DeleteQueueAsync("orders");
        await app.Broker.DeclareQueueAsync("orders");
        using (SqliteConnection connection = app.Connect())
        {
            using SqliteTransaction writing = connection.BeginTransaction();
            await app.Broker.DisposeAsync();
        }

        await app.OpenAsync();

        Assert.That(app.Broker.GetQueue("orders").GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task OneBrokerMovesTheRowsOfSeveralApplications()
    {
        await using var app = new OutboxJourney();
        MessageBrokerOptions options = app.Options("sqlite").UseSqliteOutbox(app.File("one.db")).UseSqliteOutbox(app.File("two.db"));
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        foreach (string file in (string[])["one.db", "two.db"])
        {
            SqliteOutbox outbox = broker.GetSqliteOutbox(app.File(file));
            using SqliteConnection connection = app.Connect(app.File(file));
            using SqliteTransaction transaction = connection.BeginTransaction();
            await outbox.SendAsync(orders, OutboxJourney.MessageOf(file), transaction);
            transaction.Commit();
            await outbox.DrainAsync();
        }

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["one.db", "two.db"]));
        Assert.That(() => broker.GetSqliteOutbox(), Throws.InvalidOperationException.With.Message.Contains("several"));
        Assert.That(() => broker.GetSqliteOutbox("three.db"), Throws.InvalidOperationException.With.Message.Contains("one.db"));
    }

    [Test]
    public async Task AFileThatWasDeletedAndMadeAnewBeginsAnew()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        await app.SendAsync(await app.Broker.DeclareQueueAsync("orders"), "1", "2", "3");
        await app.Broker.DisposeAsync();
        File.Delete(app.Database);
        await app.OpenAsync();
        MessageQueue orders = app.Broker.GetQueue("orders");
        await OutboxJourney.TakeAllAsync(orders);

        await app.SendAsync(orders, "new 1");
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["new 1"]), "its row has the number 1, as one that was moved had in the old file");
    }

    [Test]
    public async Task ABackupWithoutRowsGoesOnBehindWhatWasMoved()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        await app.SendAsync(await app.Broker.DeclareQueueAsync("orders"), "1");
        await app.Outbox.DrainAsync();
        await app.ReopenAsync();
        app.Execute($"VACUUM INTO '{app.File("backup.db")}'");
        await app.SendAsync(app.Broker.GetQueue("orders"), "2", "3");
        await app.Outbox.DrainAsync();
        await app.Broker.DisposeAsync();
        Restore(app);

        await app.OpenAsync();
        MessageQueue orders = app.Broker.GetQueue("orders");
        await OutboxJourney.TakeAllAsync(orders);
        await app.SendAsync(orders, "after");
        await app.Outbox.DrainAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(orders), Is.EqualTo(["after"]), "its number would be one that was moved already");
        Assert.That(app.Log, Has.Some.Contains("gone back in time"));
    }

    [Test]
    public async Task ABackupWithRowsThatMayBeMovedAlreadyIsNotGuessedAt([Values] bool sendAgain)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        await app.Broker.DeclareQueueAsync("orders");
        app.Execute(Insert + "('orders', '1')");
        app.Execute($"VACUUM INTO '{app.File("backup.db")}'");
        await app.SendAsync(app.Broker.GetQueue("orders"), "2");
        await app.Outbox.DrainAsync();
        await app.Broker.DisposeAsync();
        Restore(app);

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await app.OpenAsync());

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("rows up to 2 have been moved").And.Contain("1 rows").And.Contain(app.Database));
        app.Execute(sendAgain ? "DELETE FROM queuekit_outbox_file" : "DELETE FROM queuekit_outbox WHERE id <= 2");
        await app.OpenAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(app.Broker.GetQueue("orders")), Is.EqualTo(sendAgain ? ["1", "2", "1"] : (string[])["1", "2"]));
    }

    [Test]
    public async Task ABackupWithRowsThatWereNeverMovedMovesThem()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        app.Execute(Insert + "('later', '1')");
        app.Execute($"VACUUM INTO '{app.File("backup.db")}'");
        await app.SendAsync(await app.Broker.DeclareQueueAsync("orders"), "2");
        await app.Outbox.DrainAsync();
        await app.Broker.DisposeAsync();
        Restore(app);

        await app.OpenAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(await Moved(app, "later")), Is.EqualTo(["1"]));
        await app.SendAsync(app.Broker.GetQueue("orders"), "3");
        await app.Outbox.DrainAsync();
        Assert.That(await OutboxJourney.TakeAllAsync(app.Broker.GetQueue("orders")), Is.EqualTo(["2", "3"]));
    }

    [Test]
    public async Task ACopyBesideItsOriginalIsRefused()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        app.Execute($"VACUUM INTO '{app.File("copy.db")}'");
        await app.Broker.DisposeAsync();

        StoreException refusal = await Refusal(app.Options().UseSqliteOutbox(app.Database).UseSqliteOutbox(app.File("copy.db")));

        Assert.That(refusal.Message, Does.Contain("copy").And.Contain("DELETE FROM queuekit_outbox_file"));
        await app.OpenAsync();
    }

    [Test]
    public async Task ASecondBrokerIsRefused([Values] bool byALink)
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        string path = app.Database;
        if (byALink)
            File.CreateSymbolicLink(path = app.File("link.db"), app.Database);

        StoreException refusal = await Refusal(new MessageBrokerOptions { Store = new InMemoryMessageStore() }.UseSqliteOutbox(path));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(refusal.Message, Does.Contain(app.Database + "-outbox"));
        await app.ReopenAsync();
    }

    [Test]
    public async Task TheApplicationsTablesStayAndTheDatabaseGoesIntoWalMode()
    {
        await using var app = new OutboxJourney();
        app.Execute("CREATE TABLE orders(id INTEGER PRIMARY KEY); INSERT INTO orders VALUES (7)");
        Assert.That(app.Query("PRAGMA journal_mode"), Is.EqualTo(["delete"]));

        await app.OpenAsync();

        Assert.That(app.Query("PRAGMA journal_mode"), Is.EqualTo(["wal"]));
        Assert.That(app.Query("SELECT id FROM orders"), Is.EqualTo(["7"]));
        await app.Broker.DisposeAsync();
        Assert.That(File.Exists(app.Database + "-wal"), Is.False, "whoever closes last leaves one file");
    }

    [TestCase("missing/app.db", StoreFault.Refused, "Create the folder")]
    [TestCase("folder", StoreFault.Refused, "is a folder")]
    [TestCase(":memory:", StoreFault.Refused, "in memory")]
    [TestCase("text.db", StoreFault.Unreadable, "cannot be read")]
    [TestCase("store.db", StoreFault.Refused, "is a store of QueueKit")]
    [TestCase("newer.db", StoreFault.Unreadable, "has format 2")]
    [TestCase("nobody.db", StoreFault.Unreadable, "does not say who it is")]
    [TestCase("locked.db", StoreFault.InUse, "locked")]
    public async Task WhatCannotBeAnOutboxIsRefused(string file, StoreFault fault, string remedy)
    {
        await using var app = new OutboxJourney();
        Directory.CreateDirectory(app.File("folder"));
        await File.WriteAllTextAsync(app.File("text.db"), new string('x', 5000));
        await using (await MessageBroker.OpenAsync(new MessageBrokerOptions().UseSqlite(app.File("store.db")))) { }
        await using (await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new InMemoryMessageStore() }.UseSqliteOutbox(app.File("newer.db")).UseSqliteOutbox(app.File("nobody.db")))) { }
        app.Execute("UPDATE queuekit_outbox_file SET version = 2", app.File("newer.db"));
        app.Execute("UPDATE queuekit_outbox_file SET id = 'me'", app.File("nobody.db"));
        using SqliteConnection locking = app.Connect(app.File("locked.db"));
        using SqliteTransaction writing = locking.BeginTransaction();
        var store = new InMemoryMessageStore();

        StoreException refusal = await Refusal(new MessageBrokerOptions { Store = store }.UseSqliteOutbox(file[0] == ':' ? file : app.File(file)));

        Assert.That(refusal.Fault, Is.EqualTo(fault));
        Assert.That(refusal.Message, Does.Contain(remedy).And.Contain(file));
        // The broker is closed again.
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
    }

    [Test]
    public async Task ADatabaseThatMayOnlyBeReadIsRefused()
    {
        await using OutboxJourney app = await OutboxJourney.BeginAsync();
        await app.Broker.DisposeAsync();
        File.SetAttributes(app.Database, FileAttributes.ReadOnly);
        try
        {
            Assert.That((await Refusal(app.Options().UseSqliteOutbox(app.Database))).Message, Does.Contain("may only be read"));
        }
        finally
        {
            File.SetAttributes(app.Database, FileAttributes.Normal);
        }
    }

    [Test]
    public async Task ABrokerWithoutAStoreCannotHaveAnOutbox()
    {
        await using var app = new OutboxJourney();

        ArgumentException refusal = await Assert.ThrowsAsync<ArgumentException>(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions().UseSqliteOutbox(app.Database)));

        Assert.That(refusal.Message, Does.Contain("Store is null"));
        Assert.That(File.Exists(app.Database), Is.False);
        await using MessageBroker broker = await MessageBroker.OpenAsync();
        Assert.That(() => broker.GetSqliteOutbox(), Throws.InvalidOperationException.With.Message.Contains("UseSqliteOutbox"));
    }

    private static async Task<MessageQueue> Moved(OutboxJourney app, string queue)
    {
        MessageQueue declared = await app.Broker.DeclareQueueAsync(queue);
        await app.Outbox.DrainAsync();
        return declared;
    }

    private static void Restore(OutboxJourney app)
    {
        File.Delete(app.Database + "-wal");
        File.Delete(app.Database + "-shm");
        File.Copy(app.File("backup.db"), app.Database, overwrite: true);
    }

    private static async Task<StoreException> Refusal(MessageBrokerOptions options) =>
        (await Assert.ThrowsAsync<StoreException>(async () => await MessageBroker.OpenAsync(options)))!;
}
