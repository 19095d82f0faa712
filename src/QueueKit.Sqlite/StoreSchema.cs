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
/// What is meant for people are the views.
/// </remarks>
internal static class StoreSchema
{
    /// <summary>Stands in the file's header: by it a store is told from the databases of other programs. The letters QKit.</summary>
    public const int ApplicationId = 0x514B6974;

    /// <summary>The newest format that this version reads, and the one it writes; in the header, too.</summary>
    public const int Version = 1;

    public const int PageBytes = 4096;

    public const string Key = "kind, queue, band, group_id, due, sequence";

    // Times in a store are .NET ticks, of 100 ns, since the year 1.
    private const string Epoch = "621355968000000000";

    private static readonly string[] s_statements =
    [
        $"""
        CREATE TABLE records(
          kind INTEGER, queue INTEGER, band INTEGER, group_id, due INTEGER, sequence INTEGER,
          checksum INTEGER, head BLOB, body BLOB,
          PRIMARY KEY({Key})) WITHOUT ROWID
        """,
        """
        CREATE VIEW queues(id, name, options) AS
          SELECT queue, json_extract(CAST(head AS TEXT), '$.Name'), CAST(head AS TEXT)
          FROM records WHERE kind = 2
        """,
        $"""
        CREATE VIEW messages(queue, sequence, priority, enqueued_at, due_at, message_id, body, bytes, head, queue_id, group_id) AS
          SELECT (SELECT name FROM queues WHERE id = queue), sequence, {Message.MaxPriority} - band, {TimeOf($"({EnqueuedTicks})")},
                 CASE kind WHEN 5 THEN {TimeOf("due")} END,
                 CASE WHEN substr(flags, 2, 1) IN ('1', '3', '5', '7', '9', 'B', 'D', 'F') AND {Digit("flags", 19)} < 8
                      THEN CAST(substr(head, 12, 16 * {Digit("flags", 19)} + {Digit("flags", 20)}) AS TEXT) END,
                 body, length(body), head, queue, group_id
          FROM (SELECT *, hex(substr(head, 2, 10)) AS flags FROM records WHERE kind IN (5, 128))
        """,
    ];

    // Of the head of a message: the byte 1 are its flags, the bytes 2 to 9 the time of its admission, little-endian. SQL has no function for that, but one for hexadecimal digits.
    private static string EnqueuedTicks => string.Join(" + ", Enumerable.Range(0, 16).Select(static digit => $"({Digit("flags", 3 + (digit ^ 1))} << {4 * digit})"));

    private static string Digit(string digits, int number) => $"(instr('0123456789ABCDEF', substr({digits}, {number}, 1)) - 1)";

    private static string TimeOf(string ticks) => $"strftime('%Y-%m-%d %H:%M:%f', ({ticks} - {Epoch}) / 1e7, 'unixepoch')";

    /// <summary>Makes an empty database a store.</summary>
    public static void Create(Database database)
    {
        database.Execute($"PRAGMA page_size = {PageBytes}");
        database.Execute("PRAGMA journal_mode = WAL");
        database.Execute("BEGIN IMMEDIATE");
        foreach (string statement in s_statements)
            database.Execute(statement);
        database.Execute($"PRAGMA application_id = {ApplicationId}");
        database.Execute($"PRAGMA user_version = {Version}");
        database.Execute("COMMIT");
    }
}
