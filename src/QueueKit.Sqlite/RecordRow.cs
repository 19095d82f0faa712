using System.Buffers.Binary;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>A record as a row: the parts of its key, a checksum, head and body.</summary>
internal static class RecordRow
{
    public const int Columns = 9;

    // SQLite takes rows of 1,000,000,000 bytes, but builds each in memory, once more beside the caller's.
    public const int MaxBytes = 256 * 1024 * 1024;

    /// <summary>CRC-32C of key, length of the head, head and body.</summary>
    public static uint Checksum(in StoreKey key, ReadOnlySpan<byte> head, ReadOnlySpan<byte> body)
    {
        uint crc = Crc32C.Append(uint.MaxValue, (byte)key.Kind | (ulong)key.Band << 8 | (ulong)key.Queue << 32);
        crc = Crc32C.Append(Crc32C.Append(Crc32C.Append(crc, key.Group), (ulong)key.Order), (ulong)key.Sequence);
        return Crc32C.Append(Crc32C.Append(Crc32C.Append(crc, (ulong)head.Length), head), body);
    }

    /// <summary>Whether a group is a number of SQLite's; otherwise it is a blob of its eight bytes, big-endian.</summary>
    public static bool IsNumber(ulong group) => group <= long.MaxValue;

    /// <summary>Puts a key together from what stands in a row; false if no key can be so.</summary>
    public static bool TryReadKey(long kind, long queue, long band, long groupNumber, ReadOnlySpan<byte> groupBytes, long due, long sequence, out StoreKey key)
    {
        ulong group = groupBytes.Length == sizeof(ulong) ? BinaryPrimitives.ReadUInt64BigEndian(groupBytes) : (ulong)groupNumber;
        key = new StoreKey((StoreKind)(byte)kind, (uint)queue, (byte)band, group, due, sequence);
        return kind is >= 0 and <= byte.MaxValue && queue is >= 0 and <= uint.MaxValue && band is >= 0 and <= byte.MaxValue
            && (groupBytes.Length == sizeof(ulong) ? !IsNumber(group) : groupNumber >= 0);
    }
}
