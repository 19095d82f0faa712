using System.Diagnostics;
using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;
using QueueKit.Sqlite.Outbox;
using SQLitePCL;

namespace QueueKit.Sqlite;

/// <summary>Sends messages in a transaction of the application's own SQLite database: committed, they come to their queues, each exactly once; rolled back, they leave no trace. Safe for any thread.</summary>
/// <remarks>
/// The transaction appends a row to the table <c>queuekit_outbox</c> in the application's database and nothing else happens in it; the broker moves the rows into its own store, of whatever kind, in the order of their commits,
/// and notes in the same commit how far it has come. Killed at any moment there is the row or the message, and never both to any effect. The broker only reads while the application writes, so neither waits for the other.
/// <para>Get it from the broker with <c>broker.GetSqliteOutbox()</c>, having opened that with <c>options.UseSqliteOutbox("app.db")</c>.</para>
/// </remarks>
public sealed class SqliteOutbox : IMessageSource
{
    private const string TraceParent = "traceparent", TraceState = "tracestate";

    private readonly OutboxPump _pump;
    private readonly TimeProvider _time;
    private readonly PerConnection<OutboxAppender> _appenders = new(static connection => new OutboxAppender(connection));
    // Handles outlive the connections that have them, in a pool, and stay with their file.
    private readonly ConditionalWeakTable<sqlite3, object> _ours = [];
    private volatile bool _isClosed;

    private SqliteOutbox(OutboxPump pump, TimeProvider time)
    {
        _pump = pump;
        _time = time;
    }

    /// <summary>The application's database, with its whole path.</summary>
    public string Path => _pump.File.Path;

    /// <summary>Appends a message to the outbox, in a transaction of the application's: it comes to the queue when that is committed, and only then.</summary>
    /// <remarks>A message without a <see cref="Message.MessageId"/> gets one, of the outbox's identity and the row's number. A delay counts from now on.</remarks>
    /// <param name="queue">A durable queue of the broker.</param>
    /// <param name="message">The message; copied into the database.</param>
    /// <param name="transaction">Open, of a connection to <see cref="Path"/>. Used as by any other command: from one thread at a time.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <returns>The number of the row.</returns>
    /// <exception cref="ArgumentException">The transaction is finished, or belongs to another database; or the queue belongs to another broker.</exception>
    /// <exception cref="QueueDeclarationException">The queue is transient.</exception>
    /// <exception cref="MessageTooLargeException">The message could never fit.</exception>
    /// <exception cref="StoreException">The database may only be read, or is not the one that was opened.</exception>
    /// <exception cref="SqliteException">The database refused as it would refuse any statement of the transaction: it is busy, or the disk is full.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public ValueTask<long> SendAsync(MessageQueue queue, Message message, SqliteTransaction transaction, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(queue);
        ArgumentNullException.ThrowIfNull(message);
        ArgumentNullException.ThrowIfNull(transaction);
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<long>(ct);
        ObjectDisposedException.ThrowIf(_isClosed, this);
        if (transaction.Connection is null)
            throw OutboxErrors.Finished("Nothing was appended.");
        if (queue.Options.Durability == Durability.Transient)
            throw OutboxErrors.Transient(queue.Name);
        RefuseWhatCouldNeverArrive(queue, message);
        OutboxAppender appender = AppenderOf(transaction, transaction.Connection);
        DateTimeOffset? due = message.DueTime ?? (message.Delay > TimeSpan.Zero ? _time.GetUtcNow() + message.Delay : null);
        long[] moved = _pump.TakeMoved();
        // Before it appends: from now on the broker looks until the transaction has ended.
        _pump.Appends.Note(transaction, moved);
        long row = appender.Append(transaction, queue.Name, message, due, WithTrace(message.Headers), moved);
        _pump.Signal();
        return new ValueTask<long>(row);
    }

    /// <summary>Appends a message for a queue by its name.</summary>
    /// <inheritdoc cref="SendAsync(MessageQueue, Message, SqliteTransaction, CancellationToken)"/>
    /// <exception cref="QueueNotFoundException">There is no queue of that name.</exception>
    public ValueTask<long> SendAsync(string queue, Message message, SqliteTransaction transaction, CancellationToken ct = default) =>
        SendAsync(_pump.Broker.GetQueue(queue), message, transaction, ct);

    /// <summary>Looks at the outbox now, and returns when every row that is committed is in its queue, set aside, or waits for a queue to be declared. Waits for room.</summary>
    /// <remarks>What this process sends is found without it. What other processes append is found when the broker opens, with the next send of this process, and by this.</remarks>
    /// <exception cref="StoreException">The broker's store has stopped, or the outbox cannot be read.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public async ValueTask DrainAsync(CancellationToken ct = default)
    {
        ObjectDisposedException.ThrowIf(_isClosed, this);
        await _pump.DrainAsync(ct).ConfigureAwait(false);
    }

    /// <summary>The outbox at this instant.</summary>
    public SqliteOutboxSnapshot GetSnapshot() => _pump.GetSnapshot();

    void IMessageSource.QueueDeclared(MessageQueue queue) => _pump.Signal();

    ValueTask IAsyncDisposable.DisposeAsync()
    {
        _isClosed = true;
        return _pump.DisposeAsync();
    }

    /// <inheritdoc/>
    public override string ToString() => $"outbox '{Path}'";

    internal bool IsAt(string path) => OutboxFile.Resolve(path) == Path;

    internal static async ValueTask<SqliteOutbox> OpenAsync(string path, MessageBroker broker, TimeProvider time, OutboxLog log, CancellationToken ct)
    {
        // Off the caller's thread: it reads the disk.
        OutboxFile file = await Task.Run(() => OutboxFile.Open(path), ct).ConfigureAwait(false);
        var pump = new OutboxPump(file, broker, time, log);
        try
        {
            if (broker.Sources.OfType<SqliteOutbox>().FirstOrDefault(other => other._pump.File.Id == file.Id) is { } copied)
                throw OutboxErrors.Copy(file.Path, copied.Path);
            await pump.OpenAsync(ct).ConfigureAwait(false);
            return new SqliteOutbox(pump, time);
        }
        catch (Exception error)
        {
            await pump.DisposeAsync().ConfigureAwait(false);
            if (error is Engine.SqliteError cause)
                throw OutboxErrors.Explain(file.Path, cause);
            throw;
        }
    }

    // Asks as a transaction does that sends it; and leaves it at that.
    private void RefuseWhatCouldNeverArrive(MessageQueue queue, Message message)
    {
        BrokerTransaction trial;
        try
        {
            trial = _pump.Broker.BeginTransaction();
        }
        catch (ObjectDisposedException)
        {
            // The broker closes, and a handler finishes its work: its row is found at the next opening.
            return;
        }
        trial.Send(queue, message);
    }

    private OutboxAppender AppenderOf(SqliteTransaction transaction, SqliteConnection connection)
    {
        sqlite3 handle = connection.Handle!;
        if (!_ours.TryGetValue(handle, out _))
        {
            OutboxAppender.RefuseOther(transaction, _pump.File);
            _ours.AddOrUpdate(handle, this);
        }
        return _appenders.For(connection);
    }

    // So that whoever consumes the message finds the work that has sent it, and not only the broker's.
    private static MessageHeaders WithTrace(MessageHeaders headers)
    {
        if (Activity.Current is not { IdFormat: ActivityIdFormat.W3C, Id: { } id } activity || headers.TryGetValue(TraceParent, out _) || headers.Count > MessageHeaders.MaxCount - 2)
            return headers;
        var traced = new MessageHeaders();
        foreach ((string name, HeaderValue value) in headers)
            traced[name] = value;
        try
        {
            traced[TraceParent] = id;
            if (activity.TraceStateString is { Length: > 0 } state)
                traced[TraceState] = state;
            return traced;
        }
        catch (ArgumentException)
        {
            // There is no room for it, and the message matters more.
            return headers;
        }
    }
}
