using QueueKit.Stores;

namespace QueueKit.Sqlite.Salvage;

/// <summary>A row of the table as SQLite stores it.</summary>
internal static class RecordBytes
{
    /// <summary>Reads a row.</summary>
    /// <param name="row">All of it, or its beginning.</param>
    /// <param name="record">What was read; of a row that is not what was written, the key.</param>
    /// <returns>Whether there is a key, and whether all is what was written.</returns>
    public static (bool HasKey, bool IsRight) TryRead(ReadOnlyMemory<byte> row, out StoreRecord record)
    {
        record = default;
        ReadOnlySpan<byte> bytes = row.Span;
        int at = Varint.Read(bytes, out long headerLength);
        if (at == 0 || headerLength < at || headerLength > bytes.Length)
            return default;
        long place = headerLength;
        Span<long> numbers = stackalloc long[RecordRow.Columns];
        Span<(int From, int Length)> blobs = stackalloc (int, int)[RecordRow.Columns];
        blobs.Clear();
        int column = 0;
        for (; column < RecordRow.Columns; column++)
        {
            int length = at < headerLength ? Varint.Read(bytes[at..(int)headerLength], out long type) : Nothing(out type);
            if (length == 0 || type < 0)
                return default;
            at += length;
            long size = SizeOf(type);
            if (place + size > bytes.Length)
                break;
            if (type >= 12)
                blobs[column] = ((int)place, (int)size);
            else
                numbers[column] = Number(type, bytes.Slice((int)place, (int)size));
            place += size;
        }
        if (column < 6 || !RecordRow.TryReadKey(numbers[0], numbers[1], numbers[2], numbers[3], Slice(bytes, blobs[3]), numbers[4], numbers[5], out StoreKey key))
            return default;
        record = new StoreRecord(key, row.Slice(blobs[7].From, blobs[7].Length), row.Slice(blobs[8].From, blobs[8].Length));
        return (true, column == RecordRow.Columns && numbers[6] == RecordRow.Checksum(key, record.Head.Span, record.Body.Span));
    }

    private static int Nothing(out long type)
    {
        type = 0;
        return 0;
    }

    private static ReadOnlySpan<byte> Slice(ReadOnlySpan<byte> bytes, (int From, int Length) part) => bytes.Slice(part.From, part.Length);

    // 0 is NULL, 1 to 6 integers, 7 a floating-point number, 8 and 9 the numbers 0 and 1; from 12 on blobs and texts.
    private static long SizeOf(long type) => type switch
    {
        <= 4 => type,
        5 => 6,
        6 or 7 => 8,
        < 12 => 0,
        _ => (type - 12) / 2,
    };

    private static long Number(long type, ReadOnlySpan<byte> bytes)
    {
        if (type == 9)
            return 1;
        if (bytes.IsEmpty)
            return 0;
        long number = (sbyte)bytes[0];
        foreach (byte next in bytes[1..])
            number = number << 8 | next;
        return number;
    }
}
