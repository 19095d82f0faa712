namespace DurableStores;

/// <summary>Where the queue lies.</summary>
internal enum StoreKind
{
    LiteDB,
    RocksDB,
    Sqlite,
}
