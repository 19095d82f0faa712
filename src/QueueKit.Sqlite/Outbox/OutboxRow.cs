using System.Globalization;
using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>A row of the outbox: a message or, where it cannot be one, the reason.</summary>
internal readonly record struct OutboxRow(long Id, Message? Message, string? Unreadable)
{
    /// <summary>How due times are written: in UTC, as SQLite's own functions read them.</summary>
    public const string TimeFormat = "yyyy-MM-dd HH:mm:ss.fffffff";

    /// <summary>Reads the row at which a statement stands: its id, then <see cref="OutboxSchema.Columns"/>.</summary>
    /// <param name="row">The statement.</param>
    /// <param name="file">Of which outbox: with the row's number, the id of a message that has none of its own.</param>
    public static OutboxRow Read(Statement row, Guid file)
    {
        long id = row.GetInt64(0);
        try
        {
            return new OutboxRow(id, ReadMessage(row, id, file), null);
        }
        catch (Exception error) when (error is FormatException or ArgumentException)
        {
            return new OutboxRow(id, null, error.Message);
        }
    }

    /// <summary>The id of a message that its sender gave none: the same however often the row is read.</summary>
    public static string MessageIdOf(Guid file, long row) => string.Create(CultureInfo.InvariantCulture, $"{file:N}-{row}");

    private static Message ReadMessage(Statement row, long id, Guid file)
    {
        DateTimeOffset? due = null;
        if (ReadText(row, 3, "due_at") is { } time)
        {
            due = DateTimeOffset.TryParse(time, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset parsed)
                ? parsed
                : throw new FormatException($"due_at is '{time}', and that is no time.");
        }
        return new Message(ReadBody(row, 10))
        {
            Priority = row.IsInteger(2) && row.GetInt64(2) is >= 0 and <= Message.MaxPriority and var priority
                ? (byte)priority
                : throw new FormatException($"priority is no whole number from 0 to {Message.MaxPriority}."),
            DueTime = due,
            MessageId = ReadText(row, 4, "message_id") ?? MessageIdOf(file, id),
            CorrelationId = ReadText(row, 5, "correlation_id"),
            ReplyTo = ReadText(row, 6, "reply_to"),
            ContentType = ReadText(row, 7, "content_type"),
            Type = ReadText(row, 8, "type"),
            Headers = row.IsNull(9) ? [] : row.IsText(9) ? HeaderJson.Read(row.GetUtf8(9).ToArray()) : throw new FormatException("headers is no text."),
        };
    }

    private static string? ReadText(Statement row, int column, string name) =>
        row.IsNull(column) ? null : row.IsText(column) ? row.GetText(column) : throw new FormatException($"{name} is no text.");

    private static byte[] ReadBody(Statement row, int column) =>
        row.IsBlob(column) ? row.GetBlob(column).ToArray() : row.IsText(column) ? row.GetUtf8(column).ToArray() : throw new FormatException("body is neither bytes nor a text.");
}
