using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>Batches for a store, and what it has of them.</summary>
internal static class SomeBatch
{
    public static StoreKey Key(long sequence) => new(StoreKind.Message, 1, 0, 0, 0, sequence);

    public static string[] Describe(IMessageStore store)
    {
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records.Select(record => StoreModel.Describe(record.Key, record.Head, record.Body))];
    }

    public static StoreBatch Of(Action<StoreBatch> fill)
    {
        var batch = new StoreBatch();
        fill(batch);
        return batch;
    }

    /// <summary>Any few operations on few keys, with bodies from nothing to several pages.</summary>
    public static StoreBatch Random(Random random) => Of(batch =>
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
