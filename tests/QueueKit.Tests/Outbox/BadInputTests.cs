using Microsoft.Data.Sqlite;

namespace QueueKit.Tests.Outbox;

/// <summary>What a caller can do wrong with an outbox: each refused with thing, cause and remedy, and without a trace.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
[CancelAfter(60_000)]
public class BadInputTests
{
    private OutboxJourney _app = null!;
    private MessageQueue _orders = null!;

    [SetUp]
    public async Task Open()
    {
        _app = await OutboxJourney.BeginAsync();
        _orders = await _app.Broker.DeclareQueueAsync("orders");
    }

    [TearDown]
    public async Task Close() => await _app.DisposeAsync();

    [Test]
    public async Task NullIsRefused()
    {
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();

        await Refused<ArgumentNullException>((MessageQueue)null!, OutboxJourney.MessageOf("a"), transaction);
        await Refused<ArgumentNullException>(_orders, null!, transaction);
        await Refused<ArgumentNullException>(_orders, OutboxJourney.MessageOf("a"), null!);
        Assert.That(() => new MessageBrokerOptions().UseSqliteOutbox(" "), Throws.ArgumentException);
        Assert.That(() => ((MessageBrokerOptions)null!).UseSqliteOutbox("app.db"), Throws.ArgumentNullException);
    }

    [TestCase("commit")]
    [TestCase("rollback")]
    [TestCase("dispose")]
    [TestCase("close")]
    public async Task AFinishedTransactionIsRefused(string end)
    {
        SqliteConnection connection = _app.Connect();
        SqliteTransaction transaction = connection.BeginTransaction();
        if (end == "commit")
            transaction.Commit();
        else if (end == "rollback")
            transaction.Rollback();
        else if (end == "dispose")
            await transaction.DisposeAsync();
        else
            connection.Close();

        ArgumentException refusal = await Refused<ArgumentException>(_orders, OutboxJourney.MessageOf("a"), transaction);

        Assert.That(refusal.Message, Does.Contain("finished").And.Contain("Begin a new one"));
        Assert.That(refusal.ParamName, Is.EqualTo("transaction"));
    }

    [Test]
    public async Task ATransactionThatSqlHasRolledBackIsRefused()
    {
        SqliteConnection connection = _app.Connect();
        using SqliteTransaction transaction = connection.BeginTransaction();
        using SqliteCommand rollback = connection.CreateCommand();
        rollback.Transaction = transaction;
        rollback.CommandText = "ROLLBACK";
        rollback.ExecuteNonQuery();

        await Refused<InvalidOperationException>(_orders, OutboxJourney.MessageOf("a"), transaction);
    }

    [TestCase("other.db", false)]
    [TestCase(":memory:", false)]
    [TestCase("copy.db", true)]
    public async Task ATransactionOfAnotherDatabaseIsRefused(string file, bool isCopy)
    {
        string path = file[0] == ':' ? file : _app.File(file);
        if (isCopy)
            _app.Execute($"VACUUM INTO '{path}'");
        using SqliteTransaction transaction = _app.Connect(path).BeginTransaction();

        ArgumentException refusal = await Refused<ArgumentException>(_orders, OutboxJourney.MessageOf("a"), transaction);

        Assert.That(refusal.Message, Does.Contain(_app.Database).And.Contain(file).And.Contain("UseSqliteOutbox"));
    }

    [Test]
    public async Task ADatabaseThatTookThePlaceOfTheOutboxIsRefused()
    {
        File.Move(_app.Database, _app.File("moved.db"));
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();

        StoreException refusal = await Refused<StoreException>(_orders, OutboxJourney.MessageOf("a"), transaction);

        Assert.That(refusal.Message, Does.Contain("taken its place").And.Contain("open it again"));
    }

    [Test]
    public async Task AConnectionThatMayOnlyReadIsRefused()
    {
        using SqliteTransaction transaction = _app.Connect(more: "Mode=ReadOnly;Pooling=False").BeginTransaction(deferred: true);

        StoreException refusal = await Refused<StoreException>(_orders, OutboxJourney.MessageOf("a"), transaction);

        Assert.That(refusal.Message, Does.Contain("may only read").And.Contain("Mode=ReadOnly"));
    }

    [Test]
    public async Task WhatCouldNeverArriveIsRefusedAtTheSend()
    {
        MessageQueue small = await _app.Broker.DeclareQueueAsync("small", new QueueOptions { MaxBytes = 10 });
        MessageQueue transient = await _app.Broker.DeclareQueueAsync("transient", new QueueOptions { Durability = Durability.Transient });
        await using MessageBroker other = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new QueueKit.Stores.InMemoryMessageStore() });
        MessageQueue foreign = await other.DeclareQueueAsync("orders");
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();

        await Refused<MessageTooLargeException>(small, new Message(new byte[11]), transaction);
        QueueDeclarationException refusal = await Refused<QueueDeclarationException>(transient, OutboxJourney.MessageOf("a"), transaction);
        Assert.That(refusal.Message, Does.Contain("'transient'").And.Contain("durable"));
        await Refused<ArgumentException>(foreign, OutboxJourney.MessageOf("a"), transaction);
        Assert.That(async () => await _app.Outbox.SendAsync("nobody", OutboxJourney.MessageOf("a"), transaction), Throws.InstanceOf<QueueNotFoundException>());
        Assert.That(async () => await _app.Outbox.SendAsync(_orders, OutboxJourney.MessageOf("a"), transaction, new CancellationToken(canceled: true)), Throws.InstanceOf<OperationCanceledException>());
        transaction.Commit();
        Assert.That(_app.Rows, Is.Zero);
    }

    [Test]
    public async Task AClosedBrokerIsRefused()
    {
        await _app.Broker.DisposeAsync();
        using SqliteTransaction transaction = _app.Connect().BeginTransaction();

        await Refused<ObjectDisposedException>(_orders, OutboxJourney.MessageOf("a"), transaction);
        Assert.That(async () => await _app.Outbox.DrainAsync(), Throws.InstanceOf<ObjectDisposedException>());
        Assert.That(_app.Outbox.GetSnapshot().Moved, Is.Zero);
    }

    [Test]
    public async Task AHandlerThatFinishesWhileTheBrokerClosesMaySend()
    {
        var handling = new TaskCompletionSource();
        var closes = new TaskCompletionSource();
        MessageConsumer consumer = _orders.Consume(async (_, _) =>
        {
            handling.SetResult();
            await closes.Task;
            await _app.SendAsync(_orders, "last");
        });
        await _orders.SendAsync(OutboxJourney.MessageOf("first"));
        await handling.Task;
        Task closing = _app.Broker.CloseAsync(CancellationToken.None).AsTask();
        closes.SetResult();
        await closing;
        await consumer.Completion;
        await _app.ReopenAsync();

        Assert.That(await OutboxJourney.TakeAllAsync(_app.Broker.GetQueue("orders")), Is.EqualTo(["last"]));
    }

    private async Task<T> Refused<T>(MessageQueue queue, Message message, SqliteTransaction transaction) where T : Exception =>
        (await Assert.ThrowsAsync<T>(async () => await _app.Outbox.SendAsync(queue, message, transaction)))!;
}
