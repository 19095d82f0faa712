namespace QueueKit.Sqlite;

/// <summary>How long the log is, and how much of it is copied into the database. Used under the store's lock.</summary>
/// <remarks>The log is begun anew by the first commit that finds all of it copied and nobody reading it; SQLite tells only how many pages it has after each commit.</remarks>
internal sealed class LogCopy(long limit)
{
    private long _copied;
    private long _overdueAt = 2 * limit;

    /// <summary>How many pages of the log are in use.</summary>
    public long Pages { get; private set; }

    /// <summary>Whether the log has reached its limit, beyond what is copied.</summary>
    public bool IsLong => Pages - _copied >= limit;

    /// <summary>Whether it has reached twice its limit.</summary>
    public bool IsOverdue => Pages - _copied >= _overdueAt;

    /// <summary>Whether something is not copied.</summary>
    public bool HasMore => Pages > _copied;

    /// <summary>After a commit. Returns whether the log is to be copied now.</summary>
    public bool Committed(long pages)
    {
        if (pages < Pages || _copied > pages)
        {
            _copied = 0;
            _overdueAt = 2 * limit;
        }
        Pages = pages;
        return IsLong;
    }

    /// <summary>After a checkpoint.</summary>
    public void Copied(int logged, int copied)
    {
        _copied = Math.Max(_copied, copied);
        // A reader keeps the rest from being copied: it is tried again when as much again has come.
        _overdueAt = copied < logged ? Pages - _copied + limit : 2 * limit;
    }
}
