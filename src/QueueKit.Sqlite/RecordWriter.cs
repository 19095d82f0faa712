using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>Applies batches to the table, inside a transaction of the caller's. Used under the store's lock.</summary>
/// <remarks>
/// What a statement costs is mostly its beginning and its end, so a statement has many rows. Deletions wait until the end of the batch, are sorted, and go as ranges:
/// consumers acknowledge about in the order of the numbers.
/// </remarks>
internal sealed unsafe class RecordWriter : IDisposable
{
    // Rows of a statement, largest first.
    private static readonly int[] s_rows = [32, 8, 1];

    // Of what stands side by side in memory while a statement runs; larger values stay where they are.
    private const int ScratchBytes = 64 * 1024;
    private const int LargestCopied = 4096;

    private readonly Statement[] _puts;
    private readonly Statement _deleteRun;
    private readonly Statement _deleteRange;
    private readonly byte* _scratch = (byte*)NativeMemory.Alloc(ScratchBytes);
    private readonly List<MemoryHandle> _pinned = [];
    // Of the batch, and not yet given to SQLite: operations by their place, and keys.
    private readonly List<int> _waiting = [];
    private readonly List<StoreKey> _deletions = [];
    private bool _deletesMessages, _deletesOthers;
    private long _lastDeleted;
    private int _scratchUsed;

    public RecordWriter(Database database)
    {
        const string lane = "kind = ?1 AND queue = ?2 AND band = ?3 AND group_id = ?4 AND due = ?5";
        _puts = [.. s_rows.Select(rows => database.Prepare($"INSERT OR REPLACE INTO records VALUES {string.Join(',', Enumerable.Repeat("(?,?,?,?,?,?,?,?,?)", rows))}"))];
        _deleteRun = database.Prepare($"DELETE FROM records WHERE {lane} AND sequence BETWEEN ?6 AND ?7");
        _deleteRange = database.Prepare($"DELETE FROM records WHERE ({StoreSchema.Key}) >= (?,?,?,?,?,?) AND ({StoreSchema.Key}) < (?,?,?,?,?,?)");
    }

    public void Apply(StoreBatch batch)
    {
        ReadOnlySpan<StoreOperation> operations = batch.Operations;
        for (int i = 0; i < operations.Length; i++)
        {
            ref readonly StoreOperation operation = ref operations[i];
            switch (operation.Kind)
            {
                case StoreOperationKind.Insert or StoreOperationKind.Put:
                    if (MayBeDeleted(operation.Key))
                        Flush(operations);
                    _waiting.Add(i);
                    break;
                case StoreOperationKind.Delete:
                    Delete(operation.Key);
                    break;
                case StoreOperationKind.DeleteRange:
                    Flush(operations);
                    DeleteRange(operation.Key, operation.To);
                    break;
                default:
                    throw new ArgumentException($"The batch contains an operation of the unknown kind {operation.Kind}.", nameof(batch));
            }
        }
        Flush(operations);
    }

    /// <summary>Forgets what is left of a batch that has failed.</summary>
    public void Reset()
    {
        _waiting.Clear();
        ClearDeletions();
        Release();
    }

    public void Dispose() => NativeMemory.Free(_scratch);

    private void Delete(in StoreKey key)
    {
        if (_deletions.Count == 0)
            _lastDeleted = long.MinValue;
        _deletions.Add(key);
        if (key.Kind == StoreKind.Message)
            _deletesMessages = true;
        else
            _deletesOthers = true;
        _lastDeleted = Math.Max(_lastDeleted, key.Sequence);
    }

    // A message that is sent has a larger number than any that is acknowledged, so this is nearly always false.
    private bool MayBeDeleted(in StoreKey key) => (key.Kind == StoreKind.Message ? _deletesMessages : _deletesOthers) && key.Sequence <= _lastDeleted;

    // First what was put, then what was deleted: in this order it comes to the same, because nothing that was deleted has been put again.
    private void Flush(ReadOnlySpan<StoreOperation> operations)
    {
        ReadOnlySpan<int> waiting = CollectionsMarshal.AsSpan(_waiting);
        for (int size = 0; size < s_rows.Length; size++)
        {
            for (; waiting.Length >= s_rows[size]; waiting = waiting[s_rows[size]..])
                Put(operations, waiting[..s_rows[size]], _puts[size]);
        }
        _waiting.Clear();
        if (_deletions.Count > 0)
            DeleteRuns();
    }

    private void Put(ReadOnlySpan<StoreOperation> operations, ReadOnlySpan<int> rows, Statement statement)
    {
        int parameter = 1;
        foreach (int row in rows)
        {
            ref readonly StoreOperation operation = ref operations[row];
            StoreKey key = operation.Key;
            ReadOnlyMemory<byte> head = operation.Head, body = operation.Body;
            BindKey(statement, parameter, key);
            statement.Bind(parameter + 6, RecordRow.Checksum(key, head.Span, body.Span));
            statement.Bind(parameter + 7, Place(head), head.Length);
            statement.Bind(parameter + 8, Place(body), body.Length);
            parameter += RecordRow.Columns;
        }
        statement.Run();
        Release();
    }

    // Sorted, so that numbers without a gap between them in one lane are one range.
    private void DeleteRuns()
    {
        Span<StoreKey> keys = CollectionsMarshal.AsSpan(_deletions);
        keys.Sort();
        for (int first = 0, last = 0; first < keys.Length; first = ++last)
        {
            while (last + 1 < keys.Length && keys[last].Sequence != long.MaxValue && keys[last + 1] == keys[last] with { Sequence = keys[last].Sequence + 1 })
                last++;
            BindLane(_deleteRun, 1, keys[first]);
            _deleteRun.Bind(6, keys[first].Sequence);
            _deleteRun.Bind(7, keys[last].Sequence);
            _deleteRun.Run();
            Release();
        }
        ClearDeletions();
    }

    private void DeleteRange(in StoreKey from, in StoreKey to)
    {
        BindKey(_deleteRange, 1, from);
        BindKey(_deleteRange, 7, to);
        _deleteRange.Run();
        Release();
    }

    private void ClearDeletions()
    {
        _deletions.Clear();
        _deletesMessages = _deletesOthers = false;
    }

    private void BindKey(Statement statement, int parameter, in StoreKey key)
    {
        BindLane(statement, parameter, key);
        statement.Bind(parameter + 5, key.Sequence);
    }

    private void BindLane(Statement statement, int parameter, in StoreKey key)
    {
        statement.Bind(parameter, (long)key.Kind);
        statement.Bind(parameter + 1, key.Queue);
        statement.Bind(parameter + 2, key.Band);
        if (RecordRow.IsNumber(key.Group))
        {
            statement.Bind(parameter + 3, (long)key.Group);
        }
        else
        {
            byte[] group = new byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(group, key.Group);
            statement.Bind(parameter + 3, Place(group), group.Length);
        }
        statement.Bind(parameter + 4, key.Order);
    }

    // Where a value stays until the statement has run. Copying a small one costs less than pinning it.
    private byte* Place(ReadOnlyMemory<byte> value)
    {
        if (value.Length <= LargestCopied && value.Length <= ScratchBytes - _scratchUsed)
        {
            byte* place = _scratch + _scratchUsed;
            value.Span.CopyTo(new Span<byte>(place, value.Length));
            _scratchUsed += value.Length;
            return place;
        }
        MemoryHandle handle = value.Pin();
        _pinned.Add(handle);
        return (byte*)handle.Pointer;
    }

    private void Release()
    {
        _scratchUsed = 0;
        foreach (MemoryHandle handle in _pinned)
            handle.Dispose();
        _pinned.Clear();
    }
}
