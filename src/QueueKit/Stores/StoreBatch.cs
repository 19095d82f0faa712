using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace QueueKit.Stores;

/// <summary>What one commit does: operations in their order. Built by one thread, reused from commit to commit.</summary>
[Experimental("QUEUEKIT001")]
public sealed class StoreBatch
{
    private readonly List<StoreOperation> _operations = [];

    /// <summary>The operations, to be applied in this order. Valid until the commit returns.</summary>
    public ReadOnlySpan<StoreOperation> Operations => CollectionsMarshal.AsSpan(_operations);

    /// <summary>The bytes of all heads and bodies.</summary>
    public long Bytes { get; private set; }

    /// <summary>Adds a record or replaces the one with the same key.</summary>
    public void Put(StoreKey key, ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> body = default)
    {
        _operations.Add(new StoreOperation(StoreOperationKind.Put, key, key, head, body));
        Bytes += (long)head.Length + body.Length;
    }

    /// <summary>Removes a record; one that is not there is nothing to complain about.</summary>
    public void Delete(StoreKey key) => _operations.Add(new StoreOperation(StoreOperationKind.Delete, key, key, default, default));

    /// <summary>Removes every record with <paramref name="from"/> ≤ key &lt; <paramref name="to"/>.</summary>
    public void DeleteRange(StoreKey from, StoreKey to) => _operations.Add(new StoreOperation(StoreOperationKind.DeleteRange, from, to, default, default));

    /// <summary>Empties the batch for the next commit.</summary>
    public void Clear()
    {
        _operations.Clear();
        Bytes = 0;
    }
}

/// <summary>One operation of a <see cref="StoreBatch"/>.</summary>
/// <param name="Kind">What to do.</param>
/// <param name="Key">The record's key, or where a range begins.</param>
/// <param name="To">Before which key a range ends.</param>
/// <param name="Head">Of a put: the first part of the value, written by QueueKit.</param>
/// <param name="Body">Of a put: the second part, the application's own bytes.</param>
[Experimental("QUEUEKIT001")]
[StructLayout(LayoutKind.Auto)]
public readonly record struct StoreOperation(StoreOperationKind Kind, StoreKey Key, StoreKey To, ReadOnlyMemory<byte> Head, ReadOnlyMemory<byte> Body);

/// <summary>The kinds of <see cref="StoreOperation"/>.</summary>
[Experimental("QUEUEKIT001")]
public enum StoreOperationKind : byte
{
    /// <summary>None; never in a batch.</summary>
    None = 0,
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
