using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite;

/// <summary>What a store's database looks like.</summary>
/// <remarks>
/// <code>
/// records(kind, queue, band, group_id, due, sequence,  checksum, head, body)
///         |-------------- the key ----------------|
/// </code>
/// All records are in one table, in the order of their keys: what is written together lies together. The columns of the key are the parts of
/// <see cref="Stores.StoreKey"/>; a group beyond the largest number of SQLite's is a blob of its eight bytes, which sorts behind all numbers.
/// What is meant for people are the views (<see cref="StoreViews"/>).
/// </remarks>
internal static class StoreSchema
{
    /// <summary>Stands in the file's header: by it a store is told from the databases of other programs. The letters QKit.</summary>
    public const int ApplicationId = 0x514B6974;

    /// <summary>The newest format that this version reads, and the one it writes; in the header, too.</summary>
    public const int Version = 1;

    public const int PageBytes = 4096;

    public const string Key = "kind, queue, band, group_id, due, sequence";

    private const string Table = $"""
        CREATE TABLE records(
          kind INTEGER, queue INTEGER, band INTEGER, group_id, due INTEGER, sequence INTEGER,
          checksum INTEGER, head BLOB, body BLOB,
          PRIMARY KEY({Key})) WITHOUT ROWID
        """;

    /// <summary>Makes an empty database a store.</summary>
    public static void Create(Database database)
    {
        database.Execute($"PRAGMA page_size = {PageBytes}");
        database.Execute("PRAGMA journal_mode = WAL");
        database.Execute("BEGIN IMMEDIATE");
        database.Execute(Table);
        foreach (string view in StoreViews.All)
            database.Execute(view);
        database.Execute($"PRAGMA application_id = {ApplicationId}");
        database.Execute($"PRAGMA user_version = {Version}");
        database.Execute("COMMIT");
    }
}
