using QueueKit.RocksDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>Disks that fail and fill up, and what the store says and does then; how much it takes of them.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class RocksDBFaultTests
{
    private readonly VirtualClock _clock = new();
    private readonly TestFolder _folder = new();
    private readonly StoreBatch _batch = new();
    private bool _failsNextWrite;

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task AWriteThatFailedIsRefusedUntilTheStoreIsRepairedAndNothingConfirmedIsLost()
    {
        string path = _folder.File("queue");
        MessageBroker broker = await OpenBroker(path);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 20; i++)
            await orders.SendAsync(CrashedStore.Text($"{i}"));
        _failsNextWrite = true;

        StoreException failure = await Assert.ThrowsAsync<StoreException>(async () => await orders.SendAsync(CrashedStore.Text("unknown")));

        Assert.That(failure.OutcomeUnknown, Is.True);
        Assert.That(async () => await orders.SendAsync(CrashedStore.Text("later")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).False);
        Assert.That(async () => await broker.Completion, Throws.InstanceOf<StoreException>());
        await broker.DisposeAsync();
        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await OpenBroker(path));
        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(path).And.Contain("RocksDBStore.RepairAsync").And.Contain("Input/output error"));

        RocksDBRepairReport report = await RocksDBStore.RepairAsync(path);

        Assert.That(report.Findings, Is.Empty);
        Assert.That(report.SetAside.Single(), Does.Exist);
        await using MessageBroker repaired = await OpenBroker(path);
        Assert.That((await CrashedStore.DrainAsync(repaired)).Select(static message => message.Value), Is.EqualTo(Enumerable.Range(0, 20).Select(static i => $"{i}")));
        await repaired.GetQueue("orders").SendAsync(CrashedStore.Text("goes on"));
    }

    [Test]
    public void AfterAFailureNothingIsTriedAgainAndNothingIsRead()
    {
        using RocksMessageStore store = Open();
        Put(store, 1);
        _failsNextWrite = true;

        Assert.That(() => Put(store, 2), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).True.And.Message.Contains("writing a commit"));

        Assert.That(() => Put(store, 3), Stops);
        Assert.That(() => Count(store), Stops);
        Assert.That(async () => await store.BackupAsync(_folder.File("backup")), Stops);
        _clock.Advance(TimeSpan.FromMinutes(1));
    }

    // Space

    [Test]
    public void BelowTheLowWaterMarkMessagesAreRefusedAndAcksAreTaken()
    {
        using (RocksMessageStore roomy = Open(minFreeBytes: 0))
            Put(roomy, 1);
        using RocksMessageStore store = Open(minFreeBytes: long.MaxValue);

        StoreException refusal = Assert.Throws<StoreException>(() => Put(store, 2));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue")).And.Contain("MinFreeBytes"));
        _batch.Clear();
        _batch.Delete(Key(1));
        _batch.Put(new StoreKey(StoreKind.Attempts, 1, 0, 0, 0, 5), new byte[4]);
        _batch.Put(new StoreKey(StoreKind.Meta, 0, 0, 0, 0, 1), new byte[16]);
        store.Commit(_batch, FlushLevel.Flushed);
        Assert.That(Count(store), Is.Zero);
    }

    [Test]
    public async Task OnADiskThatFillsUpNothingConfirmedIsLostAndItGoesOnWhenThereIsRoom()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 64);
        string path = disk.File("queue");
        await using MessageBroker broker = await OpenBroker(path, minFreeBytes: 8 << 20);
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null, MaxBytes = null });
        int sent = 0;
        StoreException? refusal = null;
        while (refusal is null)
        {
            try
            {
                await queue.SendAsync(new Message(new byte[100_000]));
                sent++;
            }
            catch (StoreException error)
            {
                refusal = error;
            }
        }

        Assert.That((refusal.Fault, sent > 50), Is.EqualTo((StoreFault.Refused, true)));
        Assert.That(refusal.Message, Does.Contain("nearly full"));
        for (int i = 0; i < sent / 2; i++)
            Assert.That(await (await queue.ReceiveAsync()).AckAsync(), Is.EqualTo(SettleResult.Settled));
        await disk.Grow(256);
        await queue.SendAsync(new Message(new byte[100_000]));
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(sent - sent / 2 + 1));
    }

    [Test]
    public async Task OnADiskThatIsFullAllTheSameTheStoreStopsAndARepairFindsEverythingConfirmed()
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 64);
        string path = disk.File("queue");
        int confirmed = 0;
        await using (MessageBroker broker = await OpenBroker(path))
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null, MaxBytes = null });
            disk.Fill(leave: 4 << 20);
            StoreException? failure = null;
            while (failure is null)
            {
                try
                {
                    await queue.SendAsync(new Message(new byte[50_000]));
                    confirmed++;
                }
                catch (StoreException error)
                {
                    failure = error;
                }
            }
            Assert.That(failure.Message, Does.Contain(path).And.Contain("No space left"));
        }
        Assert.That(async () => await OpenBroker(path), Throws.InstanceOf<StoreException>().With.Message.Contains("RocksDBStore.RepairAsync"));
        disk.Empty();

        RocksDBRepairReport report = await RocksDBStore.RepairAsync(path);

        await using MessageBroker repaired = await OpenBroker(path);
        Assert.That((await CrashedStore.DrainAsync(repaired)).Count, Is.InRange(confirmed, confirmed + 1), string.Join('\n', report.Findings));
    }

    // A small one, and one in a file of large ones.
    [TestCase(1_500)]
    [TestCase(1_501)]
    public async Task WhatIsDrainedGivesItsSpaceBackWhenTheStoreIsIdle(int stuck)
    {
        await using RocksMessageStore store = Open();
        for (int i = 0; i < 3_000; i += 100)
            PutMany(store, i, 100);
        _clock.Advance(TimeSpan.FromSeconds(3));
        store.Flush();
        long full = FileBytes();
        for (int i = 0; i < 3_000; i += 100)
        {
            _batch.Clear();
            for (int sequence = i; sequence < i + 100; sequence++)
            {
                // One stays, and must not hold the others.
                if (sequence != stuck)
                    _batch.Delete(Key(sequence));
            }
            store.Commit(_batch, FlushLevel.Written);
        }

        _clock.Advance(TimeSpan.FromSeconds(3));

        // RocksDB's own threads delete the files that are not needed any more.
        for (int i = 0; i < 100_000 && FileBytes() >= full / 20; i++)
            Thread.Yield();
        await TestContext.Out.WriteLineAsync($"{full} bytes full, {FileBytes()} drained");
        Assert.That(full, Is.GreaterThan(10_000_000));
        Assert.That(FileBytes(), Is.LessThan(full / 20));
        Assert.That(_clock.ArmedTimers, Is.Zero, "an idle store has nothing to do");
        Assert.That(Count(store), Is.EqualTo(1));
    }

    [TestCase(2_990)]
    [TestCase(3_000)]
    public async Task ARangeThatIsDeletedGivesItsSpaceBackToo(int to)
    {
        await using RocksMessageStore store = Open();
        for (int i = 0; i < 3_000; i += 100)
            PutMany(store, i, 100);
        store.Flush();
        long full = FileBytes();
        _batch.Clear();
        _batch.DeleteRange(Key(0), Key(to));
        store.Commit(_batch, FlushLevel.Written);

        _clock.Advance(TimeSpan.FromSeconds(3));

        Assert.That(FileBytes(), Is.LessThan(full / 20));
        Assert.That(Count(store), Is.EqualTo(3_000 - to));
    }

    [Test]
    public async Task AStoreThatIsClosedHasNothingInItsLogs()
    {
        await using (RocksMessageStore store = Open())
            PutMany(store, 1, 100);

        Assert.That(new StorePaths(_folder.File("queue")).Logs().Sum(static log => log.Length), Is.Zero);
        using RocksMessageStore again = Open();
        Assert.That(again.IsWritable, Is.False, "nobody has committed");
        Assert.That(Count(again), Is.EqualTo(100));
    }

    private static NUnit.Framework.Constraints.IResolveConstraint Stops => Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped);

    private static StoreKey Key(int sequence) => new(StoreKind.Message, 1, 9, 0, 0, sequence);

    private RocksMessageStore Open(long minFreeBytes = 0) =>
        RocksMessageStore.Open(new StorePaths(_folder.File("queue")), new RocksDBStoreOptions { MinFreeBytes = minFreeBytes }, _clock, FailIfTold);

    private async Task<MessageBroker> OpenBroker(string path, long minFreeBytes = 0) => await MessageBroker.OpenAsync(new MessageBrokerOptions
    {
        Store = new RocksDBStore(path, new RocksDBStoreOptions { MinFreeBytes = minFreeBytes, WriteBufferBytes = 4 << 20 }, () => _clock, FailIfTold),
        TimeProvider = _clock,
    });

    private void FailIfTold()
    {
        if (!_failsNextWrite)
            return;
        _failsNextWrite = false;
        throw new IOException("Input/output error");
    }

    private void Put(RocksMessageStore store, int sequence) => PutMany(store, sequence, 1);

    // Half of them in files of large records.
    private void PutMany(RocksMessageStore store, int first, int count)
    {
        var random = new Random(first);
        _batch.Clear();
        for (int sequence = first; sequence < first + count; sequence++)
        {
            byte[] body = new byte[sequence % 2 == 0 ? 1_000 : 8_000];
            random.NextBytes(body);
            _batch.Insert(Key(sequence), new byte[4], body);
        }
        store.Commit(_batch, FlushLevel.Written);
    }

    private static int Count(RocksMessageStore store)
    {
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return page.Records.Count;
    }

    private long FileBytes() => Directory.EnumerateFiles(_folder.File("queue")).Where(static file => Path.GetExtension(file) is ".sst" or ".blob").Sum(static file => new FileInfo(file).Length);
}
