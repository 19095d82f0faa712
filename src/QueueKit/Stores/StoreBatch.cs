using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace QueueKit.Stores;

/// <summary>What one commit does: operations in their order. Built by one thread, reused from commit to commit.</summary>
[Experimental("QUEUEKIT001")]
public sealed class StoreBatch
{
    private StoreOperation[] _operations = new StoreOperation[16];
    private int _count;

    /// <summary>The operations, to be applied in this order. Valid until the commit returns.</summary>
    public ReadOnlySpan<StoreOperation> Operations => _operations.AsSpan(0, _count);

    /// <summary>The bytes of all heads and bodies.</summary>
    public long Bytes { get; private set; }

    /// <summary>Whether it adds messages or queues: what a store refuses when its disk is nearly full.</summary>
    /// <remarks>Acks and failures write too, but what they write is small and is given back: they go on.</remarks>
    public bool Grows
    {
        get
        {
            foreach (ref readonly StoreOperation operation in Operations)
            {
                if (operation.Kind is StoreOperationKind.Insert or StoreOperationKind.Put && operation.Key.Kind is StoreKind.Message or StoreKind.Parked or StoreKind.Queue)
                    return true;
            }
            return false;
        }
    }

    /// <summary>What the operations change in the counts of lanes: kept by whoever adds them.</summary>
    internal LaneChanges LaneChanges { get; } = new();

    /// <summary>Adds a record whose key the store does not hold: the caller vouches for that, and a store may rely on it where that is faster.</summary>
    public void Insert(StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body = default) =>
        Add(StoreOperationKind.Insert, key, head, body);

    /// <summary>Adds a record or replaces the one with the same key.</summary>
    public void Put(StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body = default) =>
        Add(StoreOperationKind.Put, key, head, body);

    /// <summary>Removes a record; one that is not there is nothing to complain about.</summary>
    public void Delete(StoreKey key) => Next() = new StoreOperation(StoreOperationKind.Delete, key);

    /// <summary>Removes every record with <paramref name="from"/> ≤ key &lt; <paramref name="to"/>.</summary>
    public void DeleteRange(StoreKey from, StoreKey to) => Next() = new StoreOperation(from, to);

    /// <summary>Empties the batch for the next commit.</summary>
    public void Clear()
    {
        Array.Clear(_operations, 0, _count);
        _count = 0;
        Bytes = 0;
        LaneChanges.Clear();
    }

    private void Add(StoreOperationKind kind, in StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body)
    {
        Next() = new StoreOperation(kind, key, head, body);
        Bytes += (long)head.Length + body.Length;
    }

    // Written in place: an operation is large, and a commit has thousands.
    private ref StoreOperation Next()
    {
        if (_count == _operations.Length)
            Array.Resize(ref _operations, _count * 2);
        return ref _operations[_count++];
    }
}

/// <summary>One operation of a <see cref="StoreBatch"/>.</summary>
[Experimental("QUEUEKIT001")]
[StructLayout(LayoutKind.Auto)]
public readonly struct StoreOperation
{
    // Few operations are ranges: they alone pay for a second key.
    private readonly object? _to;

    internal StoreOperation(StoreOperationKind kind, in StoreKey key, ReadOnlyMemory<byte> head = default, ReadOnlyMemory<byte> body = default)
    {
        Kind = kind;
        Key = key;
        Head = head;
        Body = body;
    }

    internal StoreOperation(in StoreKey from, in StoreKey to)
    {
        Kind = StoreOperationKind.DeleteRange;
        Key = from;
        _to = to;
    }

    /// <summary>What to do.</summary>
    public StoreOperationKind Kind { get; }

    /// <summary>The record's key, or where a range begins.</summary>
    public StoreKey Key { get; }

    /// <summary>Before which key a range ends; of other operations, their own key.</summary>
    public StoreKey To => _to is StoreKey to ? to : Key;

    /// <summary>Of an insert or put: the first part of the value, written by QueueKit.</summary>
    public ReadOnlyMemory<byte> Head { get; }

    /// <summary>Of an insert or put: the second part, the application's own bytes.</summary>
    public ReadOnlyMemory<byte> Body { get; }
}

/// <summary>The kinds of <see cref="StoreOperation"/>.</summary>
[Experimental("QUEUEKIT001")]
public enum StoreOperationKind : byte
{
    /// <summary>None; never in a batch.</summary>
    None = 0,
    /// <summary>Add a record whose key is not there.</summary>
    Insert,
    /// <summary>Add or replace a record.</summary>
    Put,
    /// <summary>Remove a record.</summary>
    Delete,
    /// <summary>Remove a range of records.</summary>
    DeleteRange,
}

/// <summary>Where a read puts its records.</summary>
[Experimental("QUEUEKIT001")]
public sealed class StorePage
{
    private readonly List<StoreRecord> _records = [];

    /// <summary>The records, in ascending order of their keys.</summary>
    public IReadOnlyList<StoreRecord> Records => _records;

    /// <summary>The bytes of all heads and bodies.</summary>
    public long Bytes { get; private set; }

    /// <summary>Adds a record behind the others; its memory must never change again.</summary>
    public void Add(StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body)
    {
        _records.Add(new StoreRecord(key, head, body));
        Bytes += (long)head.Length + body.Length;
    }

    /// <summary>Empties the page.</summary>
    public void Clear()
    {
        _records.Clear();
        Bytes = 0;
    }
}

/// <summary>A record as it was put.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Head">The first part of its value.</param>
/// <param name="Body">The second part.</param>
[Experimental("QUEUEKIT001")]
public readonly record struct StoreRecord(StoreKey Key, ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> Body);
