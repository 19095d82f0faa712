namespace QueueKit.LiteDB;

/// <summary>What <see cref="LiteDBStore.RepairAsync"/> has found and done.</summary>
public sealed class LiteDBRepairReport
{
    internal LiteDBRepairReport(long records, IReadOnlyList<string> findings, IReadOnlyList<string> setAside)
    {
        Records = records;
        Findings = findings;
        SetAside = setAside;
    }

    /// <summary>How many records were copied: messages, queues and the store's own.</summary>
    public long Records { get; }

    /// <summary>What was damaged or is lost, in sentences; empty if everything was readable.</summary>
    public IReadOnlyList<string> Findings { get; }

    /// <summary>The files as they were before, under new names: delete them when they are not needed any more.</summary>
    public IReadOnlyList<string> SetAside { get; }
}
