using System.Globalization;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite.Outbox;

namespace QueueKit.Sqlite;

/// <summary>Remembers, in the application's own transaction, which messages have been processed: so that a message that is delivered again takes effect once. Safe for any thread.</summary>
/// <remarks>
/// <see cref="TryBeginAsync(Delivery, SqliteTransaction, CancellationToken)"/> writes the message's id into the table <c>queuekit_inbox</c> of the transaction's database, which it makes where it is not there. What the handler does to the same database in the
/// same transaction and the note that it has been done are committed together, or neither is; the ack comes after the commit.
/// <para>A message is known by its queue and its <see cref="Message.MessageId"/>, which the application chooses, or the outbox. What is too old, or too much, is forgotten
/// a few at a time, in the transactions that add: nothing runs in between.</para>
/// </remarks>
public sealed class SqliteInbox
{
    // More than one for each that is added, so that what is too much gets less.
    private const int ForgottenAtOnce = 4;
    private const int ReadOnlyError = 8, GenericError = 1;
    private const string TimeFormat = "yyyy-MM-dd HH:mm:ss.fff";

    private readonly SqliteInboxOptions _options;
    private readonly PerConnection<Commands> _commands = new(static connection => new Commands(connection));

    /// <summary>Makes an inbox; it belongs to no database until it is used in one.</summary>
    /// <param name="options">Copied; null for the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    public SqliteInbox(SqliteInboxOptions? options = null)
    {
        _options = options?.Copy() ?? new SqliteInboxOptions();
        _options.Validate();
    }

    /// <summary>Notes in the transaction that the message is processed. False: it has been before, and nothing more is to be done but to acknowledge it.</summary>
    /// <param name="delivery">The message; it has a <see cref="Message.MessageId"/>.</param>
    /// <param name="transaction">Open. What it does takes effect together with the note.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <exception cref="ArgumentException">The message has no id, or the transaction is finished.</exception>
    /// <exception cref="StoreException">The database may only be read.</exception>
    /// <exception cref="SqliteException">The database refused as it would refuse any statement of the transaction: it is busy, or the disk is full.</exception>
    public ValueTask<bool> TryBeginAsync(Delivery delivery, SqliteTransaction transaction, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(delivery);
        if (delivery.Message.MessageId is not { Length: > 0 } id)
        {
            throw new ArgumentException(
                $"Message {delivery.Sequence} of queue '{delivery.QueueName}' has no MessageId, by which a redelivery could be known. Let its sender give it one; what comes through an outbox has one. The number will not do: another store begins anew with it.", nameof(delivery));
        }
        return TryBeginAsync(delivery.QueueName, id, transaction, ct);
    }

    /// <summary>Notes in the transaction that something is processed which is known by an id of its own, in a name space of its own.</summary>
    /// <inheritdoc cref="TryBeginAsync(Delivery, SqliteTransaction, CancellationToken)"/>
    /// <param name="queue">The queue, or whatever tells ids of one kind from those of another.</param>
    /// <param name="messageId">The id.</param>
    /// <param name="transaction">Open. What it does takes effect together with the note.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    public ValueTask<bool> TryBeginAsync(string queue, string messageId, SqliteTransaction transaction, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(queue);
        ArgumentException.ThrowIfNullOrEmpty(messageId);
        ArgumentNullException.ThrowIfNull(transaction);
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<bool>(ct);
        if (transaction.Connection is not { } connection)
            throw OutboxErrors.Finished("Nothing was noted.");
        try
        {
            return new ValueTask<bool>(TryBegin(_commands.For(connection), queue, messageId, transaction));
        }
        catch (SqliteException error) when (error.SqliteErrorCode == ReadOnlyError)
        {
            throw OutboxErrors.ReadOnlyConnection(connection.DataSource, error);
        }
    }

    private bool TryBegin(Commands commands, string queue, string messageId, SqliteTransaction transaction)
    {
        DateTimeOffset now = _options.TimeProvider.GetUtcNow();
        if (!commands.TryAdd(transaction, queue, messageId, Text(now), out long number))
            return false;
        commands.Forget(transaction, number - _options.MaxMessages, Text(now - _options.Retention));
        return true;
    }

    private static string Text(DateTimeOffset time) => time.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);

    // Compiled once for each connection; used by whoever uses that.
    private sealed class Commands : IDisposable
    {
        // Numbers in the order of their commits: the oldest come first, and how many there are is a difference.
        private const string Table = """
            CREATE TABLE IF NOT EXISTS main.queuekit_inbox(
              number INTEGER PRIMARY KEY AUTOINCREMENT,
              queue TEXT NOT NULL,
              message_id TEXT NOT NULL,
              processed_at TEXT NOT NULL,
              UNIQUE(queue, message_id))
            """;

        private readonly SqliteCommand _add;
        private readonly SqliteCommand _forget;

        public Commands(SqliteConnection connection)
        {
            _add = connection.CreateCommand();
            _add.CommandText = """
                INSERT INTO main.queuekit_inbox(queue, message_id, processed_at)
                SELECT $queue, $id, $now WHERE NOT EXISTS (SELECT 1 FROM main.queuekit_inbox WHERE queue = $queue AND message_id = $id) RETURNING number
                """;
            AddParameters(_add, "$queue", "$id", "$now");
            _forget = connection.CreateCommand();
            // Of the oldest few only: what is young enough behind them is not looked at.
            _forget.CommandText = $"""
                DELETE FROM main.queuekit_inbox WHERE number IN (
                  SELECT number FROM (SELECT number, processed_at FROM main.queuekit_inbox ORDER BY number LIMIT {ForgottenAtOnce}) WHERE number <= $last OR processed_at < $oldest)
                """;
            AddParameters(_forget, "$last", "$oldest");
        }

        public void Dispose()
        {
            _add.Dispose();
            _forget.Dispose();
        }

        public bool TryAdd(SqliteTransaction transaction, string queue, string messageId, string now, out long number)
        {
            _add.Parameters[0].Value = queue;
            _add.Parameters[1].Value = messageId;
            _add.Parameters[2].Value = now;
            object? added;
            try
            {
                added = Run(_add, transaction, static command => command.ExecuteScalar());
            }
            catch (SqliteException error) when (error.SqliteErrorCode == GenericError)
            {
                // No such table. Made in the transaction: a rollback takes it away again.
                using SqliteCommand create = transaction.Connection!.CreateCommand();
                create.CommandText = Table;
                Run(create, transaction, static command => command.ExecuteNonQuery());
                added = Run(_add, transaction, static command => command.ExecuteScalar());
            }
            number = added as long? ?? 0;
            return added is long;
        }

        public void Forget(SqliteTransaction transaction, long last, string oldest)
        {
            _forget.Parameters[0].Value = last;
            _forget.Parameters[1].Value = oldest;
            Run(_forget, transaction, static command => command.ExecuteNonQuery());
        }

        private static T Run<T>(SqliteCommand command, SqliteTransaction transaction, Func<SqliteCommand, T> run)
        {
            command.Transaction = transaction;
            try
            {
                return run(command);
            }
            finally
            {
                command.Transaction = null;
            }
        }

        private static void AddParameters(SqliteCommand command, params ReadOnlySpan<string> names)
        {
            foreach (string name in names)
                command.Parameters.Add(new SqliteParameter { ParameterName = name });
        }
    }
}
