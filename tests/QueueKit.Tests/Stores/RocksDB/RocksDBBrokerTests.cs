using QueueKit.RocksDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>A broker on a RocksDB database.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class RocksDBBrokerTests
{
    private readonly TestFolder _folder = new();

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task WhatWasSentIsThereWhenTheBrokerIsOpenedAgain()
    {
        string path = _folder.File("queue");
        await using (MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(path)))
        {
            MessageQueue queue = await first.DeclareQueueAsync("orders");
            for (int i = 1; i <= 3; i++)
                await queue.SendAsync(new Message([(byte)i]));
            Delivery delivery = await queue.ReceiveAsync();
            await delivery.AckAsync();
        }

        var options = new MessageBrokerOptions().UseRocksDB(path + "/", store => store.WriteBufferBytes = 4 * 1024 * 1024);
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");

        Assert.That(orders.GetSnapshot().Messages, Is.EqualTo(2));
        Delivery next = await orders.ReceiveAsync();
        Assert.That(next.Message.Body.ToArray(), Is.EqualTo(new byte[] { 2 }));
        await next.AckAsync();
    }

    [Test]
    public async Task ASecondBrokerOnTheFolderIsRefusedAndToldByWhom()
    {
        await using MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(_folder.File("queue")));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(
            async () => await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(_folder.File("queue"))));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(refusal.Message, Does.Contain($"{Environment.ProcessId}"));
    }

    [Test]
    public async Task LargeMessagesGoIntoFilesOfTheirOwnAndComeBack()
    {
        string path = _folder.File("queue");
        byte[] body = new byte[16 * 1000 * 1000];
        new Random(7).NextBytes(body);
        await using (MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(path)))
            await (await first.DeclareQueueAsync("films")).SendAsync(new Message(body));

        Assert.That(Directory.GetFiles(path, "*.blob"), Is.Not.Empty);
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(path));
        Delivery delivery = await broker.GetQueue("films").ReceiveAsync();
        Assert.That(delivery.Message.Body.Span.SequenceEqual(body), Is.True);
        await delivery.AckAsync();
    }

    [TestCase("")]
    [TestCase("  ")]
    public void AnEmptyPathIsAMistake(string path) => Assert.That(() => new MessageBrokerOptions().UseRocksDB(path), Throws.ArgumentException);

    [Test]
    public void TheRootOfADiskIsNoPlaceForAStore() =>
        Assert.That(() => new RocksDBStore(Path.GetPathRoot(Path.GetTempPath())!), Throws.ArgumentException.With.Message.Contains("root"));

    [Test]
    public void AnOptionOutOfItsRangeIsNamed()
    {
        Assert.That(() => new RocksDBStore("queue", new RocksDBStoreOptions { WriteBufferBytes = 1000 }), Throws.ArgumentException.With.Message.Contains("WriteBufferBytes is 1000"));
        Assert.That(() => new RocksDBStore("queue", new RocksDBStoreOptions { CacheBytes = 1000 }), Throws.ArgumentException.With.Message.Contains("CacheBytes is 1000"));
        Assert.That(() => new RocksDBStore("queue", new RocksDBStoreOptions { MinBlobBytes = 10 }), Throws.ArgumentException.With.Message.Contains("MinBlobBytes is 10"));
        Assert.That(() => new RocksDBStore("queue", new RocksDBStoreOptions { IdleTime = TimeSpan.Zero }), Throws.ArgumentException.With.Message.Contains("IdleTime"));
        Assert.That(() => new RocksDBStore("queue", new RocksDBStoreOptions { MinFreeBytes = -1 }), Throws.ArgumentException.With.Message.Contains("MinFreeBytes is -1"));
    }
}
