using QueueKit.Queues;
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

    /// <summary>Fills a store with thirty messages of a queue, some of several pages, one a commit.</summary>
    public static void Fill(IMessageStore store)
    {
        var random = new Random(3);
        for (int i = 0; i < 30; i++)
        {
            byte[] body = new byte[i % 7 == 6 ? 20_000 : 900];
            random.NextBytes(body);
            EncodedMessage message = MessageRecord.Encode(new Message(body));
            MessageRecord.Stamp(ref message, DateTimeOffset.UnixEpoch);
            store.Commit(
                Of(batch =>
                {
                    if (i == 0)
                        batch.Insert(QueueRecord.KeyOf(1), QueueRecord.Encode(1, "orders", new QueueOptions { Durability = Durability.Flushed }));
                    StoredMessage.Write(batch, Key(i), message, body.Length);
                }),
                FlushLevel.Flushed);
        }
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
