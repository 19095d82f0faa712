using System.Buffers.Binary;
using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>Reads ranges of the table, each in a transaction of its own that ends with it. One thread at a time.</summary>
internal sealed unsafe class RecordReader(Database database)
{
    private readonly Statement _range = database.Prepare(
        $"SELECT {StoreSchema.Key}, checksum, head, body FROM records WHERE ({StoreSchema.Key}) >= (?,?,?,?,?,?) AND ({StoreSchema.Key}) < (?,?,?,?,?,?) ORDER BY {StoreSchema.Key}");

    /// <summary>As <see cref="IMessageStore.Read"/>.</summary>
    /// <exception cref="StoreException">A record is not what was written.</exception>
    /// <exception cref="SqliteError">SQLite cannot make sense of the file, or cannot read it.</exception>
    public bool Read(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        if (from >= to)
            return false;
        byte* groups = stackalloc byte[2 * sizeof(ulong)];
        Bind(1, from, groups);
        Bind(7, to, groups + sizeof(ulong));
        try
        {
            for (StoreKey previous = default; _range.Step(); )
            {
                if (!TryReadRow(out StoreKey key, out byte[] value, out int headLength) || key < from || key >= to || (page.Records.Count > 0 && key <= previous))
                    throw StoreErrors.Damaged(database.Path, $"the record {key} in '{database.Path}' is not what was written");
                page.Add(key, value.AsMemory(0, headLength), value.AsMemory(headLength));
                previous = key;
                if (page.Records.Count >= maxCount || page.Bytes >= maxBytes)
                    return true;
            }
            return false;
        }
        finally
        {
            _range.Reset();
        }
    }

    private bool TryReadRow(out StoreKey key, out byte[] value, out int headLength)
    {
        ReadOnlySpan<byte> group = _range.IsBlob(3) ? _range.GetBlob(3) : default;
        bool isKey = RecordRow.TryReadKey(_range.GetInt64(0), _range.GetInt64(1), _range.GetInt64(2), _range.GetInt64(3), group, _range.GetInt64(4), _range.GetInt64(5), out key);
        ReadOnlySpan<byte> head = _range.GetBlob(7), body = _range.GetBlob(8);
        headLength = head.Length;
        value = [];
        if (!isKey || _range.GetInt64(6) != RecordRow.Checksum(key, head, body))
            return false;
        // One piece of memory for both.
        value = GC.AllocateUninitializedArray<byte>(head.Length + body.Length);
        head.CopyTo(value);
        body.CopyTo(value.AsSpan(head.Length));
        return true;
    }

    private void Bind(int parameter, in StoreKey key, byte* group)
    {
        _range.Bind(parameter, (long)key.Kind);
        _range.Bind(parameter + 1, key.Queue);
        _range.Bind(parameter + 2, key.Band);
        if (RecordRow.IsNumber(key.Group))
        {
            _range.Bind(parameter + 3, (long)key.Group);
        }
        else
        {
            BinaryPrimitives.WriteUInt64BigEndian(new Span<byte>(group, sizeof(ulong)), key.Group);
            _range.Bind(parameter + 3, group, sizeof(ulong));
        }
        _range.Bind(parameter + 4, key.Order);
        _range.Bind(parameter + 5, key.Sequence);
    }
}
