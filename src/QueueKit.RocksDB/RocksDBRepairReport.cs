namespace QueueKit.RocksDB;

/// <summary>What <see cref="RocksDBStore.RepairAsync"/> has found and done.</summary>
public sealed class RocksDBRepairReport
{
    internal RocksDBRepairReport(long messages, IReadOnlyList<string> findings, IReadOnlyList<string> setAside)
    {
        Messages = messages;
        Findings = findings;
        SetAside = setAside;
    }

    /// <summary>How many messages the store has now, all queues together.</summary>
    public long Messages { get; }

    /// <summary>What was damaged, what is lost, and what was made anew in its place, in sentences; empty if the store was whole.</summary>
    public IReadOnlyList<string> Findings { get; }

    /// <summary>The folders as they were before, under new names: delete them when they are not needed any more.</summary>
    public IReadOnlyList<string> SetAside { get; }
}
