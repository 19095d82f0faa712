using System.Buffers.Binary;
using System.Text;

namespace QueueKit.RocksDB;

/// <summary>The one record that says that a database is a store of ours, and in which form its keys and values are. It lies before all others.</summary>
internal static class FormatRecord
{
    /// <summary>The form that this version writes and reads.</summary>
    public const uint Version = 1;

    //  0              4           8
    //  | checksum u32 | version   | a text for people |     little-endian
    private const int TextAt = 8;

    private const string About = "Message queues, see https://www.nuget.org/packages/QueueKit.RocksDB.";

    /// <summary>No record of a broker has so short a key.</summary>
    public static ReadOnlySpan<byte> Key => "\0QueueKit"u8;

    /// <summary>A batch, in RocksDB's form, that puts the record.</summary>
    public static byte[] Batch(uint version = Version)
    {
        byte[] value = [.. new byte[TextAt], .. Encoding.UTF8.GetBytes(About)];
        BinaryPrimitives.WriteUInt32LittleEndian(value.AsSpan(4), version);
        BinaryPrimitives.WriteUInt32LittleEndian(value, RecordValue.Checksum(Key, value.AsSpan(4)));
        return [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, (byte)Key.Length, .. Key, (byte)value.Length, .. value];
    }

    /// <summary>The version that a record names; null if it is not what was written.</summary>
    public static uint? Read(ReadOnlySpan<byte> value) =>
        value.Length >= TextAt && BinaryPrimitives.ReadUInt32LittleEndian(value) == RecordValue.Checksum(Key, value[4..])
            ? BinaryPrimitives.ReadUInt32LittleEndian(value[4..])
            : null;
}
