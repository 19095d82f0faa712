using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>The record that every commit replaces: its number, and the last sequence number given out, so that neither is ever used twice.</summary>
internal readonly record struct CommitRecord(long Number, long LastSequence)
{
    public static readonly StoreKey Key = new(StoreKind.Meta, 0, 0, 0, 0, 1);

    //  0                8                   16         20
    //  | number i64 LE  | last sequence LE  | checksum |
    //
    //  The checksum is CRC-32C over what stands before it and the key.

    public void WriteTo(StoreBatch batch)
    {
        byte[] value = new byte[16 + RecordChecksum.Length];
        BinaryPrimitives.WriteInt64LittleEndian(value, Number);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(8), LastSequence);
        batch.Put(Key, RecordChecksum.Seal(value, Key));
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static CommitRecord Read(ReadOnlySpan<byte> value)
    {
        if (value.Length != 16 + RecordChecksum.Length || !RecordChecksum.IsRight(value, Key))
            throw new StoreException(StoreFault.Unreadable, "The stored record of the last commit is damaged: its checksum does not match its content and key. Numbers might be given out twice, so the store is not opened; restore it from a backup.");
        return new CommitRecord(BinaryPrimitives.ReadInt64LittleEndian(value), BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
    }
}
