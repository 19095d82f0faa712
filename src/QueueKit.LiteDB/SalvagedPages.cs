using System.Buffers.Binary;
using LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>The records of damaged files, read past LiteDB and its index: page by page, each record judged by its own checksum.</summary>
/// <remarks>
/// <code>
/// data and index pages   32        …                                     8192 - 4 (n + 1)                8192
///                        | items in any order                    | free  | item n: length u16, position u16 … item 0 |
/// item of a data page    | continues another u8 | next: page u32, item u8 | part of a document |
/// item of an index page  | index u8 | levels u8 | document: page u32, item u8 | 5 | 10 for each level | type and length: 2 | key |
/// </code>
/// </remarks>
internal sealed class SalvagedPages(IStoreFile data, IStoreFile? log, Dictionary<uint, long> newestInLog)
{
    private const byte IndexPage = 3, DataPage = 4;
    private const int ItemCountAt = 23, HighestItemAt = 30, FirstItemAt = 32, LinkAt = 1, PartAt = 6, LevelsAt = 1, DocumentAt = 2, LevelsEndAt = 12;
    // A document has so many parts at most; more would be a circle.
    private const int MostParts = 2048;

    private readonly HashSet<StoreKey> _recovered = [];
    private readonly HashSet<StoreKey> _indexed = [];

    /// <summary>Pages that are not what was written.</summary>
    public List<string> Damage { get; } = [];

    /// <summary>Keys that the index has and no record was found for. To be asked after all records were read.</summary>
    public IEnumerable<StoreKey> LostKeys => _indexed.Except(_recovered).Order();

    /// <summary>Every record that is whole, once.</summary>
    public IEnumerable<StoreRecord> ReadRecords()
    {
        uint pages = (uint)((data.Length + PageFormat.Size - 1) / PageFormat.Size);
        foreach (uint page in newestInLog.Keys)
            pages = Math.Max(pages, page + 1);
        byte[] bytes = new byte[PageFormat.Size];
        for (uint page = 1; page < pages; page++)
        {
            if (!TryReadPage(page, bytes))
            {
                Damage.Add($"Page {page} is not what was written.");
                continue;
            }
            for (int item = 0; PageFormat.PageType(bytes) is DataPage or IndexPage && item <= bytes[HighestItemAt] && bytes[ItemCountAt] > 0 && item < byte.MaxValue; item++)
            {
                ReadOnlyMemory<byte> content = Item(bytes, item);
                if (PageFormat.PageType(bytes) == IndexPage)
                    NoteKey(content.Span);
                else if (TryReadRecord(content, out StoreRecord record) && _recovered.Add(record.Key))
                    yield return record;
            }
        }
    }

    private void NoteKey(ReadOnlySpan<byte> node)
    {
        // The two ends of an index have no document, and other indexes have keys of other lengths.
        if (node.Length > LevelsEndAt && node.Length == LevelsEndAt + (10 * node[LevelsAt]) + 2 + StoreKey.ByteLength && BinaryPrimitives.ReadUInt32LittleEndian(node[DocumentAt..]) != uint.MaxValue)
            _indexed.Add(StoreKey.Read(node[^StoreKey.ByteLength..]));
    }

    private bool TryReadRecord(ReadOnlyMemory<byte> first, out StoreRecord record)
    {
        record = default;
        if (first.Length <= PartAt || first.Span[0] != 0)
            return false;
        using var document = new MemoryStream();
        document.Write(first.Span[PartAt..]);
        ReadOnlyMemory<byte> part = first;
        for (int parts = 1; BinaryPrimitives.ReadUInt32LittleEndian(part.Span[LinkAt..]) is var next and not uint.MaxValue; parts++)
        {
            byte[] page = new byte[PageFormat.Size];
            if (parts == MostParts || !TryReadPage(next, page) || PageFormat.PageType(page) != DataPage)
                return false;
            part = Item(page, part.Span[LinkAt + 4]);
            if (part.Length <= PartAt || part.Span[0] == 0)
                return false;
            document.Write(part.Span[PartAt..]);
        }
        try
        {
            if (!RecordDocument.TryDecode(BsonSerializer.Deserialize(document.ToArray()), out StoreKey key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body))
                return false;
            record = new StoreRecord(key, head, body);
            return true;
        }
#pragma warning disable CA1031 // Bytes that are no document make LiteDB throw whatever it likes: no record then, and the index says which is missing.
        catch (Exception)
#pragma warning restore CA1031
        {
            return false;
        }
    }

    private bool TryReadPage(uint page, byte[] into)
    {
        // The log was verified as a whole.
        if (newestInLog.TryGetValue(page, out long place))
            return log!.Read(place * PageFormat.Size, into) == into.Length;
        if (data.Read((long)page * PageFormat.Size, into) < into.Length)
            return false;
        // What another program has written has no checksum of ours; the records in it have.
        return (PageFormat.IsUnsealed(into) && PageFormat.PageId(into) == page) || PageFormat.Unseal(into, page) is null;
    }

    // Empty if the slot is free or points outside of the page.
    private static ReadOnlyMemory<byte> Item(byte[] page, int item)
    {
        int slot = PageFormat.Size - (4 * (item + 1));
        int length = BinaryPrimitives.ReadUInt16LittleEndian(page.AsSpan(slot)), position = BinaryPrimitives.ReadUInt16LittleEndian(page.AsSpan(slot + 2));
        return position >= FirstItemAt && position + length <= slot ? page.AsMemory(position, length) : default;
    }
}
