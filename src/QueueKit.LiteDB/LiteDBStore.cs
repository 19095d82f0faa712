using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>A store in a LiteDB file: durable queues without anything to install. <c>options.UseLiteDB("queue.db")</c> is the short way to it.</summary>
/// <remarks>
/// One broker at a time. While it is open there is a log, <c>queue-log.db</c>, beside <c>queue.db</c>, and after a crash it belongs to the store: copy and
/// restore both, or neither. After a clean close the store is one file.
/// </remarks>
public sealed class LiteDBStore : IMessageStoreProvider, IRepairableStore
{
    private readonly StorePaths _paths;
    private readonly LiteDBStoreOptions _options;
    private readonly IStoreFileSystem _files;
    private readonly Func<TimeProvider> _brokerTime;
    private LiteMessageStore? _open;

    /// <summary>Names a store; nothing is opened yet.</summary>
    /// <param name="path">The data file; it is created when it is not there, its folder is not. Relative to the current directory of this moment.</param>
    /// <param name="options">Copied; null for the defaults.</param>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public LiteDBStore(string path, LiteDBStoreOptions? options = null)
        : this(path, options, DiskFileSystem.Instance, static () => TimeProvider.System)
    {
    }

    internal LiteDBStore(string path, LiteDBStoreOptions? options, IStoreFileSystem files, Func<TimeProvider> brokerTime)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        _options = options?.Copy() ?? new LiteDBStoreOptions();
        _options.Validate();
        _paths = new StorePaths(path);
        _files = files;
        _brokerTime = brokerTime;
    }

    /// <inheritdoc/>
    public string Description => $"LiteDB, {_paths.Data}";

    /// <inheritdoc/>
    ValueTask<IMessageStore> IMessageStoreProvider.OpenAsync(CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<IMessageStore>(ct);
        // Off the caller's thread: it reads the log, which takes as long as the disk does.
        return new(Task.Run<IMessageStore>(() => _open = LiteMessageStore.Open(_files, _paths, _options, _options.TimeProvider ?? _brokerTime()), ct));
    }

    /// <inheritdoc/>
    async ValueTask<StoreRepairReport> IRepairableStore.RepairAsync(CancellationToken ct)
    {
        LiteDBRepairReport report = await Task.Run(() => StoreRepair.Run(_files, _paths), ct).ConfigureAwait(false);
        return new StoreRepairReport(report.Messages, report.Findings, report.SetAside);
    }

    /// <summary>Copies the store, which a broker has open, into a folder; messages come and go meanwhile. Restoring it is opening the data file in that folder as a store.</summary>
    /// <remarks>
    /// The copy has the data file's name. It holds everything that was confirmed when this was called, and no commit in part, and takes the room of data file and log.
    /// Every page is checked on its way. Opened, every message in it counts as maybe delivered before. As long as it lasts the log is not emptied.
    /// </remarks>
    /// <param name="folder">Not there yet; the folder that it is to lie in is.</param>
    /// <param name="ct">Gives it up; nothing is left of it then.</param>
    /// <exception cref="StoreException">The copy could not be made, or no broker has the store open. The store goes on as before.</exception>
    public ValueTask BackupAsync(string folder, CancellationToken ct = default) =>
        Volatile.Read(ref _open) is { IsDisposed: false } open ? open.BackupAsync(folder, ct) : throw StoreErrors.NotOpen(_paths.Data);

    /// <summary>Copies everything that can be read into a new file, flushes it and puts it in the place of the old one, which is kept under another name. A broker can open the store then.</summary>
    /// <remarks>
    /// For a store that says it is damaged or may not be opened any more. Needs as much free space again as the store takes, and nobody may have it open.
    /// <para>Messages whose queue's name is lost are in a queue <c>recovered-N</c> afterwards. Numbers of messages are not used a second time. If a commit is
    /// missing, what was acknowledged in it may be back.</para>
    /// </remarks>
    /// <param name="path">The data file.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <returns>What was lost, and what was made anew.</returns>
    /// <exception cref="StoreException">It is in use, not there, or the disk failed: the store is as it was.</exception>
    public static Task<LiteDBRepairReport> RepairAsync(string path, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        return Task.Run(() => StoreRepair.Run(DiskFileSystem.Instance, new StorePaths(path)), ct);
    }
}
