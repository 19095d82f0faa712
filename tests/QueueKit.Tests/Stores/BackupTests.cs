using System.Diagnostics;
using System.Globalization;
using System.Text;
using QueueKit.LiteDB;
using QueueKit.RocksDB;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>A broker that copies its store while it works, on each store on a disk, and what is in the way of that.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class BackupTests
{
    private readonly TestFolder _folder = new();

    public enum Engine { LiteDB, RocksDB, Sqlite }

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task ABackupUnderLoadHasEverythingThatWasConfirmedBeforeAndOpensByItself([Values] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null });
        for (int i = 0; i < 100; i++)
            await queue.SendAsync(Text($"{i} {new string('x', i * 300)}"));
        for (int i = 0; i < 10; i++)
            await (await queue.ReceiveAsync()).AckAsync();
        bool isDone = false;
        int confirmed = 100;
        Task sending = Task.Run(async () =>
        {
            while (!Volatile.Read(ref isDone))
            {
                await queue.SendAsync(Text($"{confirmed}"));
                Interlocked.Increment(ref confirmed);
            }
        });
        int[] before = new int[3];

        for (int i = 0; i < 3; i++)
        {
            before[i] = Volatile.Read(ref confirmed);
            await broker.BackupAsync(_folder.File($"backup-{i}"));
        }

        Volatile.Write(ref isDone, true);
        await sending;
        for (int i = 0; i < 3; i++)
        {
            await using MessageBroker restored = await OpenAsync(engine, _folder.File($"backup-{i}"), isBackup: true);
            List<Delivery> found = await Drain(restored.GetQueue("orders"));
            Assert.That(found.Select(Number), Is.EqualTo(Enumerable.Range(10, found.Count)));
            Assert.That(found, Has.Count.GreaterThanOrEqualTo(before[i] - 10));
            Assert.That(found.Select(static delivery => delivery.IsRedelivered), Is.All.True, "maybe delivered before: nobody knows");
            await restored.GetQueue("orders").SendAsync(Text("1000000"));
        }
        await queue.SendAsync(Text("1000000"));
    }

    [Test]
    public async Task TwoBackupsAtOnceAreBothComplete([Values] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        MessageQueue queue = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 20; i++)
            await queue.SendAsync(Text($"{i}"));

        await Task.WhenAll(broker.BackupAsync(_folder.File("one")).AsTask(), broker.BackupAsync(_folder.File("two")).AsTask());

        foreach (string name in (string[])["one", "two"])
        {
            await using MessageBroker restored = await OpenAsync(engine, _folder.File(name), isBackup: true);
            Assert.That((await Drain(restored.GetQueue("orders"))).Select(Number), Is.EqualTo(Enumerable.Range(0, 20)));
        }
    }

    [Test]
    public async Task TwoBackupsAtOnceInOneFolderAreOneBackupAndARefusal([Values] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        await (await broker.DeclareQueueAsync("orders")).SendAsync(Text("1"));

        Task[] both = [broker.BackupAsync(_folder.File("same")).AsTask(), broker.BackupAsync(_folder.File("same")).AsTask()];

        Assert.That(async () => await Task.WhenAll(both), Refuses("not empty"));
        Assert.That(both.Count(static backup => backup.IsCompletedSuccessfully), Is.EqualTo(1));
        await using MessageBroker restored = await OpenAsync(engine, _folder.File("same"), isBackup: true);
        Assert.That(await Drain(restored.GetQueue("orders")), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task AnEmptyFolderIsTakenAndOneThatIsInUseIsNotTouched([Values] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        await (await broker.DeclareQueueAsync("orders")).SendAsync(Text("1"));
        Directory.CreateDirectory(_folder.File("empty"));
        Directory.CreateDirectory(_folder.File("used"));
        await File.WriteAllTextAsync(Path.Combine(_folder.File("used"), "letter.txt"), "Dear");
        await File.WriteAllTextAsync(_folder.File("file"), "Dear");

        await broker.BackupAsync(_folder.File("empty"));

        Assert.That(async () => await broker.BackupAsync(_folder.File("used")), Refuses("not empty"));
        Assert.That(async () => await broker.BackupAsync(_folder.File("file")), Refuses("a file of that name"));
        Assert.That(async () => await broker.BackupAsync(_folder.File("no/such/folder")), Refuses("no folder"));
        Assert.That(Directory.GetFiles(_folder.File("used")), Has.Length.EqualTo(1));
        Assert.That(await File.ReadAllTextAsync(_folder.File("file")), Is.EqualTo("Dear"));
        await using MessageBroker restored = await OpenAsync(engine, _folder.File("empty"), isBackup: true);
        Assert.That(await Drain(restored.GetQueue("orders")), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task AFullDiskLeavesNothingThatLooksLikeABackup([Values] Engine engine)
    {
        using SmallDisk disk = await SmallDisk.Mount(_folder, megabytes: 4);
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        MessageQueue queue = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 20; i++)
            await queue.SendAsync(new Message(RandomBytes(400_000, i)));

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await broker.BackupAsync(disk.File("backup")));

        Assert.That((refusal.Fault, refusal.OutcomeUnknown), Is.EqualTo((StoreFault.Refused, false)));
        Assert.That(refusal.Message, Does.Contain(disk.File("backup")));
        Assert.That(Directory.EnumerateFileSystemEntries(Path.GetDirectoryName(disk.File("x"))!), Is.Empty);
        await disk.Grow(megabytes: 64);
        await broker.BackupAsync(disk.File("backup"));
        await using (MessageBroker restored = await OpenAsync(engine, disk.File("backup"), isBackup: true))
            Assert.That((await Drain(restored.GetQueue("orders"))).Select(static (delivery, i) => delivery.Message.Body.Span.SequenceEqual(RandomBytes(400_000, i))), Has.Exactly(20).True);
        WitnessFile.ReleaseRetired();
    }

    [Test]
    public async Task WhatAKilledBackupHasLeftIsNoBackupAndInNobodysWay([Values] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        await (await broker.DeclareQueueAsync("orders")).SendAsync(Text("1"));
        Directory.CreateDirectory(_folder.File("backup-unfinished"));
        await File.WriteAllTextAsync(Path.Combine(_folder.File("backup-unfinished"), "queue.db"), "half");

        await broker.BackupAsync(_folder.File("backup"));

        Assert.That(Directory.Exists(_folder.File("backup-unfinished")), Is.False);
        await using MessageBroker restored = await OpenAsync(engine, _folder.File("backup"), isBackup: true);
        Assert.That(await Drain(restored.GetQueue("orders")), Has.Count.EqualTo(1));
    }

    [Test]
    public async Task ADamagedPageIsFoundByTheBackupOfLiteDB()
    {
        await using MessageBroker broker = await OpenAsync(Engine.LiteDB, _folder.File("live"));
        MessageQueue queue = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 10; i++)
            await queue.SendAsync(new Message(RandomBytes(5_000, i)));
        string log = Path.Combine(_folder.File("live"), "queue-log.db");
        await Damage(log, at: 10 * 8192 + 100);

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await broker.BackupAsync(_folder.File("backup")));

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("page 10 of").And.Contain(log));
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(["live"]));
    }

    // Whatever is behind the broker

    [Test]
    public async Task ABrokerWhoseStoreCannotCopyItselfSaysSo()
    {
        await using MessageBroker transient = await MessageBroker.OpenAsync();
        await using MessageBroker inMemory = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new InMemoryMessageStore() });

        Assert.That(async () => await transient.BackupAsync(_folder.File("backup")), Refuses("has no store"));
        Assert.That(async () => await inMemory.BackupAsync(_folder.File("backup")), Refuses("cannot copy itself"));
        Assert.That(async () => await inMemory.BackupAsync(" "), Throws.ArgumentException);
        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path), Is.Empty);
        await inMemory.DisposeAsync();
        Assert.That(async () => await inMemory.BackupAsync(_folder.File("backup")), Throws.InstanceOf<ObjectDisposedException>());
    }

    [Test]
    public async Task ClosingTheBrokerGivesUpTheBackupThatIsUnderWayAndThoseThatWait()
    {
        var store = new HangingStore();
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        Task first = broker.BackupAsync(_folder.File("one")).AsTask();
        await store.Entered.Task;
        Task second = broker.BackupAsync(_folder.File("two")).AsTask();

        await broker.DisposeAsync();

        Assert.That(first.IsCompleted && second.IsCompleted, Is.True, "the broker has not waited for its end");
        Assert.That(async () => await first, Refuses("was closed before"));
        Assert.That(async () => await second, Refuses("was closed before"));
    }

    [Test]
    public async Task ACancelledBackupIsGivenUpAndTheNextIsMade()
    {
        var store = new HangingStore();
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        using var gaveUp = new CancellationTokenSource();
        Task first = broker.BackupAsync(_folder.File("one"), gaveUp.Token).AsTask();
        await store.Entered.Task;

        await gaveUp.CancelAsync();

        Assert.That(async () => await first, Throws.InstanceOf<OperationCanceledException>());
        store.Hangs = false;
        await broker.BackupAsync(_folder.File("two"));
        Assert.That(store.Backups, Is.EqualTo([Path.GetFullPath(_folder.File("two"))]));
    }

    [Test]
    public async Task ABackupThatIsCancelledInTheMidstOfItLeavesNothing([Values(Engine.LiteDB, Engine.Sqlite)] Engine engine)
    {
        await using MessageBroker broker = await OpenAsync(engine, _folder.File("live"));
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxBytes = null });
        for (int i = 0; i < 60; i++)
            await queue.SendAsync(new Message(RandomBytes(400_000, i)));
        using var gaveUp = new CancellationTokenSource();
        using var watcher = new FileSystemWatcher(_folder.Path);
        watcher.Created += (_, _) => gaveUp.Cancel();
        watcher.EnableRaisingEvents = true;

        Assert.That(async () => await broker.BackupAsync(_folder.File("backup"), gaveUp.Token), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(Directory.EnumerateFileSystemEntries(_folder.Path).Select(Path.GetFileName), Is.EqualTo(["live"]));
        await queue.SendAsync(Text("goes on"));
    }

    private static NUnit.Framework.Constraints.ContainsConstraint Refuses(string why) =>
        Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Refused).And.Message.Contains(why);

    private static async Task<MessageBroker> OpenAsync(Engine engine, string folder, bool isBackup = false)
    {
        if (!isBackup)
            Directory.CreateDirectory(folder);
        IMessageStoreProvider store = engine switch
        {
            Engine.LiteDB => new LiteDBStore(Path.Combine(folder, "queue.db"), new LiteDBStoreOptions { MinFreeBytes = 0, LogBytes = 1 << 20, IdleTime = TimeSpan.FromHours(1) }),
            Engine.RocksDB => new RocksDBStore(isBackup ? folder : Path.Combine(folder, "queue"), new RocksDBStoreOptions { MinFreeBytes = 0 }),
            _ => new SqliteStore(Path.Combine(folder, "queue.db"), new SqliteStoreOptions { MinFreeBytes = 0, LogBytes = 1 << 20 }),
        };
        return await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
    }

    private static async Task<List<Delivery>> Drain(MessageQueue queue)
    {
        var all = new List<Delivery>();
        while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero) is { Count: > 0 } some)
            all.AddRange(some);
        foreach (Delivery delivery in all)
            delivery.Ack();
        return all;
    }

    // Past .NET, which would have to lock what its owner has locked.
    private static async Task Damage(string path, long at)
    {
        using Process damaging = await Command.Start("dd", $"if=/dev/zero of={path} bs=1 count=4000 seek={at} conv=notrunc");
        await damaging.WaitForExitAsync();
        Assert.That(damaging.ExitCode, Is.Zero);
    }

    private static Message Text(string text) => new(Encoding.UTF8.GetBytes(text));

    private static int Number(Delivery delivery) => int.Parse(Encoding.UTF8.GetString(delivery.Message.Body.Span).Split(' ')[0], CultureInfo.InvariantCulture);

    private static byte[] RandomBytes(int length, int seed)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    // In memory, with backups that do not end by themselves.
    private sealed class HangingStore : IMessageStoreProvider
    {
        private readonly InMemoryMessageStore _inMemory = new();

        public string Description => "a store whose backups hang";

        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool Hangs { get; set; } = true;

        public List<string> Backups { get; } = [];

        public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) => new Session(this, await ((IMessageStoreProvider)_inMemory).OpenAsync(ct));

        private sealed class Session(HangingStore owner, IMessageStore store) : IMessageStore, IBackupStore
        {
            public int MaxRecordBytes => store.MaxRecordBytes;

            public bool CommitBlocks => store.CommitBlocks;

            public void Commit(StoreBatch batch, FlushLevel level) => store.Commit(batch, level);

            public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page) => store.Read(from, to, maxCount, maxBytes, page);

            public ValueTask DisposeAsync() => store.DisposeAsync();

            public async ValueTask BackupAsync(string folder, CancellationToken ct = default)
            {
                owner.Entered.TrySetResult();
                if (owner.Hangs)
                    await new TaskCompletionSource().Task.WaitAsync(ct);
                owner.Backups.Add(folder);
            }
        }
    }
}
