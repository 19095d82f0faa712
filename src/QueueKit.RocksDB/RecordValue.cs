using System.Buffers.Binary;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>A record's value: its checksum, its head and its body.</summary>
internal static class RecordValue
{
    //  0              4                    8        8+h     n
    //  | checksum u32 | length h of head   | head   | body  |     little-endian
    //
    //  The checksum is the CRC-32C of key, length, head and body: another record under this key is as wrong as a damaged one.

    /// <summary>What a value takes beside head and body.</summary>
    public const int Overhead = 8;

    /// <summary>Writes a value for a key.</summary>
    public static void Write(ReadOnlySpan<byte> key, ReadOnlySpan<byte> head, ReadOnlySpan<byte> body, Span<byte> into)
    {
        BinaryPrimitives.WriteInt32LittleEndian(into[4..], head.Length);
        head.CopyTo(into[Overhead..]);
        body.CopyTo(into[(Overhead + head.Length)..]);
        BinaryPrimitives.WriteUInt32LittleEndian(into, Checksum(key, into[4..]));
    }

    /// <summary>Reads a value; false if it is not what was written under this key.</summary>
    public static bool TryRead(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body)
    {
        head = body = default;
        if (value.Length < Overhead || BinaryPrimitives.ReadUInt32LittleEndian(value) != Checksum(key, value[4..]))
            return false;
        int headLength = BinaryPrimitives.ReadInt32LittleEndian(value[4..]);
        if (headLength < 0 || headLength > value.Length - Overhead)
            return false;
        byte[] parts = value[Overhead..].ToArray();
        head = parts.AsMemory(0, headLength);
        body = parts.AsMemory(headLength);
        return true;
    }

    /// <summary>Whether a key is one of the records'.</summary>
    public static bool IsKey(ReadOnlySpan<byte> key) => key.Length == StoreKey.ByteLength;

    /// <summary>The CRC-32C over key and content.</summary>
    public static uint Checksum(ReadOnlySpan<byte> key, ReadOnlySpan<byte> content) => Crc32C.Append(Crc32C.Append(uint.MaxValue, key), content);
}
