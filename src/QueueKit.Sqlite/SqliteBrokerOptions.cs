using QueueKit.Sqlite;
using QueueKit.Sqlite.Outbox;

namespace QueueKit;

/// <summary>Gives a broker a SQLite database as its store, and the application's SQLite database as an outbox.</summary>
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

    /// <summary>Opens an outbox in the application's SQLite database with the broker: what is sent in the application's own transactions comes to the queues, each message exactly once. Needs a store, of any kind.</summary>
    /// <remarks>
    /// The tables <c>queuekit_outbox</c>, <c>queuekit_outbox_dead</c> and <c>queuekit_outbox_file</c> are made where they are not there, and the database is put into WAL mode, in which readers and writers do not wait for each other.
    /// Beside it lies an empty file <c>app.db-outbox</c>, the lock: an outbox has one broker at a time. Several outboxes may go to one broker: call this for each.
    /// </remarks>
    /// <param name="options">The broker's options.</param>
    /// <param name="path">The application's database; it is created when it is not there, its folder is not.</param>
    /// <returns>The same options.</returns>
    /// <exception cref="ArgumentException">The path is empty.</exception>
    public static MessageBrokerOptions UseSqliteOutbox(this MessageBrokerOptions options, string path)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentException.ThrowIfNullOrWhiteSpace(path);
        options.Sources.Add(new OutboxProvider(path, () => options.TimeProvider, () => options.LoggerFactory));
        return options;
    }

    /// <summary>The outbox with which the broker was opened.</summary>
    /// <param name="broker">The broker.</param>
    /// <param name="path">Which one, as it was given to <see cref="UseSqliteOutbox"/>; may be left out where there is only one.</param>
    /// <exception cref="InvalidOperationException">There is none, or none of that path, or several to choose from; the message names them.</exception>
    public static SqliteOutbox GetSqliteOutbox(this MessageBroker broker, string? path = null)
    {
        ArgumentNullException.ThrowIfNull(broker);
        SqliteOutbox[] all = [.. broker.Sources.OfType<SqliteOutbox>()];
        SqliteOutbox[] found = path is null ? all : [.. all.Where(outbox => outbox.IsAt(path))];
        return found switch
        {
            [var only] => only,
            [] when all.Length == 0 => throw new InvalidOperationException("The broker has no outbox. Open it with options.UseSqliteOutbox(\"app.db\")."),
            [] => throw new InvalidOperationException($"The broker has no outbox '{path}', only {string.Join(", ", all.AsEnumerable())}. Name one of them, or add it with UseSqliteOutbox."),
            _ => throw new InvalidOperationException($"The broker has several outboxes: {string.Join(", ", all.AsEnumerable())}. Say which one by its path."),
        };
    }
}
