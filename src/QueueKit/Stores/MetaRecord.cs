using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>The records that a store keeps about itself, beside the fold of its commits (<see cref="CommitRecord.FoldKey"/>).</summary>
internal static class MetaRecord
{
    /// <summary>The newest format of a store that this version reads, and the one it writes.</summary>
    public const uint Format = 2;

    public static readonly StoreKey FormatKey = new(StoreKind.Meta, 0, 0, 0, 0, 0);

    /// <summary>The last id that was given to a queue; none is ever given twice.</summary>
    public static readonly StoreKey LastQueueIdKey = new(StoreKind.Meta, 0, 0, 0, 0, 2);

    /// <summary>Which life of the store's witness was last judged for how it ended.</summary>
    public static readonly StoreKey JudgedKey = new(StoreKind.Meta, 0, 0, 0, 0, 3);

    //  0              4          8                          0                    8          12
    //  | value u32 LE | checksum |   format and last id     | incarnation i64 LE | checksum |   the last life that was judged
    //
    //  The checksum is CRC-32C over what stands before it and the key.

    public static void Put(StoreBatch batch, in StoreKey key, uint value)
    {
        byte[] record = new byte[4 + RecordChecksum.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(record, value);
        batch.Put(key, RecordChecksum.Seal(record, key));
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the record is not what was written.</exception>
    public static uint Read(in StoreRecord record) => record.Head.Length >= 4 + RecordChecksum.Length && RecordChecksum.IsRight(record.Head.Span, record.Key)
        ? BinaryPrimitives.ReadUInt32LittleEndian(record.Head.Span)
        : throw Damaged(record.Key);

    public static void PutJudged(StoreBatch batch, long incarnation)
    {
        byte[] record = new byte[8 + RecordChecksum.Length];
        BinaryPrimitives.WriteInt64LittleEndian(record, incarnation);
        batch.Put(JudgedKey, RecordChecksum.Seal(record, JudgedKey));
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the record is not what was written.</exception>
    public static long ReadJudged(in StoreRecord record) => record.Head.Length == 8 + RecordChecksum.Length && RecordChecksum.IsRight(record.Head.Span, record.Key)
        ? BinaryPrimitives.ReadInt64LittleEndian(record.Head.Span)
        : throw Damaged(record.Key);

    public static StoreException Damaged(in StoreKey key) =>
        new(StoreFault.Unreadable, $"The store's record of {Describe(key)} is damaged: its checksum does not match its content and key. Restore the store from a backup, or repair it. Nothing was changed.") { IsRepairable = true };

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the store is of another format.</exception>
    public static void RefuseOtherFormat(uint found)
    {
        if (found < Format)
            throw new StoreException(StoreFault.Unreadable, $"The store has format {found}, which was written before QueueKit was released; this version reads format {Format}. Empty it with the version that wrote it, or begin with a new one. Nothing was changed.");
        if (found > Format)
            throw new StoreException(StoreFault.Unreadable, $"The store has format {found}; this version of QueueKit reads format {Format}. Open it with a newer version. Nothing was changed.");
    }

    /// <summary>What a record is about, for messages to people.</summary>
    public static string Describe(in StoreKey key) => key switch
    {
        _ when key == FormatKey => "its format",
        _ when key == LastQueueIdKey => "its last queue id",
        _ when key == JudgedKey => "its last crash",
        _ when key == CommitRecord.FoldKey => "its counts of messages",
        _ => $"something with the number {key.Sequence}",
    };
}
