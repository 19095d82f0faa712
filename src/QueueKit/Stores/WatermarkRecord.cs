using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>How far a source of messages has been moved into the queues; written in the commit that moves.</summary>
internal static class WatermarkRecord
{
    private const int Length = 8 + RecordChecksum.Length;

    //  0                  8          12
    //  | position i64 LE  | checksum |        The source's id is the key: its first eight bytes the group, its last eight the order.

    public static StoreKey KeyOf(Guid source)
    {
        Span<byte> id = stackalloc byte[16];
        source.TryWriteBytes(id, bigEndian: true, out _);
        return new StoreKey(StoreKind.Watermark, 0, 0, BinaryPrimitives.ReadUInt64BigEndian(id), BinaryPrimitives.ReadInt64BigEndian(id[8..]), 0);
    }

    public static byte[] Encode(Guid source, long position)
    {
        byte[] record = new byte[Length];
        BinaryPrimitives.WriteInt64LittleEndian(record, position);
        return RecordChecksum.Seal(record, KeyOf(source));
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the record is not what was written.</exception>
    public static long? Find(IMessageStore store, Guid source)
    {
        StoreKey key = KeyOf(source);
        var page = new StorePage();
        store.Read(key, key.Next(), 1, long.MaxValue, page);
        if (page.Records.Count == 0)
            return null;
        return Read(page.Records[0]);
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the record is not what was written.</exception>
    public static long Read(in StoreRecord record)
    {
        ReadOnlySpan<byte> head = record.Head.Span;
        if (head.Length == Length && RecordChecksum.IsRight(head, record.Key))
            return BinaryPrimitives.ReadInt64LittleEndian(head);
        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteUInt64BigEndian(id, record.Key.Group);
        BinaryPrimitives.WriteInt64BigEndian(id[8..], record.Key.Order);
        throw new StoreException(StoreFault.Unreadable, $"The store's record of how far the source {new Guid(id, bigEndian: true)} has been moved is damaged: its checksum does not match its content and key. Restore the store from a backup, or repair it. Nothing was changed.") { IsRepairable = true };
    }
}
