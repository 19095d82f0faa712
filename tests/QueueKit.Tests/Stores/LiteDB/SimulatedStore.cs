using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A store on a <see cref="SimulatedDisk"/>, with a log so short that checkpoints come often.</summary>
internal static class SimulatedStore
{
    public static StorePaths Paths { get; } = new(Path.Combine(Path.GetTempPath(), "simulated", "queue.db"));

    public static LiteMessageStore Open(IStoreFileSystem disk, VirtualClock? clock = null, long logBytes = 64 * 1024, long minFreeBytes = 0) => LiteMessageStore.Open(
        disk, Paths, new LiteDBStoreOptions { LogBytes = logBytes, IdleTime = TimeSpan.FromSeconds(1), MinFreeBytes = minFreeBytes }, clock ?? new VirtualClock());

    /// <summary>A disk with an empty store that was closed.</summary>
    public static async Task<SimulatedDisk> NewDisk()
    {
        var disk = new SimulatedDisk();
        await Open(disk).DisposeAsync();
        return disk.AfterCrash();
    }
}
