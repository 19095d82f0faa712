using System.Text;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;

namespace QueueKit.Tests.Stores.Sqlite;

/// <summary>A broker on a SQLite database, and other tools beside it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class SqliteBrokerTests
{
    private readonly TestFolder _folder = new();
    private readonly VirtualClock _clock = new();

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task WhatWasSentIsThereWhenTheBrokerIsOpenedAgain()
    {
        string path = _folder.File("queue.db");
        await using (MessageBroker first = await Open(path))
        {
            MessageQueue queue = await first.DeclareQueueAsync("orders");
            for (int i = 1; i <= 3; i++)
                await queue.SendAsync(new Message([(byte)i]));
            Delivery delivery = await queue.ReceiveAsync();
            await delivery.AckAsync();
        }
        Assert.That(Directory.EnumerateFiles(_folder.Path).Select(Path.GetFileName), Is.EquivalentTo(["queue.db", "queue.db-witness"]), "a closed store is one file and its witness");

        await using MessageBroker broker = await Open(path);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");

        Assert.That(orders.GetSnapshot().Messages, Is.EqualTo(2));
        Delivery next = await orders.ReceiveAsync();
        Assert.That(next.Message.Body.ToArray(), Is.EqualTo(new byte[] { 2 }));
        await next.AckAsync();
    }

    [Test]
    public async Task ASecondBrokerOnTheDatabaseIsRefusedAndToldWhoHasIt()
    {
        await using MessageBroker first = await Open(_folder.File("queue.db"));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open(_folder.File("queue.db")));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(refusal.Message, Does.Contain($"process {Environment.ProcessId}"));
    }

    [Test]
    public async Task TheStoreTakesItsTimeFromTheBroker()
    {
        MessageBrokerOptions options = new MessageBrokerOptions { TimeProvider = _clock }.UseSqlite(_folder.File("queue.db"));
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        await broker.DeclareQueueAsync("orders");
        long before = new FileInfo(_folder.File("queue.db")).Length;
        MessageQueue orders = broker.GetQueue("orders");
        for (int i = 0; i < 10; i++)
            await orders.SendAsync(new Message(new byte[4000]));

        _clock.Advance(TimeSpan.FromSeconds(3));

        Assert.That(new FileInfo(_folder.File("queue.db")).Length, Is.GreaterThan(before), "an idle store copies its log");
    }

    [Test]
    public async Task AnotherToolReadsTheMessagesWhileTheBrokerRuns()
    {
        await using MessageBroker broker = await Open(_folder.File("queue.db"));
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        await broker.DeclareQueueAsync("mails");
        var id = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");
        var headers = new MessageHeaders
        {
            ["tenant"] = "north",
            ["urgent"] = true,
            ["amount"] = -5L,
            ["id"] = id,
            ["since"] = new DateTimeOffset(2026, 11, 24, 9, 30, 0, TimeSpan.FromMinutes(-90)),
            ["text"] = new string('x', 20_000),
        };
        await orders.SendAsync(new Message(Encoding.UTF8.GetBytes("first")) { MessageId = "m-1", ContentType = "text/plain", Priority = 3, Headers = headers });
        await orders.SendAsync(new Message(Encoding.UTF8.GetBytes("second")));
        await broker.GetQueue("mails").SendAsync(new Message(Encoding.UTF8.GetBytes("later")) { Delay = TimeSpan.FromHours(1) });

        Assert.That(Query("SELECT name FROM queues ORDER BY name"), Is.EqualTo(["mails", "orders"]));
        Assert.That(Query("SELECT json_extract(options, '$.MaxMessages') FROM queues WHERE name = 'orders'"), Is.EqualTo(["10000"]));
        Assert.That(Query("SELECT CAST(body AS TEXT) FROM messages WHERE queue = 'orders' ORDER BY sequence"), Is.EqualTo(["first", "second"]));
        Assert.That(Query("SELECT queue || ' ' || count(*) || ' ' || sum(bytes) FROM messages GROUP BY queue"), Is.EquivalentTo(["orders 2 11", "mails 1 5"]));
        Assert.That(Query("SELECT due_at FROM messages WHERE queue = 'mails'"), Is.EqualTo(["2026-11-23 13:00:00.000"]));
        Assert.That(Query("SELECT enqueued_at FROM messages WHERE queue = 'orders'"), Is.All.EqualTo("2026-11-23 12:00:00.000"));
        Assert.That(Query("SELECT priority FROM messages WHERE queue = 'orders' ORDER BY sequence"), Is.EqualTo(["3", "0"]));
        Assert.That(Query("SELECT queue || ' ' || name || '=' || substr(value, 1, 40) || ' ' || is_header FROM headers"), Is.EquivalentTo(
        [
            "orders MessageId=m-1 0", "orders ContentType=text/plain 0", "orders tenant=north 1", "orders urgent=true 1", "orders amount=-5 1",
            $"orders id={id} 1", "orders since=2026-11-24 09:30:00.000 -01:30 1", $"orders text={new string('x', 40)} 1",
        ]));

        await orders.SendAsync(new Message(Encoding.UTF8.GetBytes("third")));
        Assert.That(Query("SELECT count(*) FROM messages"), Is.EqualTo(["4"]));
    }

    [Test]
    public async Task AReaderThatStaysHoldsNobodyUp()
    {
        await using MessageBroker broker = await Open(_folder.File("queue.db"), store => store.LogBytes = 1024 * 1024);
        MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = 1 << 30 });
        await orders.SendAsync(new Message(new byte[100]));
        using SqliteConnection connection = Connect();
        using SqliteTransaction reading = connection.BeginTransaction(deferred: true);
        using SqliteCommand count = connection.CreateCommand();
        count.CommandText = "SELECT count(*) FROM messages";
        count.Transaction = reading;
        Assert.That(count.ExecuteScalar(), Is.EqualTo(1));

        for (int i = 0; i < 400; i++)
        {
            await orders.SendAsync(new Message(new byte[10_000]));
            if (i % 50 == 0)
                _clock.Advance(TimeSpan.FromSeconds(3));
        }

        Assert.That(count.ExecuteScalar(), Is.EqualTo(1), "what it sees stands still");
        reading.Rollback();
        count.Transaction = null;
        Assert.That(count.ExecuteScalar(), Is.EqualTo(401));
        Assert.That(new FileInfo(_folder.File("queue.db-wal")).Length, Is.GreaterThan(4_000_000));
        _clock.Advance(TimeSpan.FromSeconds(3));
        await orders.SendAsync(new Message(new byte[100]));
        Assert.That(new FileInfo(_folder.File("queue.db")).Length, Is.GreaterThan(4_000_000), "copied when the reader has gone");
    }

    [Test]
    public async Task WhileAnotherProgramHoldsTheWriteLockSendsAreRefusedAndThenItGoesOn()
    {
        await using MessageBroker broker = await Open(_folder.File("queue.db"), store => store.BusyTimeout = TimeSpan.FromMilliseconds(20));
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        await orders.SendAsync(new Message([1]));
        using (SqliteConnection connection = Connect())
        {
            using SqliteTransaction writing = connection.BeginTransaction(deferred: false);

            StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await orders.SendAsync(new Message([2])));

            Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
            Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")).And.Contain("BusyTimeout"));
        }

        await orders.SendAsync(new Message([3]));
        Assert.That((await orders.ReceiveBatchAsync(10, TimeSpan.Zero)).Select(delivery => delivery.Message.Body.Span[0]), Is.EqualTo([1, 3]));
    }

    [Test]
    public async Task ABackupHoldsWhatWasConfirmedAndIsOpenedAsAStore()
    {
        string backup = _folder.File("backup");
        MessageBrokerOptions options = new MessageBrokerOptions { TimeProvider = _clock }.UseSqlite(_folder.File("queue.db"));
        var store = (SqliteStore)options.Store!;
        await using (MessageBroker broker = await MessageBroker.OpenAsync(options))
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            for (int i = 0; i < 50; i++)
                await orders.SendAsync(new Message([(byte)i]));
            await store.BackupAsync(backup);
            await orders.SendAsync(new Message([50]));
            Assert.That(async () => await store.BackupAsync(backup), Throws.InstanceOf<StoreException>().With.Message.Contains("is there already"));
        }

        Assert.That(async () => await store.BackupAsync(_folder.File("another")), Throws.InstanceOf<StoreException>().With.Message.Contains("is not open"));
        Assert.That(Directory.EnumerateFileSystemEntries(backup).Select(Path.GetFileName), Is.EqualTo(["queue.db"]));
        await using MessageBroker restored = await Open(Path.Combine(backup, "queue.db"));
        IReadOnlyList<Delivery> all = await restored.GetQueue("orders").ReceiveBatchAsync(100, TimeSpan.Zero);
        Assert.That(all.Select(delivery => (int)delivery.Message.Body.Span[0]), Is.EqualTo(Enumerable.Range(0, 50)));
        Assert.That(all.All(delivery => delivery.IsRedelivered), Is.True);
    }

    [Test]
    public async Task ABackupInTheMidstOfTrafficIsTheStateAfterOneCommit()
    {
        MessageBrokerOptions options = new MessageBrokerOptions().UseSqlite(_folder.File("queue.db"));
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        int confirmed = 0;
        bool isDone = false;
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; !Volatile.Read(ref isDone); Volatile.Write(ref confirmed, ++i))
                await orders.SendAsync(new Message(BitConverter.GetBytes(i)));
        });
        int[] before = new int[3];
        for (int i = 0; i < before.Length; i++)
        {
            before[i] = Volatile.Read(ref confirmed);
            await ((SqliteStore)options.Store!).BackupAsync(_folder.File($"backup {i}"));
        }
        Volatile.Write(ref isDone, true);
        await sending;

        for (int i = 0; i < before.Length; i++)
        {
            await using MessageBroker restored = await Open(Path.Combine(_folder.File($"backup {i}"), "queue.db"));
            IReadOnlyList<Delivery> all = await restored.GetQueue("orders").ReceiveBatchAsync(100_000, TimeSpan.Zero);
            Assert.That(all.Select(delivery => BitConverter.ToInt32(delivery.Message.Body.Span)), Is.EqualTo(Enumerable.Range(0, all.Count)));
            Assert.That(all, Has.Count.GreaterThanOrEqualTo(before[i]));
        }
    }

    [Test]
    public async Task AFileThatIsMostlyFreeIsSmallWhenItIsOpenedAgain()
    {
        string path = _folder.File("queue.db");
        await using (MessageBroker broker = await Open(path))
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = 1 << 30 });
            for (int i = 0; i < 60; i++)
                await orders.SendAsync(new Message(new byte[500_000]));
            await orders.SendAsync(new Message("stays"u8.ToArray()));
            await orders.PurgeAsync();
            await orders.SendAsync(new Message("stays, too"u8.ToArray()));
        }
        long full = new FileInfo(path).Length;

        await using (MessageBroker broker = await Open(path))
        {
            Assert.That(new FileInfo(path).Length, Is.LessThan(full / 20));
            await broker.GetQueue("orders").SendAsync(new Message("new"u8.ToArray()));
        }

        SqliteRepairReport report = await SqliteStore.RepairAsync(path);
        Assert.That((report.Messages, report.Findings.Count), Is.EqualTo((2, 0)), string.Join('\n', report.Findings));
        Assert.That(full, Is.GreaterThan(25_000_000));
    }

    [TestCase("")]
    [TestCase("  ")]
    public void AnEmptyPathIsAMistake(string path) => Assert.That(() => new MessageBrokerOptions().UseSqlite(path), Throws.ArgumentException);

    [Test]
    public void AnOptionOutOfItsRangeIsNamed()
    {
        Assert.That(() => new SqliteStore("queue.db", new SqliteStoreOptions { LogBytes = 1000 }), Throws.ArgumentException.With.Message.Contains("LogBytes is 1000"));
        Assert.That(() => new SqliteStore("queue.db", new SqliteStoreOptions { IdleTime = TimeSpan.Zero }), Throws.ArgumentException.With.Message.Contains("IdleTime"));
        Assert.That(() => new SqliteStore("queue.db", new SqliteStoreOptions { BusyTimeout = TimeSpan.FromMinutes(2) }), Throws.ArgumentException.With.Message.Contains("BusyTimeout"));
        Assert.That(() => new SqliteStore("queue.db", new SqliteStoreOptions { CacheBytes = 1 }), Throws.ArgumentException.With.Message.Contains("CacheBytes is 1"));
        Assert.That(() => new SqliteStore("queue.db", new SqliteStoreOptions { MinFreeBytes = -1 }), Throws.ArgumentException.With.Message.Contains("MinFreeBytes is -1"));
    }

    private Task<MessageBroker> Open(string path, Action<SqliteStoreOptions>? configure = null) =>
        MessageBroker.OpenAsync(new MessageBrokerOptions { TimeProvider = _clock }.UseSqlite(path, configure)).AsTask();

    private SqliteConnection Connect()
    {
        var connection = new SqliteConnection($"Data Source={_folder.File("queue.db")};Pooling=False");
        connection.Open();
        return connection;
    }

    private string[] Query(string sql)
    {
        using SqliteConnection connection = Connect();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        using SqliteDataReader reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read())
            rows.Add(reader.IsDBNull(0) ? "" : reader.GetString(0));
        return [.. rows];
    }
}
