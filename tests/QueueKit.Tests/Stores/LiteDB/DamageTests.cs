using QueueKit.LiteDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>Files that are not what was written: found and said, never handed out, never followed into a loop.</summary>
public class DamageTests
{
    private static StorePaths Paths => SimulatedStore.Paths;

    // A byte anywhere

    [Test]
    public async Task AFlippedBitInAClosedStoreIsFoundOrTouchesNothing()
    {
        (SimulatedDisk disk, string[] records) = await ClosedStore();
        byte[] data = disk.ReadAll(Paths.Data);
        int found = 0, harmless = 0;
        foreach (int offset in Offsets(data.Length, seed: 1))
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Data, Flip(data, offset));

            string[]? read = ReadOrRefusal(damaged, offset);

            if (read is null)
                found++;
            else
                harmless++;
            Assert.That(read, Is.Null.Or.EqualTo(records), $"offset {offset}");
        }
        await TestContext.Out.WriteLineAsync($"{found + harmless} bits of {data.Length} bytes flipped one by one: {found} found, {harmless} in pages that hold no record");
        Assert.That(found, Is.GreaterThan(100));
    }

    [Test]
    public async Task AFlippedBitInALogIsFoundOrCostsTheLastCommitAlone()
    {
        (SimulatedDisk disk, List<string[]> states) = await CrashedStore();
        byte[] log = disk.ReadAll(Paths.Log);
        int found = 0, harmless = 0, last = 0;
        foreach (int offset in Offsets(log.Length, seed: 2))
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Log, Flip(log, offset));

            string[]? read = ReadOrRefusal(damaged, offset);

            // Damage in the last commit looks like one that the power has cut off: only the broker's witness knows better.
            if (read is null)
                found++;
            else if (read.SequenceEqual(states[^1]))
                harmless++;
            else if (read.SequenceEqual(states[^2]))
                last++;
            else
                Assert.Fail($"offset {offset}: {read.Length} records, which are neither those of the last commit nor those of the one before");
        }
        await TestContext.Out.WriteLineAsync($"{found + harmless + last} bits of {log.Length} bytes flipped one by one: {found} found, {harmless} in the zeros ahead, {last} cost the last commit");
        Assert.That(found, Is.GreaterThan(last));
    }

    [Test]
    public async Task AFlippedBitInTheDataFileOfACrashedStoreIsFoundOrTouchesNothing()
    {
        (SimulatedDisk disk, List<string[]> states) = await CrashedStore();
        byte[] data = disk.ReadAll(Paths.Data);
        foreach (int offset in Offsets(data.Length, seed: 3))
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Data, Flip(data, offset));

            Assert.That(ReadOrRefusal(damaged, offset), Is.Null.Or.EqualTo(states[^1]), $"offset {offset}");
        }
    }

    // The damage is where LiteDB writes: a commit that comes upon it must not write over it.
    [Test]
    public async Task ACommitThatComesUponDamageStopsTheStoreAndChangesNothing()
    {
        (SimulatedDisk disk, _) = await ClosedStore();
        byte[] data = disk.ReadAll(Paths.Data);
        int stopped = 0;
        for (int page = 1; page < data.Length / 8192; page++)
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Data, Flip(data, (page * 8192) + 4000));
            LiteMessageStore store = SimulatedStore.Open(damaged);
            try
            {
                store.Commit(SomeBatch.Of(batch => batch.DeleteRange(SomeBatch.Key(0), SomeBatch.Key(1000))), FlushLevel.Flushed);
            }
            catch (StoreException error)
            {
                stopped++;
                Assert.That(error.Message, Does.Contain(Paths.Data).And.Contain($"page {page} "));
                Assert.That(
                    () => store.Commit(SomeBatch.Of(batch => batch.Put(SomeBatch.Key(1), new byte[1])), FlushLevel.Flushed),
                    Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Stopped));
            }
            await store.DisposeAsync();
        }
        Assert.That(stopped, Is.GreaterThan(3));
    }

    // Cut off

    [Test]
    public async Task ATruncatedDataFileIsRefused()
    {
        (SimulatedDisk disk, _) = await ClosedStore();
        byte[] data = disk.ReadAll(Paths.Data);
        var random = new Random(4);
        for (int length = 0; length < data.Length; length += random.Next(1, 4000))
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Data, data[..length]);

            Assert.That(ReadOrRefusal(damaged, length), Is.Null, $"cut off after {length} bytes");
            Assert.That(damaged.ReadAll(Paths.Data), Has.Length.EqualTo(length), "nothing was touched");
        }
    }

    [Test]
    public async Task ATruncatedLogIsReadUpToItsLastWholeCommit()
    {
        (SimulatedDisk disk, List<string[]> states) = await CrashedStore();
        byte[] log = disk.ReadAll(Paths.Log);
        var random = new Random(5);
        for (int length = 0; length < log.Length; length += random.Next(1, 6000))
        {
            SimulatedDisk damaged = disk.AfterCrash();
            damaged.Put(Paths.Log, log[..length]);

            string[]? read = ReadOrRefusal(damaged, length);

            Assert.That(read is null || states.Any(state => state.SequenceEqual(read)), Is.True, $"cut off after {length} bytes");
            Assert.That(read is null, Is.EqualTo(length < 8192), $"cut off after {length} bytes");
        }
    }

    // Files that do not belong together

    [Test]
    public async Task ALogThatIsNeededAndMissingIsNamed()
    {
        (SimulatedDisk disk, _) = await CrashedStore();
        disk.Remove(Paths.Log);

        AssertRefused(disk, Paths.Log, "is missing", "Put the log back");
    }

    [Test]
    public async Task ALogWithoutItsDataFileIsNamed()
    {
        (SimulatedDisk disk, _) = await CrashedStore();
        disk.Remove(Paths.Data);

        AssertRefused(disk, Paths.Data, "is missing", Paths.Log);
        Assert.That(disk.Exists(Paths.Data), Is.False);
    }

    [Test]
    public async Task WhatLiteDBsRebuildHasLeftIsNotTakenForNothing()
    {
        (SimulatedDisk disk, _) = await ClosedStore();
        disk.Put(Paths.LiteBackup, disk.ReadAll(Paths.Data));
        disk.Remove(Paths.Data);

        AssertRefused(disk, Paths.Data, "is missing", Paths.LiteBackup);
    }

    [Test]
    public async Task TheLogOfAnotherStoreIsRefused()
    {
        (SimulatedDisk disk, _) = await CrashedStore();
        (SimulatedDisk other, _) = await CrashedStore();
        disk.Put(Paths.Log, other.ReadAll(Paths.Log));

        AssertRefused(disk, Paths.Log, "does not belong", "another store");
    }

    [Test]
    public async Task ADataFileRestoredFromABackupWithoutItsLogIsRefused()
    {
        (SimulatedDisk disk, byte[] oldData, byte[] oldLog) = await TwoGenerations();
        SimulatedDisk oldDataNewLog = disk.AfterCrash(), newDataOldLog = disk.AfterCrash();
        oldDataNewLog.Put(Paths.Data, oldData);
        newDataOldLog.Put(Paths.Log, oldLog);

        AssertRefused(oldDataNewLog, Paths.Log, "does not belong", "newer than the data file");
        AssertRefused(newDataOldLog, Paths.Log, "does not belong", "older than the data file");
    }

    [Test]
    public async Task AStoreOfANewerFormatIsRefusedUntouched()
    {
        (SimulatedDisk disk, _) = await ClosedStore();
        byte[] data = disk.ReadAll(Paths.Data);
        data[120]++;
        PageFormat.Seal(data.AsSpan(0, 8192));
        disk.Put(Paths.Data, data);

        AssertRefused(disk, Paths.Data, "format 2", "reads format 1");
        Assert.That(disk.ReadAll(Paths.Data), Is.EqualTo(data));
    }

    // Means

    private static async Task<(SimulatedDisk Disk, string[] Records)> ClosedStore()
    {
        SimulatedDisk disk = await SimulatedStore.NewDisk();
        LiteMessageStore store = SimulatedStore.Open(disk);
        foreach (StoreBatch batch in Batches(10))
            store.Commit(batch, FlushLevel.Flushed);
        string[] records = SomeBatch.Describe(store);
        await store.DisposeAsync();
        return (disk.AfterCrash(), records);
    }

    private static async Task<(SimulatedDisk Disk, List<string[]> States)> CrashedStore()
    {
        SimulatedDisk disk = await SimulatedStore.NewDisk();
        var clock = new VirtualClock();
        LiteMessageStore store = SimulatedStore.Open(disk, clock, logBytes: 1 << 20);
        List<string[]> states = [];
        foreach (StoreBatch batch in Batches(10))
        {
            store.Commit(batch, FlushLevel.Flushed);
            states.Add(SomeBatch.Describe(store));
            if (states.Count == 5)
                clock.Advance(TimeSpan.FromSeconds(3));
        }
        return (disk.AfterCrash(), states);
    }

    private static async Task<(SimulatedDisk Disk, byte[] OldData, byte[] OldLog)> TwoGenerations()
    {
        SimulatedDisk disk = await SimulatedStore.NewDisk();
        var clock = new VirtualClock();
        LiteMessageStore store = SimulatedStore.Open(disk, clock);
        store.Commit(Batches(1).Single(), FlushLevel.Flushed);
        byte[] data = disk.ReadAll(Paths.Data), log = disk.ReadAll(Paths.Log);
        clock.Advance(TimeSpan.FromSeconds(3));
        store.Commit(Batches(1).Single(), FlushLevel.Flushed);
        return (disk.AfterCrash(), data, log);
    }

    private static IEnumerable<StoreBatch> Batches(int count)
    {
        var random = new Random(11);
        return Enumerable.Range(0, count).Select(_ => SomeBatch.Random(random));
    }

    // Everything that stands in the first bytes of a page, and a sample of the rest.
    private static IEnumerable<int> Offsets(int length, int seed)
    {
        var random = new Random(seed);
        IEnumerable<int> heads = Enumerable.Range(0, length / 8192).SelectMany(page => Enumerable.Range(page * 8192, 32));
        return heads.Concat(Enumerable.Range(0, 300).Select(_ => random.Next(length))).Where(offset => offset < 8192 * 4 || random.Next(3) == 0);
    }

    private static byte[] Flip(byte[] bytes, int offset)
    {
        byte[] flipped = [.. bytes];
        flipped[offset] ^= (byte)(1 << (offset % 8));
        return flipped;
    }

    private static string[]? ReadOrRefusal(SimulatedDisk disk, int offset)
    {
        LiteMessageStore? store = null;
        try
        {
            store = SimulatedStore.Open(disk);
            return SomeBatch.Describe(store);
        }
        catch (StoreException error)
        {
            Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable), $"offset {offset}");
            Assert.That(error.Message, Does.Contain(Paths.Data).Or.Contain(Paths.Log), $"offset {offset}");
            return null;
        }
        finally
        {
            store?.DisposeAsync().AsTask().Wait();
        }
    }

    private static void AssertRefused(SimulatedDisk disk, string path, params string[] words)
    {
        StoreException refusal = Assert.Throws<StoreException>(() => SimulatedStore.Open(disk));
        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Path, Is.EqualTo(path));
        foreach (string word in words)
            Assert.That(refusal.Message, Does.Contain(word));
    }
}
