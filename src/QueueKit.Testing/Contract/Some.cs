using QueueKit.Stores;

namespace QueueKit.Testing.Contract;

/// <summary>Keys, bytes and operations, the same for the same seed.</summary>
internal static class Some
{
    private static readonly StoreKind[] s_kinds = [StoreKind.Queue, StoreKind.Message, StoreKind.Parked, StoreKind.Attempts];
    private static readonly uint[] s_queues = [0, 1, 255, 256, uint.MaxValue];
    private static readonly byte[] s_bands = [0, 1, 127, 128, 255];
    private static readonly ulong[] s_groups = [0, 1, 1ul << 63, ulong.MaxValue];
    private static readonly long[] s_numbers = [0, 1, -1, 255, 256, long.MinValue, long.MaxValue];

    public static StoreKey Key(long sequence) => new(StoreKind.Message, 7, 1, 0, 0, sequence);

    public static byte[] Bytes(int length, int seed = 1)
    {
        byte[] bytes = new byte[length];
        new Random(seed).NextBytes(bytes);
        return bytes;
    }

    public static byte[] Bytes(StoreKey key)
    {
        byte[] bytes = new byte[StoreKey.ByteLength];
        key.WriteTo(bytes);
        return bytes;
    }

    public static void PutSequences(this StoreBatch batch, params IEnumerable<int> sequences)
    {
        foreach (int sequence in sequences)
            batch.Put(Key(sequence), Bytes(8, seed: sequence), Bytes(sequence % 40, seed: sequence));
    }

    /// <summary>Any key: every part takes its extremes often.</summary>
    public static StoreKey AnyKey(Random random) => new(
        Pick(random, s_kinds),
        random.Next(2) == 0 ? Pick(random, s_queues) : (uint)random.NextInt64(uint.MaxValue),
        random.Next(2) == 0 ? Pick(random, s_bands) : (byte)random.Next(256),
        random.Next(2) == 0 ? Pick(random, s_groups) : (ulong)random.NextInt64(),
        random.Next(2) == 0 ? Pick(random, s_numbers) : random.NextInt64(long.MinValue, long.MaxValue),
        random.Next(2) == 0 ? Pick(random, s_numbers) : random.NextInt64(long.MinValue, long.MaxValue));

    /// <summary>A key out of few, so that operations meet.</summary>
    public static StoreKey CloseKey(Random random)
    {
        StoreKind kind = random.Next(2) == 0 ? StoreKind.Message : StoreKind.Parked;
        return new StoreKey(
            kind, (uint)random.Next(1, 3), random.Next(2) == 0 ? (byte)0 : (byte)255, (ulong)random.Next(2), kind == StoreKind.Parked ? random.Next(-1, 2) : 0, random.Next(1, 13));
    }

    /// <summary>Up to thirty operations on close keys.</summary>
    public static void AnySteps(StoreBatch batch, Random random)
    {
        for (int left = random.Next(1, 31); left > 0; left--)
        {
            switch (random.Next(19))
            {
                case < 12:
                    batch.Put(CloseKey(random), Bytes(random.Next(25), random.Next()), Bytes(random.Next(25), random.Next()));
                    break;
                case < 18:
                    batch.Delete(CloseKey(random));
                    break;
                default:
                    batch.DeleteRange(CloseKey(random), CloseKey(random));
                    break;
            }
        }
    }

    private static T Pick<T>(Random random, T[] among) => among[random.Next(among.Length)];
}
