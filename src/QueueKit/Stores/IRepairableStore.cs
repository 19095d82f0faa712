using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Stores;

/// <summary>What a provider of a store on a disk adds: it can make a store that opens of a damaged one.</summary>
[Experimental("QUEUEKIT001")]
public interface IRepairableStore
{
    /// <summary>Copies everything that is what was written into new files, which take the place of the old ones; these stay beside them under other names. Nobody has the store open.</summary>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <exception cref="StoreException">It is in use, is no store of this kind, or the disk failed: the store is as it was.</exception>
    ValueTask<StoreRepairReport> RepairAsync(CancellationToken ct = default);
}

/// <summary>What a repair has found and done.</summary>
/// <param name="Messages">How many messages the store has now, all queues together.</param>
/// <param name="Findings">What was damaged, what is lost, and what was made anew in its place, in sentences; empty if the store was whole.</param>
/// <param name="SetAside">The files as they were before, under new names.</param>
public sealed record StoreRepairReport(long Messages, IReadOnlyList<string> Findings, IReadOnlyList<string> SetAside);
