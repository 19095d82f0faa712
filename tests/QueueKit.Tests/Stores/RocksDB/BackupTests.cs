using QueueKit.RocksDB;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>A backup is a store as it was at one moment, and repairs that were cut short are finished.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class BackupTests
{
    private readonly TestFolder _folder = new();

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task ABackupBesideTrafficIsOpenedWithEverythingThatWasConfirmedBefore()
    {
        var provider = new RocksDBStore(_folder.File("queue"));
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = provider });
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null });
        for (int i = 0; i < 50; i++)
            await queue.SendAsync(CrashedStore.Text($"{i} {new string('x', i * 200)}"));
        await (await queue.ReceiveAsync()).AckAsync();
        bool isDone = false;
        Task sending = Task.Run(async () =>
        {
            for (int i = 50; !Volatile.Read(ref isDone); i++)
                await queue.SendAsync(CrashedStore.Text($"{i} "));
        });

        await provider.BackupAsync(_folder.File("backup"));

        Volatile.Write(ref isDone, true);
        await sending;
        await using MessageBroker restored = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(_folder.File("backup")));
        int[] found = [.. (await CrashedStore.DrainAsync(restored)).Select(static message => int.Parse(message.Value.Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture))];
        Assert.That(found, Has.Length.GreaterThanOrEqualTo(49));
        Assert.That(found, Is.EqualTo(Enumerable.Range(1, found.Length)));
        await restored.GetQueue("orders").SendAsync(CrashedStore.Text("goes on"));
        await queue.SendAsync(CrashedStore.Text("goes on, too"));
    }

    [Test]
    public async Task ABackupOfAStoreThatNobodyHasWrittenYetIsComplete()
    {
        CrashedStore crashed = await CrashedStore.MakeAsync(_folder);
        await using RocksMessageStore store = RocksMessageStore.Open(new StorePaths(crashed.Write()), new RocksDBStoreOptions(), TimeProvider.System);

        await store.BackupAsync(_folder.File("backup"));

        await using MessageBroker restored = await crashed.OpenAsync(_folder.File("backup"));
        Assert.That(await CrashedStore.DrainAsync(restored), Is.EquivalentTo(crashed.Expected));
    }

    [Test]
    public async Task AFolderThatIsThereAlreadyIsRefusedAndTheStoreGoesOn()
    {
        var provider = new RocksDBStore(_folder.File("queue"));
        Assert.That(async () => await provider.BackupAsync(_folder.File("backup")), Throws.InstanceOf<StoreException>().With.Message.Contains("not open"));
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = provider }))
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders");
            Directory.CreateDirectory(_folder.File("backup"));

            StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await provider.BackupAsync(_folder.File("backup")));

            Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
            Assert.That(refusal.Message, Does.Contain(_folder.File("backup")).And.Contain("not there yet"));
            await queue.SendAsync(CrashedStore.Text("goes on"));
        }
        Assert.That(async () => await provider.BackupAsync(_folder.File("another")), Throws.InstanceOf<StoreException>().With.Message.Contains("not open"));
    }

    [Test]
    public async Task ARepairThatWasCutShortBetweenItsRenamesIsFinishedByTheNext()
    {
        CrashedStore crashed = await CrashedStore.MakeAsync(_folder);
        string path = crashed.Write();
        await RocksDBStore.RepairAsync(path);
        // As if the last rename had not come.
        Directory.Move(path, new StorePaths(path).Repaired);

        Assert.That(async () => await crashed.OpenAsync(path), Throws.InstanceOf<StoreException>().With.Message.Contains("RepairAsync again"));
        RocksDBRepairReport report = await RocksDBStore.RepairAsync(path);

        Assert.That(report.Findings.Single(), Does.Contain("cut short"));
        await using MessageBroker broker = await crashed.OpenAsync(path);
        Assert.That(await CrashedStore.DrainAsync(broker), Is.EquivalentTo(crashed.Expected));
    }

    [Test]
    public async Task AStoreThatIsOpenIsNotRepairedAndNeitherIsOneThatIsNotThere()
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(_folder.File("queue")));

        Assert.That(async () => await RocksDBStore.RepairAsync(_folder.File("queue")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.InUse));
        Assert.That(async () => await RocksDBStore.RepairAsync(_folder.File("none")), Throws.InstanceOf<StoreException>().With.Message.Contains("no store"));
    }
}
