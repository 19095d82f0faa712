using System.Buffers.Binary;

namespace QueueKit.Stores;

/// <summary>What tells a record from a damaged one, or from another one's under its key: CRC-32C (Castagnoli), by the processor's own instruction where it has one, over the value and then the key.</summary>
/// <remarks>The key comes last because a message's is known last, on the commit thread: by then the rest has been added up on the sender's.</remarks>
internal static class RecordChecksum
{
    /// <summary>How many bytes the small records have for it at their end.</summary>
    public const int Length = 4;

    /// <summary>Goes on from <paramref name="seed"/>, the checksum so far; 0 to begin.</summary>
    public static uint Add(uint seed, ReadOnlySpan<byte> bytes) => ~Crc32C.Append(~seed, bytes);

    //  A key goes in as four words of 8 bytes, little-endian:
    //
    //  0      1      2       4       8       16      24         32
    //  | kind | band | zeros | queue | group | order | sequence |

    /// <summary>Adds a key.</summary>
    public static uint Add(uint seed, in StoreKey key)
    {
        uint crc = Crc32C.Append(~seed, (byte)key.Kind | (ulong)key.Band << 8 | (ulong)key.Queue << 32);
        crc = Crc32C.Append(Crc32C.Append(Crc32C.Append(crc, key.Group), (ulong)key.Order), (ulong)key.Sequence);
        return ~crc;
    }

    /// <summary>Writes the checksum of a small record into its last bytes.</summary>
    public static byte[] Seal(byte[] value, in StoreKey key)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(value.AsSpan(value.Length - Length), Add(Add(0, value.AsSpan(0, value.Length - Length)), key));
        return value;
    }

    /// <summary>Whether the last bytes of a small record are the checksum of what stands before them and of its key.</summary>
    public static bool IsRight(ReadOnlySpan<byte> value, in StoreKey key) =>
        value.Length >= Length && BinaryPrimitives.ReadUInt32LittleEndian(value[^Length..]) == Add(Add(0, value[..^Length]), key);
}
