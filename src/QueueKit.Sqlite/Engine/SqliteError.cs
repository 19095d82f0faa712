namespace QueueKit.Sqlite.Engine;

/// <summary>SQLite said no.</summary>
internal sealed class SqliteError(int code, string message) : Exception($"{message} (SQLite error {code & 0xFF}, {code}).")
{
    /// <summary>What kind of trouble: the primary result code.</summary>
    public int Kind => code & 0xFF;

    /// <summary>The extended result code.</summary>
    public int Code => code;
}
