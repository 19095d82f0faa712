using System.Buffers.Binary;
using System.Numerics;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>Writes a batch in the form that RocksDB's own write batches have, so that a commit is one call however many operations it has.</summary>
/// <remarks>The buffer is used again for the next commit, unless it was a large one.</remarks>
internal sealed class BatchWriter
{
    //  0              8           12
    //  | sequence     | count u32 | records …                    little-endian; RocksDB fills in the sequence
    //
    //  put            | 1  | length of key | key | length of value | value |
    //  delete         | 0  | length of key | key |
    //  delete range   | 15 | length of key | from | length of key | to |
    //
    //  Lengths are base-128 numbers, lowest bits first: see db/write_batch.cc and db/dbformat.h. RocksDB's own log has this form, so it does not change.
    private const int HeaderBytes = 12;
    private const byte Put = 1, Delete = 0, DeleteRange = 15;

    private const int KeyBytes = 1 + StoreKey.ByteLength;
    private const int KeptBytes = 4 * 1024 * 1024;

    private byte[] _buffer = new byte[64 * 1024];

    /// <summary>Writes a batch; the result is valid until the next one. Empty if there is nothing to do.</summary>
    public ReadOnlySpan<byte> Write(StoreBatch batch)
    {
        Reserve(batch);
        Span<byte> rest = _buffer.AsSpan(HeaderBytes);
        uint count = 0;
        foreach (ref readonly StoreOperation operation in batch.Operations)
            count += Write(operation, ref rest);
        if (count == 0)
            return default;
        BinaryPrimitives.WriteUInt64LittleEndian(_buffer, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(_buffer.AsSpan(8), count);
        return _buffer.AsSpan(..^rest.Length);
    }

    private void Reserve(StoreBatch batch)
    {
        // A length takes five bytes at most.
        int needed = checked((int)(HeaderBytes + batch.Bytes + (long)batch.Operations.Length * (1 + KeyBytes + Math.Max(KeyBytes, 5 + RecordValue.Overhead))));
        if (_buffer.Length < needed || (_buffer.Length > KeptBytes && needed <= KeptBytes))
            _buffer = GC.AllocateUninitializedArray<byte>(needed > KeptBytes ? needed : (int)BitOperations.RoundUpToPowerOf2((uint)needed));
    }

    private static uint Write(in StoreOperation operation, ref Span<byte> rest)
    {
        switch (operation.Kind)
        {
            case StoreOperationKind.Insert or StoreOperationKind.Put:
                ReadOnlySpan<byte> key = WriteKey(Put, operation.Key, ref rest);
                int length = RecordValue.Overhead + operation.Head.Length + operation.Body.Length;
                WriteLength(length, ref rest);
                RecordValue.Write(key, operation.Head.Span, operation.Body.Span, rest[..length]);
                rest = rest[length..];
                return 1;
            case StoreOperationKind.Delete:
                WriteKey(Delete, operation.Key, ref rest);
                return 1;
            case StoreOperationKind.DeleteRange:
                if (operation.Key >= operation.To)
                    return 0;
                WriteKey(DeleteRange, operation.Key, ref rest);
                rest[0] = StoreKey.ByteLength;
                operation.To.WriteTo(rest[1..]);
                rest = rest[KeyBytes..];
                return 1;
            default:
                throw new ArgumentException($"The batch contains an operation of the unknown kind {operation.Kind}.", nameof(operation));
        }
    }

    private static ReadOnlySpan<byte> WriteKey(byte tag, in StoreKey key, ref Span<byte> rest)
    {
        rest[0] = tag;
        rest[1] = StoreKey.ByteLength;
        Span<byte> written = rest.Slice(2, StoreKey.ByteLength);
        key.WriteTo(written);
        rest = rest[(1 + KeyBytes)..];
        return written;
    }

    private static void WriteLength(int length, ref Span<byte> rest)
    {
        int at = 0;
        for (; length >= 128; length >>= 7)
            rest[at++] = (byte)(length | 128);
        rest[at] = (byte)length;
        rest = rest[(at + 1)..];
    }
}
