using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>Where a large record lies in one of RocksDB's blob files: for a repair, when RocksDB does not find it there itself.</summary>
internal readonly record struct BlobPlace(string File, long Offset, int Length)
{
    //  A blob file: a header of 30 bytes, then records (db/blob/blob_log_format.h):
    //
    //  0               8                 16           24         28        32     32+k
    //  | length k u64  | length v u64    | expiration | header's | blob's  | key  | value | …     little-endian
    //                                                    CRC-32C
    private const int FileHeaderBytes = 30, HeaderBytes = 32;

    /// <summary>The places of all records of ours in some files; of several under one key, the last.</summary>
    public static Dictionary<StoreKey, BlobPlace> FindAll(IEnumerable<string> files)
    {
        var places = new Dictionary<StoreKey, BlobPlace>();
        foreach (string file in files.Order(StringComparer.Ordinal))
        {
            using SafeFileHandle handle = System.IO.File.OpenHandle(file);
            long end = RandomAccess.GetLength(handle);
            byte[] header = new byte[HeaderBytes + StoreKey.ByteLength];
            for (long at = FileHeaderBytes; at + header.Length <= end && RandomAccess.Read(handle, header, at) == header.Length;)
            {
                ulong keyLength = BinaryPrimitives.ReadUInt64LittleEndian(header), length = BinaryPrimitives.ReadUInt64LittleEndian(header.AsSpan(8));
                // Damaged, or another program's: where the next one begins is not known either.
                if (keyLength != StoreKey.ByteLength || length > RocksMessageStore.LargestRecord + RecordValue.Overhead)
                    break;
                long value = at + header.Length;
                places[StoreKey.Read(header.AsSpan(HeaderBytes))] = new BlobPlace(file, value, (int)length);
                at = value + (long)length;
            }
        }
        return places;
    }

    /// <summary>Reads the record; false if it is not what was written under this key.</summary>
    public bool TryRead(in StoreKey key, out StoreRecord record)
    {
        byte[] value = new byte[Length], keyBytes = new byte[StoreKey.ByteLength];
        key.WriteTo(keyBytes);
        using SafeFileHandle handle = System.IO.File.OpenHandle(File);
        bool isRight = RandomAccess.Read(handle, value, Offset) == Length & RecordValue.TryRead(keyBytes, value, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body);
        record = new StoreRecord(key, head, body);
        return isRight;
    }
}
