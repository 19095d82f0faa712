using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>A store in a RocksDB database: durable queues with the highest throughput, and backlogs of any length. <c>options.UseRocksDB("queue")</c> is the short way to it.</summary>
/// <remarks>One broker at a time. The database is a folder; its lock and witness, <c>queue-witness</c>, lies beside it.</remarks>
public sealed class RocksDBStore : IMessageStoreProvider, IRepairableStore
{
    private readonly StorePaths _paths;
    private readonly RocksDBStoreOptions _options;
    private readonly Func<TimeProvider> _brokerTime;
    private readonly Action? _beforeWrite;
    private RocksMessageStore? _open;

    /// <summary>Names a store; nothing is opened yet.</summary>
    /// <param name="path">The database's folder; it is created when it is not there, the folder that it lies in is not. Relative to the current directory of this moment.</param>
    /// <param name="options">Copied; null for the defaults.</param>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public RocksDBStore(string path, RocksDBStoreOptions? options = null)
        : this(path, options, static () => TimeProvider.System)
    {
    }

    internal RocksDBStore(string path, RocksDBStoreOptions? options, Func<TimeProvider> brokerTime, Action? beforeWrite = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        _options = options?.Copy() ?? new RocksDBStoreOptions();
        _options.Validate();
        _paths = new StorePaths(path);
        _brokerTime = brokerTime;
        _beforeWrite = beforeWrite;
    }

    /// <inheritdoc/>
    public string Description => $"RocksDB, {_paths.Folder}";

    /// <inheritdoc/>
    ValueTask<IMessageStore> IMessageStoreProvider.OpenAsync(CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<IMessageStore>(ct);
        // Off the caller's thread: it reads the log, which takes as long as the disk does.
        return new(Task.Run<IMessageStore>(() => _open = RocksMessageStore.Open(_paths, _options, _options.TimeProvider ?? _brokerTime(), _beforeWrite), ct));
    }

    /// <inheritdoc/>
    async ValueTask<StoreRepairReport> IRepairableStore.RepairAsync(CancellationToken ct)
    {
        RocksDBRepairReport report = await Task.Run(() => StoreRepair.Run(_paths), ct).ConfigureAwait(false);
        return new StoreRepairReport(report.Messages, report.Findings, report.SetAside);
    }

    /// <summary>Copies the store, which a broker has open, into a folder; messages come and go meanwhile. Restoring it is opening that folder as a store.</summary>
    /// <remarks>
    /// The copy holds everything that was confirmed when this was called, and no commit in part. On the same disk it takes next to no time and space, because the
    /// files are shared until one of the two deletes them. Opened, every message in it counts as maybe delivered before.
    /// </remarks>
    /// <param name="folder">Not there yet; the folder that it is to lie in is.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <exception cref="StoreException">The copy could not be made, or no broker has the store open. The store goes on as before.</exception>
    public ValueTask BackupAsync(string folder, CancellationToken ct = default) =>
        Volatile.Read(ref _open) is { IsDisposed: false } open ? open.BackupAsync(folder, ct) : throw StoreErrors.NotOpen(_paths.Folder);

    /// <summary>Copies everything that can be read into a new database, flushes it and puts it in the place of the old one, which is kept under another name. A broker can open the store then.</summary>
    /// <remarks>
    /// For a store that says it is damaged or may not be opened any more. Needs as much free space again as the store takes, and nobody may have it open.
    /// <para>Messages whose queue's name is lost are in a queue <c>recovered-N</c> afterwards. Numbers of messages are not used a second time. If a commit is
    /// missing, what was acknowledged in it may be back.</para>
    /// </remarks>
    /// <param name="path">The database's folder.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <returns>What was lost, and what was made anew.</returns>
    /// <exception cref="StoreException">It is in use, not there, or the disk failed: the store is as it was.</exception>
    public static Task<RocksDBRepairReport> RepairAsync(string path, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return Task.Run(() => StoreRepair.Run(new StorePaths(path)), ct);
    }
}
