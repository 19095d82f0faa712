using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>A store in a SQLite database: durable queues in a file that any tool can read. <c>options.UseSqlite("queue.db")</c> is the short way to it.</summary>
/// <remarks>
/// One broker at a time; others may read. While it is open there are <c>queue.db-wal</c> and <c>queue.db-shm</c> beside <c>queue.db</c>, and after a crash
/// the first of them belongs to the store: copy and restore both, or neither. After a clean close the store is one file.
/// </remarks>
public sealed class SqliteStore : IMessageStoreProvider
{
    private readonly StorePaths _paths;
    private readonly SqliteStoreOptions _options;
    private readonly Func<TimeProvider> _brokerTime;

    /// <summary>Names a store; nothing is opened yet.</summary>
    /// <param name="path">The database; it is created when it is not there, its folder is not. Relative to the current directory of this moment.</param>
    /// <param name="options">Copied; null for the defaults.</param>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public SqliteStore(string path, SqliteStoreOptions? options = null)
        : this(path, options, static () => TimeProvider.System)
    {
    }

    internal SqliteStore(string path, SqliteStoreOptions? options, Func<TimeProvider> brokerTime)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        _options = options?.Copy() ?? new SqliteStoreOptions();
        _options.Validate();
        _paths = new StorePaths(path);
        _brokerTime = brokerTime;
    }

    /// <inheritdoc/>
    public string Description => $"SQLite, {_paths.Data}";

    /// <inheritdoc/>
    ValueTask<IMessageStore> IMessageStoreProvider.OpenAsync(CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<IMessageStore>(ct);
        // Off the caller's thread: it reads the log, which takes as long as the disk does.
        return new(Task.Run<IMessageStore>(() => SqliteMessageStore.Open(_paths, _options, _options.TimeProvider ?? _brokerTime()), ct));
    }
}
