using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>The tables of an outbox, in the application's own database: part of the public format, any tool may append rows.</summary>
internal static class OutboxSchema
{
    public const int Version = 1;

    /// <summary>What a row says of its message. The body comes last: whatever looks for the rest does not read it.</summary>
    public const string Columns = "queue, priority, due_at, message_id, correlation_id, reply_to, content_type, type, headers, body";

    // AUTOINCREMENT: no number comes twice, so that what has been moved is everything up to a number. With SQLite's single writer the order of numbers is the order of commits.
    private static readonly string[] s_tables =
    [
        """
        CREATE TABLE IF NOT EXISTS queuekit_outbox(
          id INTEGER PRIMARY KEY AUTOINCREMENT,
          queue TEXT NOT NULL,
          priority INTEGER NOT NULL DEFAULT 0,
          due_at TEXT,
          message_id TEXT,
          correlation_id TEXT,
          reply_to TEXT,
          content_type TEXT,
          type TEXT,
          headers TEXT,
          sent_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
          body BLOB NOT NULL)
        """,

        // What cannot be a message, as it was, and why.
        """
        CREATE TABLE IF NOT EXISTS queuekit_outbox_dead(
          id INTEGER NOT NULL,
          reason TEXT NOT NULL,
          set_aside_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now')),
          queue, priority, due_at, message_id, correlation_id, reply_to, content_type, type, headers, sent_at, body)
        """,

        // Whose watermarks the broker's store keeps: this file's.
        "CREATE TABLE IF NOT EXISTS queuekit_outbox_file(version INTEGER NOT NULL, id TEXT NOT NULL)",

        // The numbers of each queue's rows say which of them are moved: a row that came to another queue with an old number would count as moved there.
        """
        CREATE TRIGGER IF NOT EXISTS queuekit_outbox_stays BEFORE UPDATE OF id, queue ON queuekit_outbox
        BEGIN SELECT RAISE(ABORT, 'A row of queuekit_outbox keeps its id and its queue: insert it anew without an id, and delete this one.'); END
        """,
    ];

    /// <summary>Whether everything is there, which is found out without a lock.</summary>
    public static bool IsComplete(Database database) =>
        database.QueryNumber("SELECT count(*) FROM sqlite_master WHERE name IN ('queuekit_outbox', 'queuekit_outbox_dead', 'queuekit_outbox_file', 'queuekit_outbox_stays')") == s_tables.Length
        && database.QueryNumber("SELECT count(*) FROM queuekit_outbox_file") == 1;

    /// <summary>Adds what is not there yet.</summary>
    public static void Complete(Database database)
    {
        database.Execute("BEGIN IMMEDIATE");
        foreach (string table in s_tables)
            database.Execute(table);
        database.Execute($"INSERT INTO queuekit_outbox_file(version, id) SELECT {Version}, '{Guid.NewGuid()}' WHERE NOT EXISTS (SELECT 1 FROM queuekit_outbox_file)");
        database.Execute("COMMIT");
    }
}
