using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;

namespace QueueKit.Sqlite.Outbox;

/// <summary>Appends rows through one connection of the application's, with statements that are compiled once. Used by whoever uses the connection.</summary>
internal sealed class OutboxAppender : IDisposable
{
    /// <summary>How many moved rows an append takes along: more than one, so that the outbox gets shorter, and few, so that no append is long.</summary>
    public const int MovedPerAppend = 4;

    private const int ReadOnlyError = 8, GenericError = 1;

    private static readonly string[] s_moved = [.. Enumerable.Range(0, MovedPerAppend).Select(static index => $"$moved{index}")];

    private readonly SqliteCommand _append;
    private readonly SqliteCommand _delete;

    public OutboxAppender(SqliteConnection connection)
    {
        _append = connection.CreateCommand();
        _append.CommandText = """
            INSERT INTO main.queuekit_outbox(queue, priority, due_at, message_id, correlation_id, reply_to, content_type, type, headers, body)
            VALUES ($queue, $priority, $due_at, $message_id, $correlation_id, $reply_to, $content_type, $type, $headers, $body) RETURNING id
            """;
        foreach (string name in (ReadOnlySpan<string>)["$queue", "$priority", "$due_at", "$message_id", "$correlation_id", "$reply_to", "$content_type", "$type", "$headers", "$body"])
            _append.Parameters.Add(new SqliteParameter { ParameterName = name });
        _delete = connection.CreateCommand();
        _delete.CommandText = $"DELETE FROM main.queuekit_outbox WHERE id IN ({string.Join(", ", s_moved)})";
        foreach (string name in s_moved)
            _delete.Parameters.Add(new SqliteParameter { ParameterName = name });
    }

    public void Dispose()
    {
        _append.Dispose();
        _delete.Dispose();
    }

    /// <summary>Appends a message, and deletes rows that are moved.</summary>
    /// <returns>The row's number.</returns>
    public long Append(SqliteTransaction transaction, string queue, Message message, DateTimeOffset? due, MessageHeaders headers, long[] moved)
    {
        try
        {
            if (moved.Length > 0)
                Delete(transaction, moved);
            SqliteParameterCollection row = _append.Parameters;
            row[0].Value = queue;
            row[1].Value = (long)message.Priority;
            row[2].Value = OrNull(due?.UtcDateTime.ToString(OutboxRow.TimeFormat, CultureInfo.InvariantCulture));
            row[3].Value = OrNull(message.MessageId);
            row[4].Value = OrNull(message.CorrelationId);
            row[5].Value = OrNull(message.ReplyTo);
            row[6].Value = OrNull(message.ContentType);
            row[7].Value = OrNull(message.Type);
            row[8].Value = OrNull(HeaderJson.Write(headers));
            row[9].Value = BytesOf(message.Body);
            _append.Transaction = transaction;
            return (long)_append.ExecuteScalar()!;
        }
        catch (SqliteException error) when (error.SqliteErrorCode == ReadOnlyError)
        {
            throw OutboxErrors.ReadOnlyConnection(transaction.Connection?.DataSource, error);
        }
        finally
        {
            _append.Transaction = null;
            // Nothing of the message is kept.
            _append.Parameters[9].Value = null;
        }
    }

    /// <summary>Refuses a transaction of another database.</summary>
    /// <remarks>By the file's name, as SQLite has found it, and by the identity in it: a copy has the same identity, and a file that took the place of another the same name.</remarks>
    public static void RefuseOther(SqliteTransaction transaction, OutboxFile file)
    {
        SqliteConnection connection = transaction.Connection!;
        using SqliteCommand command = connection.CreateCommand();
        command.Transaction = transaction;
        command.CommandText = "SELECT file FROM pragma_database_list WHERE name = 'main'";
        string? name = command.ExecuteScalar() as string;
        if (!string.Equals(name, file.NameInSqlite, OperatingSystem.IsWindows() ? StringComparison.OrdinalIgnoreCase : StringComparison.Ordinal))
            throw OutboxErrors.OtherDatabase(file.Path, string.IsNullOrEmpty(name) ? ":memory:" : name);
        command.CommandText = "SELECT id FROM main.queuekit_outbox_file";
        try
        {
            if (Guid.TryParse(command.ExecuteScalar() as string, out Guid id) && id == file.Id)
                return;
        }
        catch (SqliteException error) when (error.SqliteErrorCode == GenericError)
        {
            // There is no such table.
            throw OutboxErrors.Replaced(file.Path, error);
        }
        throw OutboxErrors.Replaced(file.Path, null);
    }

    private void Delete(SqliteTransaction transaction, long[] moved)
    {
        for (int i = 0; i < MovedPerAppend; i++)
            _delete.Parameters[i].Value = i < moved.Length ? moved[i] : DBNull.Value;
        _delete.Transaction = transaction;
        _delete.ExecuteNonQuery();
        _delete.Transaction = null;
    }

    private static object OrNull(string? text) => (object?)text ?? DBNull.Value;

    private static byte[] BytesOf(ReadOnlyMemory<byte> body) =>
        MemoryMarshal.TryGetArray(body, out ArraySegment<byte> array) && array is { Offset: 0 } && array.Array!.Length == array.Count ? array.Array : body.ToArray();
}
