using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Testing;

/// <summary>What a store under test can do or be made to do, beyond what every store does. A case runs where all that it needs is there.</summary>
[Flags]
[Experimental("QUEUEKIT001")]
public enum StoreAbilities
{
    /// <summary>Nothing beyond the common part.</summary>
    None = 0,
    /// <summary>It lies in files, which are there when the process is not: derive from <see cref="StoreInFolder"/>.</summary>
    Durable = 1,
    /// <summary>A commit of it can be made to fail: <see cref="StoreUnderTest.FailNextCommit"/>.</summary>
    FailingCommits = 2,
    /// <summary>It can lose what was not flushed: <see cref="StoreUnderTest.CutPower"/>.</summary>
    PowerCuts = 4,
    /// <summary>It copies itself while it is used: its store is an <see cref="Stores.IBackupStore"/>. Only of a durable one.</summary>
    Backup = 8,
    /// <summary>A store of a newer format, and something that is no store, can be put in its place: <see cref="StoreInFolder.MakeNewer"/>, <see cref="StoreInFolder.MakeForeign"/>.</summary>
    Formats = 16,
    /// <summary>It lies on a disk that can be filled and emptied: <see cref="StoreInFolder.FillDisk"/>.</summary>
    DiskFull = 32,
}
