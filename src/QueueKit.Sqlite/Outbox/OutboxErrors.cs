using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>What is said when an outbox cannot be opened, appended to or moved: thing, cause and remedy.</summary>
internal static class OutboxErrors
{
    public static StoreException NotAFile(string path) => new(
        StoreFault.Refused, $"The outbox '{path}' is a folder. Name the application's database. Nothing was touched.", path);

    public static StoreException InMemory(string path) => new(
        StoreFault.Refused, $"The outbox '{path}' would be in memory, and gone with the process: nothing that is sent with it could be promised. Name a database file.", path);

    public static StoreException InUse(string path, string file, Exception cause) => new(
        StoreFault.InUse,
        $"The outbox in '{path}' belongs to another broker, which has '{file}' open: {cause.Message} Two brokers would each send every row. Give each application its own database or let one broker move the rows; the others find theirs at their own.", path, cause);

    public static StoreException NoAccess(string path, Exception cause) => new(
        StoreFault.Refused,
        $"The outbox in '{path}' cannot be opened: {cause.Message} Create the folder, name the application's database in it and let this process read and write both. Nothing was touched.", path, cause);

    public static StoreException ReadOnly(string path) => new(
        StoreFault.Refused, $"The database '{path}' may only be read, and an outbox in it is written: rows are appended and, once moved, deleted. Let this process write the file. Nothing was touched.", path);

    public static StoreException Locked(string path, Exception cause) => new(
        StoreFault.InUse,
        $"The outbox in '{path}' cannot be made ready: another connection has locked the database and has not let go in {OutboxFile.OpenPatience.TotalSeconds:0} s: {cause.Message} Open the broker before the application's transactions begin; once the tables are there and the database is in WAL mode, no lock is needed.", path, cause);

    public static StoreException NotWal(string path, string mode) => new(
        StoreFault.Refused,
        $"The database '{path}' has the journal mode '{mode}', which cannot be changed to 'wal': readers and writers would wait for each other. Take a file on a local disk, which nobody has open in another mode.", path);

    public static StoreException IsAStore(string path) => new(
        StoreFault.Refused, $"'{path}' is a store of QueueKit, not the application's database: nothing else may be written into it. Name the application's database for the outbox. Nothing was touched.", path);

    public static StoreException Unreadable(string path, Exception cause) => new(
        StoreFault.Unreadable, $"The outbox in '{path}' cannot be read: {cause.Message} Restore the database from a backup, or repair it with SQLite's own tools. Nothing was touched.", path, cause);

    public static StoreException OtherFormat(string path, long version) => new(
        StoreFault.Unreadable, $"The outbox in '{path}' has format {version}; this version of QueueKit.Sqlite reads format {OutboxSchema.Version}. Open it with a newer version. Nothing was touched.", path);

    public static StoreException NoIdentity(string path, string what) => new(
        StoreFault.Unreadable, $"The outbox in '{path}' does not say who it is: its table queuekit_outbox_file {what}. Empty that table to give the outbox a new identity; all its rows are sent then. Nothing was touched.", path);

    public static StoreException Copy(string path, string other) => new(
        StoreFault.Refused,
        $"The outbox in '{path}' is a copy of the one in '{other}', which this broker has open: both would count as one. Give the copy an identity of its own with DELETE FROM queuekit_outbox_file; its rows are sent then, a second time if they have been sent from the other. Nothing was moved.", path);

    public static StoreException GoneBack(string path, long last, long moved, long rows) => new(
        StoreFault.Unreadable,
        $"The outbox in '{path}' has gone back in time: rows up to {moved} have been moved, and its last row is {last}. It was restored from a backup, or power failed while its synchronous setting was not FULL. "
        + $"{rows} rows in it have numbers that have been moved, and whether they are the same rows nobody can tell. If they are, remove them with DELETE FROM queuekit_outbox WHERE id <= {moved}. If they are to be sent, maybe a second time, give the outbox a new identity with DELETE FROM queuekit_outbox_file. Then open the broker again; nothing was moved.", path);

    public static StoreException OtherLibrary(string path, string name) => new(
        StoreFault.Refused,
        $"Microsoft.Data.Sqlite uses the library '{name}' in this process, and the outbox in '{path}' is read with 'e_sqlite3'. Two SQLites on one file do not see each other's locks, which damages it. Reference the package Microsoft.Data.Sqlite, whose bundle is e_sqlite3.", path);

    public static ArgumentException Finished(string what) => new(
        $"The transaction is finished: it was committed, rolled back or disposed. {what} Begin a new one, and commit it after the last append.", "transaction");

    public static ArgumentException OtherDatabase(string path, string? other) => new(
        $"The transaction belongs to the database '{other}', and the outbox is in '{path}': they could not be committed together. Take a transaction of a connection to the outbox's database, or open an outbox in the other one, with UseSqliteOutbox.", "transaction");

    public static StoreException Replaced(string path, Exception? cause) => new(
        StoreFault.Unreadable,
        $"The database '{path}' is not the one whose outbox the broker has opened: another file has taken its place, or its tables were dropped. Nothing was appended. Close the broker and open it again; its outbox is then the one in this file.", path, cause);

    public static StoreException ReadOnlyConnection(string? path, Exception cause) => new(
        StoreFault.Refused, $"The connection to '{path}' may only read: {cause.Message} Nothing was appended. Open it without Mode=ReadOnly, and see that this process may write the file.", path, cause);

    public static QueueDeclarationException Transient(string queue) => new(
        $"Queue '{queue}' is transient: a message that has left the outbox for it would be lost with the process, and neither side would know. Declare the queue durable, or send to it directly, without an outbox.");

    /// <summary>Says in our words why SQLite cannot open the database.</summary>
    public static StoreException Explain(string path, SqliteError error) => error.Kind switch
    {
        NativeSqlite.Busy or NativeSqlite.Locked => Locked(path, error),
        NativeSqlite.NotADatabase or NativeSqlite.Corrupt => Unreadable(path, error),
        NativeSqlite.ReadOnly => ReadOnly(path),
        _ => NoAccess(path, error),
    };
}
