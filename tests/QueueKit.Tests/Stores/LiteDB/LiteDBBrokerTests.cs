using QueueKit.LiteDB;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A broker on a LiteDB file.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class LiteDBBrokerTests
{
    private readonly TestFolder _folder = new();

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task WhatWasSentIsThereWhenTheBrokerIsOpenedAgain()
    {
        string path = _folder.File("queue.db");
        await using (MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseLiteDB(path)))
        {
            MessageQueue queue = await first.DeclareQueueAsync("orders");
            for (int i = 1; i <= 3; i++)
                await queue.SendAsync(new Message([(byte)i]));
            Delivery delivery = await queue.ReceiveAsync();
            await delivery.AckAsync();
        }

        var options = new MessageBrokerOptions().UseLiteDB(path, store => store.LogBytes = 4 * 1024 * 1024);
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");

        Assert.That(orders.GetSnapshot().Messages, Is.EqualTo(2));
        Delivery next = await orders.ReceiveAsync();
        Assert.That(next.Message.Body.ToArray(), Is.EqualTo(new byte[] { 2 }));
        await next.AckAsync();
    }

    [Test]
    public async Task ASecondBrokerOnTheFileIsRefused()
    {
        await using MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseLiteDB(_folder.File("queue.db")));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(
            async () => await MessageBroker.OpenAsync(new MessageBrokerOptions().UseLiteDB(_folder.File("queue.db"))));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
    }

    [Test]
    public async Task TheStoreTakesItsTimeFromTheBroker()
    {
        var clock = new VirtualClock();
        MessageBrokerOptions options = new MessageBrokerOptions().UseLiteDB(_folder.File("queue.db"));
        options.TimeProvider = clock;
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        await broker.DeclareQueueAsync("orders");
        long busy = new FileInfo(_folder.File("queue-log.db")).Length;

        clock.Advance(TimeSpan.FromSeconds(3));

        Assert.That(new FileInfo(_folder.File("queue-log.db")).Length, Is.LessThan(busy));
    }

    [TestCase("")]
    [TestCase("  ")]
    public void AnEmptyPathIsAMistake(string path) => Assert.That(() => new MessageBrokerOptions().UseLiteDB(path), Throws.ArgumentException);

    [Test]
    public void AnOptionOutOfItsRangeIsNamed()
    {
        Assert.That(() => new LiteDBStore("queue.db", new LiteDBStoreOptions { LogBytes = 1000 }), Throws.ArgumentException.With.Message.Contains("LogBytes is 1000"));
        Assert.That(() => new LiteDBStore("queue.db", new LiteDBStoreOptions { IdleTime = TimeSpan.Zero }), Throws.ArgumentException.With.Message.Contains("IdleTime"));
        Assert.That(() => new LiteDBStore("queue.db", new LiteDBStoreOptions { MinFreeBytes = -1 }), Throws.ArgumentException.With.Message.Contains("MinFreeBytes is -1"));
    }
}
