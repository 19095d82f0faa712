using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A store on a <see cref="SimulatedDisk"/>, with a log so short that checkpoints come often.</summary>
internal static class SimulatedStore
{
    public static StorePaths Paths { get; } = new(Path.Combine(Path.GetTempPath(), "simulated", "queue.db"));

    public static LiteMessageStore Open(IStoreFileSystem disk, VirtualClock? clock = null, long logBytes = 64 * 1024, long minFreeBytes = 0) => LiteMessageStore.Open(
        disk, Paths, new LiteDBStoreOptions { LogBytes = logBytes, IdleTime = TimeSpan.FromSeconds(1), MinFreeBytes = minFreeBytes }, clock ?? new VirtualClock());

    /// <summary>A disk with an empty store that was closed.</summary>
    public static async Task<SimulatedDisk> NewDisk()
    {
        var disk = new SimulatedDisk();
        await Open(disk).DisposeAsync();
        return disk.AfterCrash();
    }

    public static StoreKey Key(long sequence) => new(StoreKind.Message, 1, 0, 0, 0, sequence);

    public static string[] Describe(IMessageStore store)
    {
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records.Select(record => StoreModel.Describe(record.Key, record.Head, record.Body))];
    }

    public static StoreBatch Batch(Action<StoreBatch> fill)
    {
        var batch = new StoreBatch();
        fill(batch);
        return batch;
    }

    /// <summary>Any few operations on few keys, with bodies from nothing to several pages.</summary>
    public static StoreBatch RandomBatch(Random random) => Batch(batch =>
    {
        int operations = random.Next(1, 12);
        for (int i = 0; i < operations; i++)
        {
            StoreKey key = Key(random.Next(40));
            switch (random.Next(10))
            {
                case 0:
                    batch.DeleteRange(key, Key(key.Sequence + random.Next(10)));
                    break;
                case < 4:
                    batch.Delete(key);
                    break;
                default:
                    byte[] body = new byte[random.Next(8) == 0 ? random.Next(30_000) : random.Next(300)];
                    random.NextBytes(body);
                    batch.Put(key, BitConverter.GetBytes(random.Next()), body);
                    break;
            }
        }
    });
}
