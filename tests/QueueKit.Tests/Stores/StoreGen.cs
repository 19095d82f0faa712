using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>Random keys and operations.</summary>
internal static class StoreGen
{
    private static readonly Gen<StoreKind> Kind = Gen.OneOf(StoreKind.Queue, StoreKind.Message, StoreKind.Parked, StoreKind.Attempts);

    /// <summary>Any key: every part takes its extremes often.</summary>
    public static readonly Gen<StoreKey> AnyKey = Gen.Select(
        Kind,
        Gen.OneOf<uint>(Gen.UInt, Gen.OneOf(0u, 1u, 255u, 256u, uint.MaxValue)),
        Gen.OneOf<byte>(Gen.Byte, Gen.OneOf<byte>(0, 1, 127, 128, 255)),
        Gen.OneOf<ulong>(Gen.ULong, Gen.OneOf(0ul, 1ul, 1ul << 63, ulong.MaxValue)),
        Gen.OneOf<long>(Gen.Long, Gen.OneOf(0L, 1L, -1L, long.MinValue, long.MaxValue)),
        Gen.OneOf<long>(Gen.Long, Gen.OneOf(0L, 1L, -1L, 255L, 256L, long.MinValue, long.MaxValue)),
        (kind, queue, band, group, order, sequence) => new StoreKey(kind, queue, band, group, order, sequence));

    /// <summary>A key out of few, so that operations meet.</summary>
    public static readonly Gen<StoreKey> CloseKey = Gen.Select(
        Gen.OneOf(StoreKind.Message, StoreKind.Parked),
        Gen.UInt[1, 2],
        Gen.OneOf<byte>(0, 255),
        Gen.ULong[0, 1],
        Gen.Long[-1, 1],
        Gen.Long[1, 12],
        (kind, queue, band, group, order, sequence) => new StoreKey(kind, queue, band, group, kind == StoreKind.Parked ? order : 0, sequence));

    private static readonly Gen<byte[]> Bytes = Gen.Byte.Array[0, 24];

    /// <summary>What fills a batch, applied by <see cref="StoreStep.AddTo"/>.</summary>
    public static readonly Gen<StoreStep[]> Steps = Gen.Frequency<StoreStep>(
        (12, Gen.Select(CloseKey, Bytes, Bytes, (key, head, body) => new StoreStep(StoreOperationKind.Put, key, key, head, body))),
        (6, CloseKey.Select(key => new StoreStep(StoreOperationKind.Delete, key, key, [], []))),
        (1, Gen.Select(CloseKey, CloseKey, (from, to) => new StoreStep(StoreOperationKind.DeleteRange, from, to, [], [])))).Array[1, 30];
}

/// <summary>One operation, as a value that a test can be repeated with.</summary>
internal sealed record StoreStep(StoreOperationKind Kind, StoreKey Key, StoreKey To, byte[] Head, byte[] Body)
{
    public void AddTo(StoreBatch batch)
    {
        switch (Kind)
        {
            case StoreOperationKind.Put:
                batch.Put(Key, Head, Body);
                break;
            case StoreOperationKind.Delete:
                batch.Delete(Key);
                break;
            default:
                batch.DeleteRange(Key, To);
                break;
        }
    }
}
