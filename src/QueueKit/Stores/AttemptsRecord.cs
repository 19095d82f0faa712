using System.Buffers.Binary;
using System.Text;

namespace QueueKit.Stores;

/// <summary>What failed attempts leave in a store: written when an attempt fails, never for a message that does not.</summary>
/// <param name="FailedAttempts">How many failed.</param>
/// <param name="DueTicks">When the next one is due, in UTC ticks; 0 for at once.</param>
/// <param name="LastError">Type and message of the last exception.</param>
/// <param name="Deaths">In how many of them the process ended.</param>
internal readonly record struct AttemptsRecord(int FailedAttempts, long DueTicks, string? LastError, int Deaths = 0)
{
    private const byte Version = 1;
    private const int FixedLength = 17;

    public static StoreKey KeyOf(uint queue, long sequence) => new(StoreKind.Attempts, queue, 0, 0, 0, sequence);

    //  0         1                 5               13                17                   n-4       n
    //  | version | failed i32 LE   | due i64 LE    | deaths i32 LE   | last error, UTF-8  | checksum |
    //
    //  The checksum is CRC-32C over what stands before it and the key.

    public void WriteTo(StoreBatch batch, uint queue, long sequence)
    {
        StoreKey key = KeyOf(queue, sequence);
        batch.Put(key, Encode(key));
    }

    public byte[] Encode(in StoreKey key)
    {
        byte[] value = new byte[FixedLength + Encoding.UTF8.GetByteCount(LastError ?? "") + RecordChecksum.Length];
        value[0] = Version;
        BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(1), FailedAttempts);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(5), DueTicks);
        BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(13), Deaths);
        Encoding.UTF8.GetBytes(LastError ?? "", value.AsSpan(FixedLength));
        return RecordChecksum.Seal(value, key);
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record, or not the one of its key.</exception>
    public static AttemptsRecord Decode(in StoreRecord record)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (value.Length < FixedLength + RecordChecksum.Length || !RecordChecksum.IsRight(value, record.Key))
            throw new StoreException(StoreFault.Unreadable, $"The stored attempts of message {record.Key.Sequence} of queue {record.Key.Queue} are damaged: their checksum does not match their content and key. Restore the store from a backup, or delete the record: the message then counts as never tried.") { IsRepairable = true };
        if (value[0] != Version)
            throw new StoreException(StoreFault.Unreadable, $"The stored attempts of message {record.Key.Sequence} of queue {record.Key.Queue} have format {value[0]}; this version of QueueKit reads format {Version}. Open the store with a newer version.");
        ReadOnlySpan<byte> error = value[FixedLength..^RecordChecksum.Length];
        return new AttemptsRecord(
            BinaryPrimitives.ReadInt32LittleEndian(value[1..]),
            BinaryPrimitives.ReadInt64LittleEndian(value[5..]),
            error.IsEmpty ? null : Encoding.UTF8.GetString(error),
            BinaryPrimitives.ReadInt32LittleEndian(value[13..]));
    }
}
