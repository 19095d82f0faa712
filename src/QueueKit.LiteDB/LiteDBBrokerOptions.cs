using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;

namespace QueueKit;

/// <summary>Gives a broker a LiteDB file as its store.</summary>
public static class LiteDBBrokerOptions
{
    /// <summary>Keeps durable queues in a LiteDB file.</summary>
    /// <param name="options">The broker's options.</param>
    /// <param name="path">The file; it is created when it is not there, its folder is not.</param>
    /// <param name="configure">Changes the store's options from their defaults.</param>
    /// <returns>The same options.</returns>
    /// <exception cref="ArgumentException">The path is empty, or an option is out of its range; the message names it.</exception>
    public static MessageBrokerOptions UseLiteDB(this MessageBrokerOptions options, string path, Action<LiteDBStoreOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(options);
        var storeOptions = new LiteDBStoreOptions();
        configure?.Invoke(storeOptions);
        options.Store = new LiteDBStore(path, storeOptions, DiskFileSystem.Instance, () => options.TimeProvider);
        return options;
    }
}
