using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>The record that every commit replaces: its number, and the last sequence number given out, so that neither is ever used twice.</summary>
internal readonly record struct CommitRecord(long Number, long LastSequence)
{
    public static readonly StoreKey Key = new(StoreKind.Meta, 0, 0, 0, 0, 1);

    //  0                8                   16
    //  | number i64 LE  | last sequence LE  |

    public void WriteTo(StoreBatch batch)
    {
        byte[] value = new byte[16];
        BinaryPrimitives.WriteInt64LittleEndian(value, Number);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(8), LastSequence);
        batch.Put(Key, value);
    }

    public static CommitRecord Read(ReadOnlySpan<byte> value) =>
        new(BinaryPrimitives.ReadInt64LittleEndian(value), BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
}
