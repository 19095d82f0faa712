using System.Buffers.Binary;
using System.Runtime.InteropServices;
using LiteDB;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>A record as a LiteDB document: <c>{ _id: key, h: checksum and head, b: body }</c>, an empty body left out.</summary>
/// <remarks>
/// The checksum is the CRC-32C of key, length of the head, head and body, little-endian. It has no field of its own, because a field is dear:
/// with a fourth LiteDB's dictionary grows for every document.
/// </remarks>
internal static class RecordDocument
{
    private const string Id = "_id", HeadField = "h", BodyField = "b";
    private const int ChecksumLength = sizeof(uint);

    // LiteDB takes documents of 2,047 pages of 8,150 bytes. Of that: 5 for the document, 10 + 30 for the key, 8 each for head and body, 4 for the checksum.
    public const int MaxBytes = 2047 * 8150 - 5 - (10 + StoreKey.ByteLength) - 8 - 8 - ChecksumLength;

    public static BsonValue KeyOf(in StoreKey key)
    {
        byte[] bytes = new byte[StoreKey.ByteLength];
        key.WriteTo(bytes);
        return new BsonValue(bytes);
    }

    public static BsonDocument Encode(in StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body)
    {
        BsonValue id = KeyOf(key);
        byte[] sealedHead = new byte[ChecksumLength + head.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(sealedHead, Checksum(id.AsBinary, head.Span, body.Span));
        head.CopyTo(sealedHead.AsMemory(ChecksumLength));
        var document = new BsonDocument
        {
            [Id] = id,
            [HeadField] = new BsonValue(sealedHead),
        };
        if (!body.IsEmpty)
            document[BodyField] = new BsonValue(ArrayOf(body));
        return document;
    }

    public static bool TryReadKey(BsonDocument document, out StoreKey key)
    {
        key = default;
        if (!document.TryGetValue(Id, out BsonValue id) || !id.IsBinary || id.AsBinary.Length != StoreKey.ByteLength)
            return false;
        key = StoreKey.Read(id.AsBinary);
        return true;
    }

    /// <summary>Reads a document; false if it is not what was written.</summary>
    public static bool TryDecode(BsonDocument document, out StoreKey key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body)
    {
        head = body = default;
        if (!TryReadKey(document, out key) || !TryReadPart(document, HeadField, out ReadOnlyMemory<byte> sealedHead) || sealedHead.Length < ChecksumLength
            || !TryReadPart(document, BodyField, out body))
        {
            return false;
        }
        head = sealedHead[ChecksumLength..];
        return BinaryPrimitives.ReadUInt32LittleEndian(sealedHead.Span) == Checksum(document[Id].AsBinary, head.Span, body.Span);
    }

    private static bool TryReadPart(BsonDocument document, string field, out ReadOnlyMemory<byte> part)
    {
        part = default;
        if (!document.TryGetValue(field, out BsonValue value))
            return true;
        if (!value.IsBinary)
            return false;
        part = value.AsBinary;
        return true;
    }

    private static uint Checksum(ReadOnlySpan<byte> key, ReadOnlySpan<byte> head, ReadOnlySpan<byte> body) =>
        Crc32C.Append(Crc32C.Append(Crc32C.Append(Crc32C.Append(uint.MaxValue, key), (ulong)head.Length), head), body);

    // LiteDB only reads it, and only until the commit: what is an array already is not copied.
    private static byte[] ArrayOf(ReadOnlyMemory<byte> memory) =>
        MemoryMarshal.TryGetArray(memory, out ArraySegment<byte> segment) && segment.Offset == 0 && segment.Array!.Length == segment.Count
            ? segment.Array
            : memory.ToArray();
}
