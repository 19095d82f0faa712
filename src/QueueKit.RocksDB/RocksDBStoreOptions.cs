namespace QueueKit.RocksDB;

/// <summary>How a <see cref="RocksDBStore"/> works. Copied when the store is made.</summary>
public sealed class RocksDBStoreOptions
{
    private const long KiB = 1024, MiB = 1024 * KiB, GiB = 1024 * MiB;

    /// <summary>How much is gathered in memory, in bytes, before it is written into tables; 1 MiB to 1 GiB. Default: 32 MiB.</summary>
    /// <remarks>What is sent and acked within that much never reaches a table. More takes more memory (up to three times as much), more log on the disk (up to four times) and more time to open after a crash.</remarks>
    public long WriteBufferBytes { get; set; } = 32 * MiB;

    /// <summary>How much of what was read from tables stays in memory, in bytes; 1 MiB to 64 GiB. Default: 16 MiB.</summary>
    /// <remarks>A backlog is read once and in order, so more helps little.</remarks>
    public long CacheBytes { get; set; } = 16 * MiB;

    /// <summary>From which size on, in bytes, a message's record lies in a file of large ones instead of in a table that is rewritten now and then; 256 bytes to 1 GiB. Default: 4 KiB.</summary>
    public long MinBlobBytes { get; set; } = 4 * KiB;

    /// <summary>How long nothing has been committed before the space of what was deleted is given back; 10 ms to a day. Default: 1 s.</summary>
    public TimeSpan IdleTime { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>How much of the disk stays free, in bytes: below it messages are refused, so that there is room to acknowledge those that are there. 0 for no such limit. Default: 64 MiB.</summary>
    public long MinFreeBytes { get; set; } = 64 * MiB;

    /// <summary>The clock for <see cref="IdleTime"/>; null (the default) for the broker's, or the system's.</summary>
    public TimeProvider? TimeProvider { get; set; }

    internal RocksDBStoreOptions Copy() => (RocksDBStoreOptions)MemberwiseClone();

    internal void Validate()
    {
        if (WriteBufferBytes is < MiB or > GiB)
            throw new ArgumentException($"RocksDBStoreOptions.WriteBufferBytes is {WriteBufferBytes}; it must lie between 1 MiB and 1 GiB.", "options");
        if (CacheBytes is < MiB or > 64 * GiB)
            throw new ArgumentException($"RocksDBStoreOptions.CacheBytes is {CacheBytes}; it must lie between 1 MiB and 64 GiB.", "options");
        if (MinBlobBytes is < 256 or > GiB)
            throw new ArgumentException($"RocksDBStoreOptions.MinBlobBytes is {MinBlobBytes}; it must lie between 256 bytes and 1 GiB.", "options");
        if (IdleTime < TimeSpan.FromMilliseconds(10) || IdleTime > TimeSpan.FromDays(1))
            throw new ArgumentException($"RocksDBStoreOptions.IdleTime is {IdleTime}; it must lie between 10 ms and a day.", "options");
        if (MinFreeBytes < 0)
            throw new ArgumentException($"RocksDBStoreOptions.MinFreeBytes is {MinFreeBytes}; it must be 0 or more.", "options");
    }
}
