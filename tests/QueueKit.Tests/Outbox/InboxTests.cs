using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;

namespace QueueKit.Tests.Outbox;

/// <summary>A message that is delivered again takes effect once.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(60_000)]
public class InboxTests
{
    private OutboxJourney _app = null!;
    private MessageQueue _orders = null!;

    [SetUp]
    public async Task Open()
    {
        _app = await OutboxJourney.BeginAsync();
        _orders = await _app.Broker.DeclareQueueAsync("orders", new QueueOptions { RetryDelay = RetryDelay.None });
    }

    [TearDown]
    public async Task Close() => await _app.DisposeAsync();

    [Test]
    public async Task ARedeliveredMessageIsProcessedOnce()
    {
        var inbox = new SqliteInbox();
        await _orders.SendAsync(new Message("a"u8.ToArray()) { MessageId = "m-1" });
        Delivery first = await _orders.ReceiveAsync();
        Assert.That(await Process(inbox, first, commit: true), Is.True);
        first.Nack();

        Delivery second = await _orders.ReceiveAsync();

        Assert.That(await Process(inbox, second, commit: true), Is.False);
        Assert.That(await Process(new SqliteInbox(), second, commit: true), Is.False, "the database remembers, not the object");
    }

    [Test]
    public async Task WhatWasRolledBackWasNotProcessed()
    {
        var inbox = new SqliteInbox();
        await _orders.SendAsync(new Message("a"u8.ToArray()) { MessageId = "m-1" });
        Delivery delivery = await _orders.ReceiveAsync();

        Assert.That(await Process(inbox, delivery, commit: false), Is.True);
        Assert.That(await Process(inbox, delivery, commit: false), Is.True, "the table itself was rolled back with it");
        Assert.That(await Process(inbox, delivery, commit: true), Is.True);
        Assert.That(await Process(inbox, delivery, commit: true), Is.False);
    }

    [Test]
    public async Task AMessageIsKnownByItsQueueAndItsId()
    {
        var inbox = new SqliteInbox();
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();

        Assert.That(await inbox.TryBeginAsync("a", "1", transaction), Is.True);
        Assert.That(await inbox.TryBeginAsync("b", "1", transaction), Is.True);
        Assert.That(await inbox.TryBeginAsync("a", "2", transaction), Is.True);
        Assert.That(await inbox.TryBeginAsync("a", "1", transaction), Is.False);
    }

    [Test]
    public async Task WhatIsTooOldIsForgottenAFewAtATime()
    {
        var inbox = new SqliteInbox(new SqliteInboxOptions { Retention = TimeSpan.FromDays(1), TimeProvider = _app.Clock });
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();
        for (int i = 0; i < 10; i++)
            await inbox.TryBeginAsync("a", $"{i}", transaction);
        _app.Clock.Advance(TimeSpan.FromHours(25));
        Assert.That(await inbox.TryBeginAsync("a", "9", transaction), Is.False, "nothing has been forgotten in between");

        int[] left = [await Add(10), await Add(11), await Add(12), await Add(13)];

        Assert.That(left, Is.EqualTo([7, 4, 3, 4]), "four for each that is added");
        Assert.That(await inbox.TryBeginAsync("a", "0", transaction), Is.True);
        Assert.That(await inbox.TryBeginAsync("a", "10", transaction), Is.False);

        async Task<int> Add(int id)
        {
            await inbox.TryBeginAsync("a", $"{id}", transaction);
            return Count(transaction);
        }
    }

    [Test]
    public async Task NoMoreThanTheLastOnesAreRemembered()
    {
        var inbox = new SqliteInbox(new SqliteInboxOptions { MaxMessages = 5 });
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();
        for (int i = 0; i < 20; i++)
        {
            await inbox.TryBeginAsync("a", $"{i}", transaction);
            await inbox.TryBeginAsync("a", $"{i}", transaction);
        }

        Assert.That(Count(transaction), Is.EqualTo(5));
        Assert.That(await inbox.TryBeginAsync("a", "15", transaction), Is.False);
        Assert.That(await inbox.TryBeginAsync("a", "14", transaction), Is.True);
    }

    [Test]
    public async Task WhatCannotBeAnsweredIsRefused()
    {
        var inbox = new SqliteInbox();
        await _orders.SendAsync(new Message("a"u8.ToArray()));
        Delivery nameless = await _orders.ReceiveAsync();
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();
        SqliteTransaction finished = _app.Connect(_app.File("other.db")).BeginTransaction();
        finished.Commit();
        using SqliteTransaction reading = _app.Connect(more: "Mode=ReadOnly;Pooling=False").BeginTransaction(deferred: true);

        Assert.That(async () => await inbox.TryBeginAsync(nameless, transaction), Throws.ArgumentException.With.Message.Contains("no MessageId"));
        Assert.That(async () => await inbox.TryBeginAsync(null!, transaction), Throws.ArgumentNullException);
        Assert.That(async () => await inbox.TryBeginAsync("a", "1", null!), Throws.ArgumentNullException);
        Assert.That(async () => await inbox.TryBeginAsync("a", "", transaction), Throws.ArgumentException);
        Assert.That(async () => await inbox.TryBeginAsync("a", "1", finished), Throws.ArgumentException.With.Message.Contains("finished"));
        Assert.That(async () => await inbox.TryBeginAsync("a", "1", reading), Throws.InstanceOf<StoreException>().With.Message.Contains("may only read"));
        Assert.That(() => new SqliteInbox(new SqliteInboxOptions { MaxMessages = 0 }), Throws.ArgumentException.With.Message.Contains("MaxMessages"));
        Assert.That(() => new SqliteInbox(new SqliteInboxOptions { Retention = TimeSpan.Zero }), Throws.ArgumentException.With.Message.Contains("Retention"));
        Assert.That(() => new SqliteInbox(new SqliteInboxOptions { TimeProvider = null! }), Throws.ArgumentException.With.Message.Contains("TimeProvider"));
    }

    private async Task<bool> Process(SqliteInbox inbox, Delivery delivery, bool commit)
    {
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();
        bool isNew = await inbox.TryBeginAsync(delivery, transaction);
        if (commit)
            transaction.Commit();
        return isNew;
    }

    private static int Count(SqliteTransaction transaction)
    {
        using SqliteCommand command = transaction.Connection!.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = "SELECT count(*) FROM queuekit_inbox";
        return (int)(long)command.ExecuteScalar()!;
    }
}
