using QueueKit.RocksDB;
using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>What stands in a store's way when it is opened, and what is said about it.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class RocksDBFileTests
{
    private readonly TestFolder _folder = new();

    private string Path => _folder.File("queue");

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task AnEmptyFolderBecomesAStore()
    {
        Directory.CreateDirectory(Path);

        await using IMessageStore store = await Open();

        Assert.That(new StorePaths(Path).Exists, Is.True);
    }

    [Test]
    public async Task WhatIsLeftOfAStoreInTheMakingIsReplaced()
    {
        Directory.CreateDirectory(new StorePaths(Path).New);
        await File.WriteAllTextAsync(System.IO.Path.Combine(new StorePaths(Path).New, "MANIFEST-000001"), "half");

        await using IMessageStore store = await Open();

        Assert.That(Directory.Exists(new StorePaths(Path).New), Is.False);
    }

    [Test]
    public async Task AFolderWithOtherFilesIsRefusedAndNotTouched()
    {
        Directory.CreateDirectory(Path);
        await File.WriteAllTextAsync(System.IO.Path.Combine(Path, "letter.txt"), "Dear");

        StoreException refusal = await Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(Path).And.Contain("not a store of QueueKit"));
        Assert.That(Directory.GetFileSystemEntries(Path).Concat(Directory.GetFiles(_folder.Path)).Select(System.IO.Path.GetFileName), Is.EqualTo(["letter.txt"]));
    }

    [Test]
    public async Task AFileInThePlaceOfTheFolderIsRefused()
    {
        await File.WriteAllTextAsync(Path, "Dear");

        StoreException refusal = await Refusal();

        Assert.That((refusal.Fault, File.ReadAllText(Path)), Is.EqualTo((StoreFault.Refused, "Dear")));
        Assert.That(refusal.Message, Does.Contain(Path).And.Contain("is a file"));
    }

    [Test]
    public async Task AFolderThatIsMissingIsNotCreatedForTheStoresFolder()
    {
        var provider = new RocksDBStore(System.IO.Path.Combine(Path, "below"));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await ((IMessageStoreProvider)provider).OpenAsync());

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain($"no folder '{Path}'"));
    }

    [Test]
    public async Task ADatabaseOfAnotherProgramIsRefusedAndNotTouched()
    {
        WriteWithRocksDB(RocksMode.Create, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 3, .. "key"u8, 5, .. "value"u8]);
        SortedDictionary<string, byte[]> before = CrashedStore.Read(Path);

        StoreException refusal = await Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(Path).And.Contain("another program"));
        Assert.That(CrashedStore.Read(Path), Is.EquivalentTo(before));
        StoreException repair = await Assert.ThrowsAsync<StoreException>(async () => await RocksDBStore.RepairAsync(Path));
        Assert.That(repair.Message, Does.Contain("not a store of QueueKit"));
        Assert.That(CrashedStore.Read(Path), Is.EquivalentTo(before));
    }

    [Test]
    public async Task AStoreOfANewerFormatIsRefusedAndNotTouched()
    {
        await (await Open()).DisposeAsync();
        WriteWithRocksDB(RocksMode.ReadWrite, FormatRecord.Batch(version: 9));
        SortedDictionary<string, byte[]> before = CrashedStore.Read(Path);

        StoreException refusal = await Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(Path).And.Contain("format 9").And.Contain("newer version"));
        Assert.That(async () => await RocksDBStore.RepairAsync(Path), Throws.InstanceOf<StoreException>().With.Message.Contains("format 9"));
        Assert.That(CrashedStore.Read(Path), Is.EquivalentTo(before));
    }

    [Test]
    public async Task ADatabaseThatRocksDBItselfFindsLockedIsInUse()
    {
        await (await Open()).DisposeAsync();
        var witness = new FileInfo(Witness.PathOf(Path));
        using RocksEngine other = RocksEngine.Open(Path, RocksMode.ReadWrite, new RocksDBStoreOptions());

        await using IMessageStore store = await Open();
        StoreException refusal = Assert.Throws<StoreException>(() => Put(store, 1));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused), "nothing was written, and the store can be read on");
        Assert.That(refusal.Message, Does.Contain(Path).And.Contain("open in another program"));
        Assert.That(witness.Exists, Is.True);
    }

    [Test]
    public async Task AStoreThatIsGoneIsNotMadeAnew()
    {
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions().UseRocksDB(Path)))
            await broker.DeclareQueueAsync("orders");
        Directory.Delete(Path, recursive: true);

        StoreException refusal = await Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("gone altogether"));
        Assert.That(Directory.Exists(Path), Is.False);
    }

    [Test]
    public async Task AFolderThatCannotBeWrittenIsRefused()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 64);
        string path = disk.File("queue");
        await using (IMessageStore store = await ((IMessageStoreProvider)new RocksDBStore(path, new RocksDBStoreOptions { MinFreeBytes = 0 })).OpenAsync())
            Put(store, 1);
        WitnessFile.ReleaseRetired();
        await disk.MakeReadOnly();

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await ((IMessageStoreProvider)new RocksDBStore(path)).OpenAsync());

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(path).And.Contain("Read-only").IgnoreCase);
    }

    [Test]
    public async Task ADiskWithoutRoomForAStoreIsRefusedAndTakenWhenThereIsSome()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 64);
        var provider = new RocksDBStore(disk.File("queue"), new RocksDBStoreOptions { MinFreeBytes = 0 });
        disk.Fill(leave: 16 * 1024);

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await ((IMessageStoreProvider)provider).OpenAsync());

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(disk.File("queue")).And.Contain("cannot be created"));
        disk.Empty();
        await using IMessageStore store = await ((IMessageStoreProvider)provider).OpenAsync();
        Put(store, 1);
    }

    private async Task<IMessageStore> Open() => await ((IMessageStoreProvider)new RocksDBStore(Path)).OpenAsync();

    private async Task<StoreException> Refusal() => (await Assert.ThrowsAsync<StoreException>(async () => await Open()))!;

    private void WriteWithRocksDB(RocksMode mode, byte[] batch)
    {
        using RocksEngine engine = RocksEngine.Open(Path, mode, new RocksDBStoreOptions());
        engine.Write(batch, isFlushed: true);
        engine.Flush();
    }

    private static void Put(IMessageStore store, int sequence)
    {
        var batch = new StoreBatch();
        batch.Insert(new StoreKey(StoreKind.Message, 1, 0, 0, 0, sequence), new byte[4], new byte[100]);
        store.Commit(batch, FlushLevel.Flushed);
    }
}
