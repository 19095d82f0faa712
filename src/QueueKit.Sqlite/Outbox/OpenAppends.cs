using Microsoft.Data.Sqlite;

namespace QueueKit.Sqlite.Outbox;

/// <summary>Which transactions of this process have appended rows and have not ended yet. Until they have, the outbox is looked at; when none is left, nobody looks any more. Safe for any thread.</summary>
/// <remarks>
/// Nothing tells when a transaction's rows can be seen: SQLite's commit hook runs before that, and the hook is the application's. But a finished transaction has no connection any more.
/// It is not kept alive: one that the application forgets is rolled back by the collector, as it is without an outbox.
/// </remarks>
internal sealed class OpenAppends(TimeProvider time)
{
    // A look comes after an eighth of the time that the youngest transaction has been open: what it costs a message is in proportion to its transaction.
    private const int LooksPerAge = 8;
    private static readonly TimeSpan s_soonest = TimeSpan.FromMilliseconds(1), s_latest = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly List<Append> _open = [];

    /// <summary>Notes a transaction that is about to append, and rows that it deletes: whether they are gone is found out when it has ended.</summary>
    public void Note(SqliteTransaction transaction, long[] deleted)
    {
        lock (_lock)
        {
            Append? append = _open.Find(append => append.Transaction.TryGetTarget(out SqliteTransaction? known) && ReferenceEquals(known, transaction));
            if (append is null)
                _open.Add(append = new Append(new WeakReference<SqliteTransaction>(transaction), time.GetTimestamp()));
            append.Deleted.AddRange(deleted);
        }
    }

    /// <summary>Forgets the transactions that have ended. What they have committed can be seen from now on.</summary>
    /// <returns>The rows that they deleted, if they were committed.</returns>
    public List<long> TakeEnded()
    {
        lock (_lock)
        {
            var deleted = new List<long>();
            _open.RemoveAll(append =>
            {
                if (append.Transaction.TryGetTarget(out SqliteTransaction? transaction) && transaction.Connection is not null)
                    return false;
                deleted.AddRange(append.Deleted);
                return true;
            });
            return deleted;
        }
    }

    /// <summary>When to look again; null if no transaction is open.</summary>
    public TimeSpan? NextLook
    {
        get
        {
            lock (_lock)
            {
                if (_open.Count == 0)
                    return null;
                TimeSpan age = time.GetElapsedTime(_open[^1].Since);
                return TimeSpan.FromTicks(Math.Clamp(age.Ticks / LooksPerAge, s_soonest.Ticks, s_latest.Ticks));
            }
        }
    }

    private sealed record Append(WeakReference<SqliteTransaction> Transaction, long Since)
    {
        public List<long> Deleted { get; } = [];
    }
}
