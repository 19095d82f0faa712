using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>What every commit leaves beside its own operations: its number, the last sequence number given out, so that neither is ever used twice, and what it changed in the counts of lanes.</summary>
/// <remarks>Where it is kept, and when it is folded, is the business of <see cref="CommitRecords"/>.</remarks>
internal readonly record struct CommitRecord(long Number, long LastSequence)
{
    public static readonly StoreKey FoldKey = new(StoreKind.Meta, 0, 0, 0, 0, 1);

    //  0                8                   16                         n-4       n
    //  | number i64 LE  | last sequence LE  | entries of LaneCounters … | checksum |
    //
    //  The checksum is CRC-32C over what stands before it and the key. In a fold the entries are counts, otherwise changes.
    private const int EntriesAt = 16;

    /// <summary>The key of a place, from 0.</summary>
    public static StoreKey KeyOf(long place) => new(StoreKind.Delta, 0, 0, 0, 0, place);

    /// <summary>Puts the record, with what the rest of the batch changes in the counts, in its place.</summary>
    public void WriteTo(StoreBatch batch, long place)
    {
        byte[] value = new byte[EntriesAt + LaneCounters.LengthOf(batch.LaneChanges) + RecordChecksum.Length];
        LaneCounters.Write(batch.LaneChanges, value.AsSpan(EntriesAt));
        WriteNumbers(value);
        StoreKey key = KeyOf(place);
        batch.Put(key, RecordChecksum.Seal(value, key));
    }

    /// <summary>Writes the fold of all commits up to this one, in the place of everything that they have left.</summary>
    public void WriteFoldTo(StoreBatch batch, LaneCounters counters) => batch.Put(FoldKey, Encode(FoldKey, counters.Encode()));

    /// <summary>The number of the commit that left a record.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static long NumberOf(in StoreRecord record) => TryReadNumber(record, out long number) ? number : throw Damaged();

    /// <summary>Reads the number of the commit that left a record; false if it is not what one has left there.</summary>
    public static bool TryReadNumber(in StoreRecord record, out long number)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        bool isRight = value.Length >= EntriesAt + RecordChecksum.Length && RecordChecksum.IsRight(value, record.Key);
        number = isRight ? BinaryPrimitives.ReadInt64LittleEndian(value) : 0;
        return isRight;
    }

    /// <summary>Reads a record and adds its entries to <paramref name="counters"/>.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static CommitRecord Read(in StoreRecord record, LaneCounters counters)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (!TryReadNumber(record, out long number) || !counters.TryRead(value[EntriesAt..^RecordChecksum.Length]))
            throw Damaged();
        return new CommitRecord(number, BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
    }

    private static StoreException Damaged() => new(StoreFault.Unreadable, "The stored record of a commit is damaged: its checksum does not match its content and key. Numbers might be given out twice, so the store is not opened; restore it from a backup. Nothing was changed.") { IsRepairable = true };

    private byte[] Encode(in StoreKey key, byte[] entries)
    {
        byte[] value = new byte[EntriesAt + entries.Length + RecordChecksum.Length];
        WriteNumbers(value);
        entries.CopyTo(value.AsSpan(EntriesAt));
        return RecordChecksum.Seal(value, key);
    }

    private void WriteNumbers(Span<byte> value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(value, Number);
        BinaryPrimitives.WriteInt64LittleEndian(value[8..], LastSequence);
    }
}
