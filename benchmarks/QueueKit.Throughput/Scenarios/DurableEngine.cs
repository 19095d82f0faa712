using QueueKit.LiteDB;
using QueueKit.RocksDB;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>A durable store and, as its reference, the least that makes records durable in groups with the same engine.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Title">Its name in tables.</param>
/// <param name="Open">The store in a folder of its own, with default options.</param>
/// <param name="OpenStill">The same, but leaving its files alone while nothing is committed, as far as it can be told to.</param>
/// <param name="OpenBare">The reference in a folder of its own.</param>
internal sealed record DurableEngine(string Name, string Title, Func<string, IMessageStoreProvider> Open, Func<string, IMessageStoreProvider> OpenStill, Func<string, BareCommits> OpenBare)
{
    /// <summary>One row for each store.</summary>
    public static IReadOnlyList<DurableEngine> All { get; } =
    [
        new("litedb", "LiteDB",
            static folder => new LiteDBStore(Path.Combine(folder, "queue.db")),
            static folder => new LiteDBStore(Path.Combine(folder, "queue.db"), new LiteDBStoreOptions { IdleTime = TimeSpan.FromHours(1) }),
            static folder => new BareLiteDB(folder).Start()),
        new("sqlite", "SQLite",
            static folder => new SqliteStore(Path.Combine(folder, "queue.db")),
            static folder => new SqliteStore(Path.Combine(folder, "queue.db"), new SqliteStoreOptions { IdleTime = TimeSpan.FromHours(1) }),
            static folder => new BareSqlite(folder).Start()),
        new("rocksdb", "RocksDB",
            static folder => new RocksDBStore(Path.Combine(folder, "queue")),
            static folder => new RocksDBStore(Path.Combine(folder, "queue"), new RocksDBStoreOptions { IdleTime = TimeSpan.FromHours(1) }),
            static folder => new BareRocksDB(folder).Start()),
    ];
}
