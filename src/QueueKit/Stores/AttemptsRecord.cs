using System.Buffers.Binary;
using System.Text;

namespace QueueKit.Stores;

/// <summary>What failed attempts leave in a store: written when an attempt fails, never for a message that does not.</summary>
/// <param name="FailedAttempts">How many failed.</param>
/// <param name="DueTicks">When the next one is due, in UTC ticks; 0 for at once.</param>
/// <param name="LastError">Type and message of the last exception.</param>
internal readonly record struct AttemptsRecord(int FailedAttempts, long DueTicks, string? LastError)
{
    private const byte Version = 1;

    public static StoreKey KeyOf(uint queue, long sequence) => new(StoreKind.Attempts, queue, 0, 0, 0, sequence);

    //  0         1                 5               13
    //  | version | failed i32 LE   | due i64 LE    | last error, UTF-8, to the end |

    public byte[] Encode()
    {
        byte[] value = new byte[13 + Encoding.UTF8.GetByteCount(LastError ?? "")];
        value[0] = Version;
        BinaryPrimitives.WriteInt32LittleEndian(value.AsSpan(1), FailedAttempts);
        BinaryPrimitives.WriteInt64LittleEndian(value.AsSpan(5), DueTicks);
        Encoding.UTF8.GetBytes(LastError ?? "", value.AsSpan(13));
        return value;
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not such a record.</exception>
    public static AttemptsRecord Decode(in StoreRecord record)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (value.Length < 13 || value[0] != Version)
            throw new StoreException(StoreFault.Unreadable, $"The stored attempts of message {record.Key.Sequence} are damaged or of a newer format. Restore the store from a backup, or open it with a newer version of QueueKit.");
        return new AttemptsRecord(
            BinaryPrimitives.ReadInt32LittleEndian(value[1..]),
            BinaryPrimitives.ReadInt64LittleEndian(value[5..]),
            value.Length == 13 ? null : Encoding.UTF8.GetString(value[13..]));
    }
}
