using QueueKit.RocksDB;

namespace QueueKit;

/// <summary>Gives a broker a RocksDB database as its store.</summary>
public static class RocksDBBrokerOptions
{
    /// <summary>Keeps durable queues in a RocksDB database.</summary>
    /// <param name="options">The broker's options.</param>
    /// <param name="path">The database's folder; it is created when it is not there, the folder that it lies in is not.</param>
    /// <param name="configure">Changes the store's options from their defaults.</param>
    /// <returns>The same options.</returns>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public static MessageBrokerOptions UseRocksDB(this MessageBrokerOptions options, string path, Action<RocksDBStoreOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        var storeOptions = new RocksDBStoreOptions();
        configure?.Invoke(storeOptions);
        options.Store = new RocksDBStore(path, storeOptions, () => options.TimeProvider);
        return options;
    }
}
