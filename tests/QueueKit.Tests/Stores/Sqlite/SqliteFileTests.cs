using System.Diagnostics;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.Sqlite;

/// <summary>On a real file system: what can be in the place of a store, disks that are full or read-only, other processes, and files that are cut, missing or mixed up.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class SqliteFileTests
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
    [TestCase("queue.db-wal")]
    public void AFolderInThePlaceOfAFileIsNamed(string name)
    {
        Directory.CreateDirectory(_folder.File(name));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Refused));
        Assert.That(refusal.Message, Does.Contain(_folder.File(name)).And.Contain("is a folder"));
    }

    [TestCase("")]
    [TestCase("Dear diary,")]
    [TestCase("\0\0\0\0")]
    public void AnotherFileIsRefusedUntouched(string content)
    {
        File.WriteAllText(_folder.File("queue.db"), content);

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")).And.Contain("not a store of QueueKit"));
        Assert.That(File.ReadAllText(_folder.File("queue.db")), Is.EqualTo(content));
    }

    [TestCase("")]
    [TestCase("PRAGMA application_id = 252006673")]
    public void ASqliteDatabaseOfAnotherProgramIsRefusedUntouched(string mark)
    {
        Execute("CREATE TABLE things(a); INSERT INTO things VALUES(1);" + mark);
        byte[] before = File.ReadAllBytes(_folder.File("queue.db"));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("not a store of QueueKit").And.Contain("another program"));
        Assert.That(File.ReadAllBytes(_folder.File("queue.db")), Is.EqualTo(before));
    }

    [Test]
    public async Task ANewerFormatIsRefused()
    {
        await FillAndClose(3);
        Execute("PRAGMA user_version = 2");
        byte[] before = File.ReadAllBytes(_folder.File("queue.db"));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("has format 2").And.Contain("newer version"));
        Assert.That(File.ReadAllBytes(_folder.File("queue.db")), Is.EqualTo(before));
    }

    [Test]
    public async Task ALogWithoutItsDatabaseIsRefusedUntouched()
    {
        await CrashAfter(3);
        byte[] log = await File.ReadAllBytesAsync(_folder.File("queue.db-wal"));
        File.Delete(_folder.File("queue.db"));

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain("queue.db' is missing").And.Contain("queue.db-wal"));
        Assert.That(File.ReadAllBytes(_folder.File("queue.db-wal")), Is.EqualTo(log));
    }

    [TestCase(0)]
    [TestCase(50)]
    [TestCase(4096)]
    [TestCase(10_000)]
    public async Task ATruncatedDatabaseIsRefused(int length)
    {
        await FillAndClose(100);
        using (FileStream file = File.OpenWrite(_folder.File("queue.db")))
            file.SetLength(length);

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")));
        Assert.That(new FileInfo(_folder.File("queue.db")).Length, Is.EqualTo(length));
    }

    // Other programs

    [Test]
    public async Task AProgramThatLocksTheDatabaseIsBlamed()
    {
        await FillAndClose(1);
        using var other = new SqliteConnection($"Data Source={_folder.File("queue.db")};Pooling=False");
        other.Open();
        Execute(other, "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; CREATE TABLE mine(a); COMMIT");

        StoreException refusal = Refusal();

        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.InUse));
        Assert.That(refusal.Message, Does.Contain(_folder.File("queue.db")).And.Contain("locked by a program that is no broker"));
        other.Close();
        await using IMessageStore store = await OpenAsync();
        Assert.That(SomeBatch.Describe(store), Has.Length.EqualTo(1));
    }

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
        Assert.That(failure.Message, Does.Contain(disk.File("queue.db")).And.Contain("a commit"));
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

    // Checkpoints

    [Test]
    public async Task AnIdleStoreCopiesItsLogAndHasNothingToDo()
    {
        var store = (SqliteMessageStore)await OpenAsync();
        for (int i = 0; i < 20; i++)
            Put(store, i, new byte[5000]);
        long before = new FileInfo(_folder.File("queue.db")).Length;

        _clock.Advance(TimeSpan.FromMilliseconds(900));
        Put(store, 20, new byte[10]);
        _clock.Advance(TimeSpan.FromMilliseconds(200));
        Assert.That(new FileInfo(_folder.File("queue.db")).Length, Is.EqualTo(before), "it was not idle");
        _clock.Advance(TimeSpan.FromSeconds(3));

        Assert.That(new FileInfo(_folder.File("queue.db")).Length, Is.GreaterThan(before + 90_000));
        Assert.That(_clock.ArmedTimers, Is.Zero, "an idle store has nothing to do");
        Put(store, 21, new byte[10]);
        Assert.That(store.LogPages, Is.LessThan(5), "the log was begun anew");
        await store.DisposeAsync();
    }

    // With a thread that commits without a pause and another one that looks without a pause.
    [Test]
    public async Task CheckpointsBesideCommitsLoseNothingAndKeepTheLogShort()
    {
        var model = new StoreModel();
        int begunAnew = 0;
        long longest = 0;
        await using (var store = (SqliteMessageStore)await OpenAsync())
        {
            bool isDone = false;
            Task looking = Task.Run(() =>
            {
                while (!Volatile.Read(ref isDone))
                    _clock.Advance(TimeSpan.Zero);
            });
            var random = new Random(17);
            long length = 0;
            for (int i = 0; i < 600; i++)
            {
                StoreBatch batch = SomeBatch.Random(random);
                store.Commit(batch, i % 5 == 0 ? FlushLevel.Flushed : FlushLevel.Written);
                model.Apply(batch);
                begunAnew += store.LogPages < length ? 1 : 0;
                length = store.LogPages;
                longest = Math.Max(longest, length);
                if (i % 50 == 0)
                    Assert.That(SomeBatch.Describe(store), Is.EqualTo(model.Describe()));
            }
            Volatile.Write(ref isDone, true);
            await looking;
            Assert.That(SomeBatch.Describe(store), Is.EqualTo(model.Describe()));
        }
        Assert.That(begunAnew, Is.GreaterThan(3));
        Assert.That(longest, Is.LessThan(3 * (1 << 20) / 4096));
        await using IMessageStore again = await OpenAsync();
        Assert.That(SomeBatch.Describe(again), Is.EqualTo(model.Describe()));
    }

    [Test]
    public async Task WithoutATimerACommitKeepsTheLogWithinTwiceItsLimit()
    {
        await using var store = (SqliteMessageStore)await OpenAsync();
        long longest = 0;
        for (int i = 0; i < 1000; i++)
        {
            store.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(i % 10), new byte[4], new byte[8000])), FlushLevel.Written);
            longest = Math.Max(longest, store.LogPages);
        }
        Assert.That(longest * 4096, Is.InRange(1 << 20, (2 << 20) + 100_000));
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

    // The files that a killed process leaves, but for the witness.
    private async Task CrashAfter(int records)
    {
        await using IMessageStore store = await OpenAsync(_folder.File("open.db"));
        for (int i = 0; i < records; i++)
            Put(store, i, new byte[500]);
        foreach (string suffix in (string[])["", "-wal"])
            File.Copy(_folder.File("open.db" + suffix), _folder.File("queue.db" + suffix));
    }

    private void Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_folder.File("queue.db")};Pooling=False");
        connection.Open();
        Execute(connection, sql);
    }

    private static void Execute(SqliteConnection connection, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // The texts stand above.
        command.CommandText = sql;
#pragma warning restore CA2100
        command.ExecuteNonQuery();
    }

    private ValueTask<IMessageStore> OpenAsync(string? path = null, long logBytes = 1 << 20, long minFreeBytes = 0)
    {
        IMessageStoreProvider provider = new SqliteStore(
            path ?? _folder.File("queue.db"),
            new SqliteStoreOptions { LogBytes = logBytes, MinFreeBytes = minFreeBytes, TimeProvider = _clock, BusyTimeout = TimeSpan.FromMilliseconds(20) });
        return provider.OpenAsync();
    }

    private StoreException Refusal(string? path = null) => Assert.ThrowsAsync<StoreException>(async () => await OpenAsync(path)).GetAwaiter().GetResult()!;
}
