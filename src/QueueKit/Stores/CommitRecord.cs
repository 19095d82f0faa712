using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>What every commit leaves beside its own operations: its number, the last sequence number given out, so that neither is ever used twice, and what it changed in the counts of lanes.</summary>
/// <remarks>
/// Each commit adds a record of its own, so that no record is written again and again; now and then they are folded into one. Opening reads the fold and
/// the records behind it, a few hundred at most. Their numbers have no gaps: one that is missing is a commit that is missing.
/// </remarks>
internal readonly record struct CommitRecord(long Number, long LastSequence)
{
    /// <summary>Every so many commits the records are folded.</summary>
    public const int FoldInterval = 256;

    public static readonly StoreKey FoldKey = new(StoreKind.Meta, 0, 0, 0, 0, 1);

    //  0                8                   16                         n-4       n
    //  | number i64 LE  | last sequence LE  | entries of LaneCounters … | checksum |
    //
    //  The checksum is CRC-32C over what stands before it and the key. In a fold the entries are counts, otherwise changes.
    private const int EntriesAt = 16;

    public static StoreKey KeyOf(long number) => new(StoreKind.Delta, 0, 0, 0, 0, number);

    /// <summary>Adds the record to its batch, and where it is time the fold of all before it.</summary>
    /// <param name="batch">The batch, complete but for this.</param>
    /// <param name="counters">The counts before the batch.</param>
    /// <param name="previous">The commit before.</param>
    public void WriteTo(StoreBatch batch, LaneCounters counters, CommitRecord previous)
    {
        if (Number % FoldInterval == 0)
        {
            previous.WriteFoldTo(batch, counters);
            batch.DeleteRange(KeyOf(0), KeyOf(Number));
        }
        byte[] value = new byte[EntriesAt + LaneCounters.LengthOf(batch.LaneChanges) + RecordChecksum.Length];
        LaneCounters.Write(batch.LaneChanges, value.AsSpan(EntriesAt));
        WriteNumbers(value);
        StoreKey key = KeyOf(Number);
        batch.Insert(key, RecordChecksum.Seal(value, key));
    }

    /// <summary>Writes the fold of all commits up to this one, in the place of everything that they have left.</summary>
    public void WriteFoldTo(StoreBatch batch, LaneCounters counters) => batch.Put(FoldKey, Encode(FoldKey, counters.Encode()));

    /// <summary>Reads a record and adds its entries to <paramref name="counters"/>.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static CommitRecord Read(in StoreRecord record, LaneCounters counters)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (value.Length < EntriesAt + RecordChecksum.Length || !RecordChecksum.IsRight(value, record.Key) || !counters.TryRead(value[EntriesAt..^RecordChecksum.Length]))
            throw new StoreException(StoreFault.Unreadable, "The stored record of a commit is damaged: its checksum does not match its content and key. Numbers might be given out twice, so the store is not opened; restore it from a backup. Nothing was changed.");
        return new CommitRecord(BinaryPrimitives.ReadInt64LittleEndian(value), BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
    }

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
