using System.Diagnostics;
using LiteDB;
using QueueKit.LiteDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>On a real file system: what can be in the place of a store, disks that are full or read-only, other processes, and LiteDB's own eyes.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class LiteDBFileTests
{
    private readonly TestFolder _folder = new();
    private readonly VirtualClock _clock = new();

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    // What is in the way

    [Test]
    public void AMissingFolderIsNamed()
    {
        StoreException refusal = Refusal(_folder.File(Path.Combine("nowhere", "queue.db")));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain("nowhere").And.Contain("Create the folder"));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Is.Empty);
    }

    [TestCase("queue.db")]
    [TestCase("queue-log.db")]
    public void AFolderInThePlaceOfAFileIsNamed(string name)
    {
        Directory.CreateDirectory(_folder.File(name));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(_folder.File(name)).And.Contain("is a folder"));
    }

    [TestCase("")]
    [TestCase("Dear diary,")]
    public void AnotherFileIsRefusedUntouched(string content)
    {
        File.WriteAllText(_folder.File("queue.db"), content);

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")).And.Contain("not a store of QueueKit"));
        Assert.That(File.ReadAllText(_folder.File("queue.db")), Is.EqualTo(content));
    }

    [TestCase(null)]
    [TestCase("secret")]
    public void ALiteDBFileOfAnotherProgramIsRefusedUntouched(string? password)
    {
        using (var other = new LiteDatabase(new ConnectionString { Filename = _folder.File("queue.db"), Password = password }))
            other.GetCollection("things").Insert(new BsonDocument { ["a"] = 1 });
        byte[] before = File.ReadAllBytes(_folder.File("queue.db"));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("not a store of QueueKit").And.Contain(password is null ? "another program" : "no LiteDB file"));
        Assert.That(File.ReadAllBytes(_folder.File("queue.db")), Is.EqualTo(before));
    }

    [Test]
    public async Task AStoreThatAnotherProgramHasWrittenToIsRefused()
    {
        await FillAndClose(10);
        using (var other = new LiteDatabase(_folder.File("queue.db")))
        {
            other.GetCollection("records").DeleteMany("$._id > @0", new BsonValue(new byte[30]));
            other.Checkpoint();
        }

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("written by another program").And.Contain("RepairAsync"));
    }

    // LiteDB's own tools

    [Test]
    public async Task LiteDBReadsTheFileThatAClosedStoreIs()
    {
        await FillAndClose(10);
        byte[] before = File.ReadAllBytes(_folder.File("queue.db"));

        using (var other = new LiteDatabase(_folder.File("queue.db")))
        {
            Assert.That(other.GetCollection("records").Count(), Is.EqualTo(10));
            Assert.That(other.GetCollection("about").FindOne("1 = 1")["_id"].AsString, Is.EqualTo("QueueKit"));
        }

        Assert.That(File.ReadAllBytes(_folder.File("queue.db")), Is.EqualTo(before), "looking changes nothing");
        await using IMessageStore store = await OpenAsync();
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(10));
    }

    [Test]
    public async Task LiteDBReadsTheTwoFilesThatACrashedStoreIs()
    {
        await using IMessageStore store = await OpenAsync();
        for (int i = 0; i < 30; i++)
            Put(store, i, new byte[2000]);
        store.Commit(SomeBatch.Of(batch => batch.DeleteRange(SomeBatch.Key(0), SomeBatch.Key(10))), FlushLevel.Flushed);
        Directory.CreateDirectory(_folder.File("copy"));
        foreach (string name in (string[])["queue.db", "queue-log.db"])
            File.Copy(_folder.File(name), _folder.File(Path.Combine("copy", name)));

        using var other = new LiteDatabase(_folder.File(Path.Combine("copy", "queue.db")));

        Assert.That(other.GetCollection("records").Count(), Is.EqualTo(20));
    }

    // Other processes

    [Test]
    public async Task AStoreThatAnotherProcessHoldsIsInUse()
    {
        await FillAndClose(1);
        using Process holder = await Command.Start("flock", $"-x {_folder.File("queue.db-witness")} -c \"echo held; cat\"");
        Assert.That(await holder.StandardOutput.ReadLineAsync(), Is.EqualTo("held"));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")));
        holder.StandardInput.Close();
        await holder.WaitForExitAsync();
        await using IMessageStore store = await OpenAsync();
    }

    // Disks that are full or read-only

    [Test]
    public async Task AFullDiskAtACommitLosesNothingConfirmed()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 4);
        await using IMessageStore store = await OpenAsync(disk.File("queue.db"), logBytes: 64 << 20);
        int confirmed = 0;

        StoreException failure = Assert.Throws<StoreException>(() =>
        {
            for (int i = 0; i < 1000; i++)
            {
                Put(store, i, new byte[20_000]);
                confirmed++;
            }
        });

        Assert.That(failure.Fault, Is.EqualTo(StoreFault.Failed));
        Assert.That(failure.Message, Does.Contain(disk.File("queue.db")).And.Contain("writing"));
        Assert.That(() => Put(store, 2000, []), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped));
        await store.DisposeAsync();
        await disk.Grow(megabytes: 16);
        await using IMessageStore again = await OpenAsync(disk.File("queue.db"));
        Assert.That(SomeBatch.Describe(again), Has.Length.InRange(confirmed, confirmed + 1));
        Assert.That(confirmed, Is.GreaterThan(20));
    }

    [Test]
    public async Task AFullDiskAtACheckpointLosesNothingConfirmed()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 16);
        await using IMessageStore store = await OpenAsync(disk.File("queue.db"), logBytes: 64 << 20);
        for (int i = 0; i < 100; i++)
            Put(store, i, new byte[20_000]);
        disk.Fill(leave: 100_000);

        _clock.Advance(TimeSpan.FromSeconds(5));

        StoreException stopped = Assert.Throws<StoreException>(() => Put(store, 2000, []));
        Assert.That(stopped.Fault, Is.EqualTo(StoreFault.Stopped));
        Assert.That(stopped.Message, Does.Contain("copying its log"));
        await store.DisposeAsync();
        disk.Empty();
        await using IMessageStore again = await OpenAsync(disk.File("queue.db"));
        Assert.That(SomeBatch.Describe(again), Has.Length.EqualTo(100));
    }

    [Test]
    public async Task AFullDiskAtOpeningIsSaidAndNothingIsLost()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 4);
        await using (IMessageStore store = await OpenAsync(disk.File("queue.db")))
            Put(store, 1, new byte[100]);
        disk.Fill(leave: 0);

        Assert.That(Refusal(disk.File("queue.db")).Message, Does.Contain("could not be made ready").And.Contain("Free some space"));
        Assert.That(Refusal(disk.File("another.db")).Message, Does.Contain(disk.File("another")).And.Contain("Free some space"));

        disk.Empty();
        await using IMessageStore again = await OpenAsync(disk.File("queue.db"));
        Assert.That(SomeBatch.Describe(again), Has.Length.EqualTo(1));
        await using IMessageStore another = await OpenAsync(disk.File("another.db"));
    }

    [Test]
    public async Task TheLowWaterMarkRefusesMessagesAndTakesAcks()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 8);
        await using IMessageStore store = await OpenAsync(disk.File("queue.db"), minFreeBytes: 3 << 20);
        int sent = 0;
        StoreException refusal = Assert.Throws<StoreException>(() =>
        {
            for (; sent < 1000; sent++)
                Put(store, sent, new byte[20_000]);
        });

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(disk.File("queue.db")).And.Contain((3 << 20).ToString(System.Globalization.CultureInfo.InvariantCulture)));
        for (int i = 0; i < sent; i++)
            store.Commit(SomeBatch.Of(batch => batch.Delete(SomeBatch.Key(i))), FlushLevel.Flushed);
        Assert.That(SomeBatch.Describe(store), Is.Empty);
        Assert.That(sent, Is.GreaterThan(20));
    }

    [Test]
    public async Task AReadOnlyDiskIsNamed()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 4);
        await using (IMessageStore store = await OpenAsync(disk.File("queue.db")))
            Put(store, 1, new byte[100]);
        WitnessFile.ReleaseRetired();
        await disk.MakeReadOnly();

        foreach (string name in (string[])["queue.db", "another.db"])
        {
            StoreException refusal = Refusal(disk.File(name));
            Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
            Assert.That(refusal.Message, Does.Contain(disk.File(name)).And.Contain("let this process read and write"));
        }
    }

    // Means

    private static void Put(IMessageStore store, int sequence, byte[] body) =>
        store.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(sequence), new byte[4], body)), FlushLevel.Flushed);

    private async Task FillAndClose(int records)
    {
        await using IMessageStore store = await OpenAsync();
        for (int i = 0; i < records; i++)
            Put(store, i, new byte[500]);
    }

    private ValueTask<IMessageStore> OpenAsync(string? path = null, long logBytes = 1 << 20, long minFreeBytes = 0)
    {
        IMessageStoreProvider provider = new LiteDBStore(
            path ?? _folder.File("queue.db"), new LiteDBStoreOptions { LogBytes = logBytes, MinFreeBytes = minFreeBytes, TimeProvider = _clock });
        return provider.OpenAsync();
    }

    private StoreException Refusal(string? path = null) => Assert.ThrowsAsync<StoreException>(async () => await OpenAsync(path)).GetAwaiter().GetResult()!;
}
