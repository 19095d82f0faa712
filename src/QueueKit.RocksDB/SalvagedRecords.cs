using System.Numerics;
using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>Reads whatever can be read of a damaged database, and says what cannot.</summary>
/// <param name="engine">The database.</param>
/// <param name="blobFiles">Its files of large records, for those that it does not find in them itself.</param>
internal sealed class SalvagedRecords(RocksEngine engine, IEnumerable<string> blobFiles)
{
    private const int PageRecords = 256;
    // One byte longer than a key, so that there is one behind every key.
    private const int PositionBytes = StoreKey.ByteLength + 1;

    // RocksDB keeps references to the bounds of what is read, so they stay where they are. One cursor at a time.
    private readonly byte[] _from = GC.AllocateArray<byte>(PositionBytes, pinned: true);
    private readonly byte[] _to = GC.AllocateArray<byte>(PositionBytes, pinned: true);
    private readonly List<StoreKey> _lostKeys = [];
    private readonly List<KeyGap> _gaps = [];
    private Dictionary<StoreKey, BlobPlace>? _blobs;

    /// <summary>The keys of records that are not what was written.</summary>
    public IReadOnlyList<StoreKey> LostKeys => _lostKeys;

    /// <summary>Where nothing can be read.</summary>
    public IReadOnlyList<KeyGap> Gaps => _gaps;

    /// <summary>Reads the records of a range, which may be one that another could not read.</summary>
    public IEnumerable<StoreRecord> Read(KeyGap range)
    {
        byte[] position = range.From;
        range.To.CopyTo(_to, 0);
        var page = new List<StoreRecord>();
        StoreKey? last = null;
        while (true)
        {
            RocksException? damage = ReadPage(position, page, out StoreKey? lastOfPage, out bool isEnd);
            foreach (StoreRecord record in page)
                yield return record;
            last = lastOfPage ?? last;
            if (lastOfPage is { } key)
                position = Behind(key);
            if (damage is null && isEnd)
                yield break;
            if (damage is null)
                continue;
            if (ReadKey(position) is { } unreadable)
            {
                // Its value lies in a file of large ones.
                if (TryReadBlob(unreadable, out StoreRecord record))
                    yield return record;
                else
                    _lostKeys.Add(unreadable);
                position = Behind(unreadable);
                continue;
            }
            byte[] readable = FindReadable(position);
            StoreKey? next = ReadKey(readable);
            _gaps.Add(new KeyGap(position, readable, $"Nothing can be read {(last is { } before ? $"behind the record {before}" : "from the beginning")} {(next is { } then ? $"and before the record {then}" : "to the end")} ({damage.Message})"));
            if (next is null)
                yield break;
            position = readable;
        }
    }

    private RocksException? ReadPage(byte[] from, List<StoreRecord> page, out StoreKey? last, out bool isEnd)
    {
        page.Clear();
        last = null;
        isEnd = false;
        using RocksCursor cursor = Cursor(from);
        for (cursor.First(); cursor.IsValid; cursor.Next())
        {
            ReadOnlySpan<byte> bytes = cursor.Key;
            // No record has another; such a key can only be another program's.
            if (!RecordValue.IsKey(bytes))
                continue;
            StoreKey key = StoreKey.Read(bytes);
            last = key;
            if (RecordValue.TryRead(bytes, cursor.Value, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body))
                page.Add(new StoreRecord(key, head, body));
            else
                _lostKeys.Add(key);
            if (page.Count == PageRecords)
                return null;
        }
        isEnd = true;
        return Failure(cursor);
    }

    private static RocksException? Failure(RocksCursor cursor)
    {
        try
        {
            cursor.ThrowIfFailed();
            return null;
        }
        catch (RocksException error)
        {
            return error;
        }
    }

    // The first key at or behind a position; null where there is none, or it cannot be read.
    private StoreKey? ReadKey(byte[] from)
    {
        using RocksCursor cursor = Cursor(from, keysAlone: true);
        for (cursor.First(); cursor.IsValid; cursor.Next())
        {
            if (RecordValue.IsKey(cursor.Key))
                return StoreKey.Read(cursor.Key);
        }
        return null;
    }

    // Keys are numbers of 31 bytes: ahead in growing steps until something can be read again, and from there back to where that begins.
    private byte[] FindReadable(byte[] from)
    {
        BigInteger damaged = Number(from), step = 1, last = Number(_to), readable = damaged;
        while (readable < last && !IsReadable(readable))
        {
            damaged = readable;
            readable = BigInteger.Min(readable + step, last);
            step *= 2;
        }
        while (readable - damaged > 1)
        {
            BigInteger middle = (readable + damaged) / 2;
            if (IsReadable(middle))
                readable = middle;
            else
                damaged = middle;
        }
        return Position(readable);
    }

    private bool IsReadable(BigInteger position)
    {
        using RocksCursor cursor = Cursor(Position(position), keysAlone: true);
        cursor.First();
        return cursor.IsValid || Failure(cursor) is null;
    }

    private bool TryReadBlob(in StoreKey key, out StoreRecord record)
    {
        record = default;
        _blobs ??= BlobPlace.FindAll(blobFiles);
        return _blobs.TryGetValue(key, out BlobPlace place) && place.TryRead(key, out record);
    }

    private RocksCursor Cursor(byte[] from, bool keysAlone = false)
    {
        from.CopyTo(_from, 0);
        return engine.Read(_from, _to, keysAlone);
    }

    private static byte[] Behind(in StoreKey key)
    {
        byte[] position = new byte[PositionBytes];
        key.WriteTo(position);
        return position;
    }

    private static BigInteger Number(ReadOnlySpan<byte> position) => new(position, isUnsigned: true, isBigEndian: true);

    private static byte[] Position(BigInteger number)
    {
        byte[] bytes = number.ToByteArray(isUnsigned: true, isBigEndian: true), position = new byte[PositionBytes];
        bytes.CopyTo(position.AsSpan(PositionBytes - bytes.Length));
        return position;
    }
}

/// <summary>A range of keys, each with one byte more than a key has, and why nothing in it can be read.</summary>
internal sealed record KeyGap(byte[] From, byte[] To, string Reason)
{
    /// <summary>Everything.</summary>
    public static KeyGap All(string reason) => new([(byte)StoreKind.Meta, .. new byte[StoreKey.ByteLength]], [.. Enumerable.Repeat(byte.MaxValue, StoreKey.ByteLength + 1)], reason);
}
