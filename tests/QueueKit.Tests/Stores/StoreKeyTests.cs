using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

public class StoreKeyTests
{
    [Test]
    public void TheOrderOfKeysIsTheOrderOfTheirBytes() => Gen.Select(StoreGen.AnyKey, StoreGen.AnyKey).Sample((left, right) =>
        Math.Sign(left.CompareTo(right)) == Math.Sign(Bytes(left).AsSpan().SequenceCompareTo(Bytes(right))), iter: 10_000);

    [Test]
    public void ACloseKeyIsOrderedLikeItsBytesToo() => Gen.Select(StoreGen.CloseKey, StoreGen.CloseKey).Sample((left, right) =>
        Math.Sign(left.CompareTo(right)) == Math.Sign(Bytes(left).AsSpan().SequenceCompareTo(Bytes(right))), iter: 10_000);

    [Test]
    public void AKeyComesBackFromItsBytes() => StoreGen.AnyKey.Sample(key => StoreKey.Read(Bytes(key)) == key, iter: 10_000);

    [Test]
    public void TheRangeOfAKindHoldsAllItsKeysAndNoOthers() => Gen.Select(StoreGen.AnyKey, StoreGen.AnyKey).Sample((key, other) =>
        (StoreKey.First(other.Kind) <= key && key < StoreKey.After(other.Kind)) == (key.Kind == other.Kind), iter: 10_000);

    [Test]
    public void TheRangeOfAQueueHoldsAllItsKeysAndNoOthers() => Gen.Select(StoreGen.AnyKey, StoreGen.AnyKey).Sample((key, other) =>
        (StoreKey.First(other.Kind, other.Queue) <= key && key < StoreKey.After(other.Kind, other.Queue)) == (key.Kind == other.Kind && key.Queue == other.Queue),
        iter: 10_000);

    [Test]
    public void NoKeyLiesBetweenAKeyAndItsNext() => StoreGen.AnyKey.Sample(
        key =>
        {
            // The bytes as one large number, plus one: a key that ends in 255s carries.
            byte[] bytes = Bytes(key);
            for (int i = bytes.Length - 1; ++bytes[i] == 0; i--)
                continue;
            return key.Next() == StoreKey.Read(bytes);
        },
        iter: 10_000);

    private static byte[] Bytes(StoreKey key)
    {
        byte[] bytes = new byte[StoreKey.ByteLength];
        key.WriteTo(bytes);
        return bytes;
    }
}
