using QueueKit.Sqlite;

namespace QueueKit;

/// <summary>Gives a broker a SQLite database as its store.</summary>
public static class SqliteBrokerOptions
{
    /// <summary>Keeps durable queues in a SQLite database.</summary>
    /// <param name="options">The broker's options.</param>
    /// <param name="path">The file; it is created when it is not there, its folder is not.</param>
    /// <param name="configure">Changes the store's options from their defaults.</param>
    /// <returns>The same options.</returns>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public static MessageBrokerOptions UseSqlite(this MessageBrokerOptions options, string path, Action<SqliteStoreOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        var storeOptions = new SqliteStoreOptions();
        configure?.Invoke(storeOptions);
        options.Store = new SqliteStore(path, storeOptions, () => options.TimeProvider);
        return options;
    }
}
