namespace QueueKit.Faults;

/// <summary>The stores that can be put to the test.</summary>
internal static class Stores
{
    public static MessageBrokerOptions Open(string store, string folder)
    {
        var options = new MessageBrokerOptions();
        switch (store)
        {
            case "litedb":
                options.UseLiteDB(Path.Combine(folder, "queue.db"));
                break;
            case "rocksdb":
                options.UseRocksDB(Path.Combine(folder, "queue"));
                break;
            case "sqlite":
                options.UseSqlite(Path.Combine(folder, "queue.db"));
                break;
            default:
                throw new ArgumentException($"There is no store '{store}'.", nameof(store));
        }
        return options;
    }
}
