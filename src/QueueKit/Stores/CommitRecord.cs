using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>What every commit leaves beside its own operations: its number, the last sequence number given out, so that neither is ever used twice, and what it changed in the counts of lanes.</summary>
/// <remarks>
/// The records go round in <see cref="FoldInterval"/> places: to overwrite one costs a store less than to add one and delete another. Before the places are used
/// again, what they hold is folded into one record. Opening reads the fold and the records with higher numbers. Those have no gaps: one that is missing is a
/// commit that is missing.
/// </remarks>
internal readonly record struct CommitRecord(long Number, long LastSequence)
{
    /// <summary>Every so many commits the records are folded; and so many places there are.</summary>
    public const int FoldInterval = 256;

    public static readonly StoreKey FoldKey = new(StoreKind.Meta, 0, 0, 0, 0, 1);

    //  0                8                   16                         n-4       n
    //  | number i64 LE  | last sequence LE  | entries of LaneCounters … | checksum |
    //
    //  The checksum is CRC-32C over what stands before it and the key. In a fold the entries are counts, otherwise changes.
    private const int EntriesAt = 16;

    /// <summary>The place of a commit's record.</summary>
    public static StoreKey KeyOf(long number) => new(StoreKind.Delta, 0, 0, 0, 0, number % FoldInterval);

    /// <summary>Adds the record to its batch, and where it is time the fold of all before it.</summary>
    /// <param name="batch">The batch, complete but for this.</param>
    /// <param name="counters">The counts before the batch.</param>
    /// <param name="previous">The commit before.</param>
    public void WriteTo(StoreBatch batch, LaneCounters counters, CommitRecord previous)
    {
        if (Number % FoldInterval == 0)
            previous.WriteFoldTo(batch, counters);
        byte[] value = new byte[EntriesAt + LaneCounters.LengthOf(batch.LaneChanges) + RecordChecksum.Length];
        LaneCounters.Write(batch.LaneChanges, value.AsSpan(EntriesAt));
        WriteNumbers(value);
        StoreKey key = KeyOf(Number);
        batch.Put(key, RecordChecksum.Seal(value, key));
    }

    /// <summary>Writes the fold of all commits up to this one, in the place of everything that they have left.</summary>
    public void WriteFoldTo(StoreBatch batch, LaneCounters counters) => batch.Put(FoldKey, Encode(FoldKey, counters.Encode()));

    /// <summary>The number of the commit that left a record; null if it is not what one has left there.</summary>
    public static long? NumberOf(in StoreRecord record)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (value.Length < EntriesAt + RecordChecksum.Length || !RecordChecksum.IsRight(value, record.Key))
            return null;
        long number = BinaryPrimitives.ReadInt64LittleEndian(value);
        return record.Key == FoldKey || record.Key == KeyOf(number) ? number : null;
    }

    /// <summary>Reads a record and adds its entries to <paramref name="counters"/>.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static CommitRecord Read(in StoreRecord record, LaneCounters counters)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (NumberOf(record) is not { } number || !counters.TryRead(value[EntriesAt..^RecordChecksum.Length]))
            throw Damaged();
        return new CommitRecord(number, BinaryPrimitives.ReadInt64LittleEndian(value[8..]));
    }

    /// <summary>Puts what was found in the places in the order of the commits, without what the fold has already.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: one of them is damaged, and nobody knows which commit it was of.</exception>
    public static IEnumerable<StoreRecord> InOrder(IEnumerable<StoreRecord> places, CommitRecord fold) =>
        places.Select(static record => (Number: NumberOf(record) ?? throw Damaged(), Record: record))
            .Where(place => place.Number > fold.Number)
            .OrderBy(static place => place.Number)
            .Select(static place => place.Record);

    private static StoreException Damaged() => new(StoreFault.Unreadable, "The stored record of a commit is damaged: its checksum does not match its content and key. Numbers might be given out twice, so the store is not opened; restore it from a backup. Nothing was changed.");

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
