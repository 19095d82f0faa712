using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Numerics;

namespace QueueKit.Stores;

/// <summary>CRC-32C (Castagnoli) by the processor's own instruction where it has one: what every store's checksums are made of.</summary>
/// <remarks>Neither inverted at the beginning nor at the end: that, and what goes in, is a matter of each format.</remarks>
[Experimental("QUEUEKIT001")]
public static class Crc32C
{
    /// <summary>Goes on from <paramref name="crc"/> with some bytes.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[sizeof(ulong)..];
        }
        if (bytes.Length >= sizeof(uint))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt32LittleEndian(bytes));
            bytes = bytes[sizeof(uint)..];
        }
        foreach (byte one in bytes)
            crc = BitOperations.Crc32C(crc, one);
        return crc;
    }

    /// <summary>Goes on from <paramref name="crc"/> with a number's eight bytes, little-endian.</summary>
    public static uint Append(uint crc, ulong value) => BitOperations.Crc32C(crc, value);
}
