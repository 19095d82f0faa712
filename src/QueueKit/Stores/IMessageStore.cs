using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Stores;

/// <summary>Opens a store for a broker.</summary>
/// <remarks>The seam for durability: a provider is what an application configures, a store is what one broker holds open.</remarks>
[Experimental("QUEUEKIT001")]
public interface IMessageStoreProvider
{
    /// <summary>What the store is, for messages to people: a kind and, where there is one, a path.</summary>
    string Description { get; }

    /// <summary>Opens the store, recovering whatever an earlier owner left. On return the caller is its only owner until it disposes it.</summary>
    /// <exception cref="StoreException">It cannot be opened: the message names file, cause and remedy. Nothing was changed.</exception>
    ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default);
}

/// <summary>An ordered key-value engine with atomic batches, which is all that a durable queue asks of a disk.</summary>
/// <remarks>
/// The obligations of an implementation:
/// <list type="bullet">
/// <item>One <see cref="Commit"/> at a time, each after the other returned; reads may run beside it, from any thread.</item>
/// <item>A read sees every commit that had returned when the read began, and none in part.</item>
/// <item>Keys are ordered by <see cref="StoreKey.CompareTo"/>, which is the order of the bytes of <see cref="StoreKey.WriteTo"/>.</item>
/// <item>Values come back exactly as they were put, the split between head and body included.</item>
/// <item>A range delete may take time with the records in it; the broker deletes many records in slices.</item>
/// <item>A batch is never empty: the pipeline puts the commit's own record into each.</item>
/// <item>After a commit has failed with anything but <see cref="StoreFault.Refused"/>, every further commit fails with <see cref="StoreFault.Stopped"/>.</item>
/// </list>
/// </remarks>
[Experimental("QUEUEKIT001")]
public interface IMessageStore : IAsyncDisposable
{
    /// <summary>The largest record, head and body together, in bytes.</summary>
    int MaxRecordBytes { get; }

    /// <summary>Whether <see cref="Commit"/> may block on a device: then the pipeline gives it a thread of its own.</summary>
    bool CommitBlocks { get; }

    /// <summary>The store's lock and witness; null for a store that leaves nothing behind when its process ends.</summary>
    /// <remarks>The store opens it before its own files and disposes it after them; in between the broker writes to it.</remarks>
    Witness? Witness => null;

    /// <summary>Applies the operations of <paramref name="batch"/> in their order, all or none, as safe as <paramref name="level"/> says when it returns.</summary>
    /// <remarks>The memory of heads and bodies stays as it is until their records are deleted: a store may keep references to it. The batch itself is reused after the return.</remarks>
    /// <exception cref="StoreException"><see cref="StoreFault.Refused"/>: nothing was written and the store goes on.
    /// <see cref="StoreFault.Stopped"/>: nothing was tried, because the store is dead already.
    /// Any other kind, and any other exception: the outcome is unknown and the store is dead from now on.</exception>
    void Commit(StoreBatch batch, FlushLevel level);

    /// <summary>Reads records with <paramref name="from"/> ≤ key &lt; <paramref name="to"/> in ascending order into <paramref name="page"/>, which it clears first. May block on a device: whoever calls decides on which thread.</summary>
    /// <param name="from">The first key.</param>
    /// <param name="to">The key before which to stop.</param>
    /// <param name="maxCount">The most records; at least 1.</param>
    /// <param name="maxBytes">Stop after the record that reaches this many bytes of heads and bodies; at least 1, so that one record always comes.</param>
    /// <param name="page">Where the records go.</param>
    /// <returns>Whether more records may lie in the range; false is certain.</returns>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the data are damaged. A damaged record is never returned as good.</exception>
    bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page);
}

/// <summary>How safe a commit is when it returns.</summary>
public enum FlushLevel
{
    /// <summary>With the operating system: survives the process.</summary>
    Written = 0,
    /// <summary>On the disk: survives a power cut. Everything committed before is then on the disk too.</summary>
    Flushed,
}
