namespace QueueKit.Sqlite;

/// <summary>How a <see cref="SqliteStore"/> works. Copied when the store is made.</summary>
public sealed class SqliteStoreOptions
{
    /// <summary>How much the log may hold, in bytes, before it is copied into the database beside the commits; 1 MiB to 1 GiB. A commit that finds twice as much does it itself. Default: 16 MiB.</summary>
    /// <remarks>More makes checkpoints rarer, and takes more time to open after a crash.</remarks>
    public long LogBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>How long nothing has been committed before the log is copied into the database anyway; 10 ms to a day. Default: 1 s.</summary>
    public TimeSpan IdleTime { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How long a commit waits for another program that holds a lock on the database before it is refused; 0 to a minute. Default: 5 s.</summary>
    public TimeSpan BusyTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>How much memory SQLite may use for pages, in bytes, for commits and for reads each; 256 KiB to 1 GiB. Default: 8 MiB.</summary>
    public long CacheBytes { get; set; } = 8 * 1024 * 1024;

    /// <summary>How much of the disk stays free, in bytes: below it messages are refused, so that there is room to acknowledge those that are there. 0 for no such limit. Default: 64 MiB.</summary>
    public long MinFreeBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>The clock for <see cref="IdleTime"/>; null (the default) for the broker's, or the system's.</summary>
    public TimeProvider? TimeProvider { get; set; }

    internal SqliteStoreOptions Copy() => (SqliteStoreOptions)MemberwiseClone();

    internal void Validate()
    {
        if (LogBytes is < 1024 * 1024 or > 1024 * 1024 * 1024)
            throw new ArgumentException($"SqliteStoreOptions.LogBytes is {LogBytes}; it must lie between 1 MiB and 1 GiB.", "options");
        if (IdleTime < TimeSpan.FromMilliseconds(10) || IdleTime > TimeSpan.FromDays(1))
            throw new ArgumentException($"SqliteStoreOptions.IdleTime is {IdleTime}; it must lie between 10 ms and a day.", "options");
        if (BusyTimeout < TimeSpan.Zero || BusyTimeout > TimeSpan.FromMinutes(1))
            throw new ArgumentException($"SqliteStoreOptions.BusyTimeout is {BusyTimeout}; it must lie between 0 and a minute.", "options");
        if (CacheBytes is < 256 * 1024 or > 1024 * 1024 * 1024)
            throw new ArgumentException($"SqliteStoreOptions.CacheBytes is {CacheBytes}; it must lie between 256 KiB and 1 GiB.", "options");
        if (MinFreeBytes < 0)
            throw new ArgumentException($"SqliteStoreOptions.MinFreeBytes is {MinFreeBytes}; it must be 0 or more.", "options");
    }
}
