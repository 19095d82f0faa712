namespace QueueKit.Sqlite.Outbox;

/// <summary>Rows that are in their queues and still in the outbox, oldest first. Safe for any thread.</summary>
/// <remarks>
/// Deleting needs the database's one lock for writing, and an application that finds it taken sleeps for 150 ms in Microsoft.Data.Sqlite before it tries again.
/// So each append takes a few of these rows along in its own transaction, which has the lock anyhow; only what is left in a quiet moment is deleted by the broker.
/// </remarks>
internal sealed class MovedRows
{
    private readonly Lock _lock = new();
    private readonly Queue<long> _ids = new();

    public int Count
    {
        get
        {
            lock (_lock)
                return _ids.Count;
        }
    }

    public void Add(IEnumerable<long> ids)
    {
        lock (_lock)
        {
            foreach (long id in ids)
                _ids.Enqueue(id);
        }
    }

    /// <summary>Takes some out: whoever does not delete them gives them back.</summary>
    public long[] Take(int most)
    {
        lock (_lock)
        {
            long[] taken = new long[Math.Min(most, _ids.Count)];
            for (int i = 0; i < taken.Length; i++)
                taken[i] = _ids.Dequeue();
            return taken;
        }
    }
}
