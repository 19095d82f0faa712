using System.Buffers.Binary;
using System.Numerics;

namespace QueueKit.Sqlite;

/// <summary>CRC-32C with the processor's own instruction.</summary>
internal static class Crc32C
{
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
            bytes = bytes[sizeof(ulong)..];
        }
        foreach (byte one in bytes)
            crc = BitOperations.Crc32C(crc, one);
        return crc;
    }

    public static uint Append(uint crc, ulong value) => BitOperations.Crc32C(crc, value);
}
