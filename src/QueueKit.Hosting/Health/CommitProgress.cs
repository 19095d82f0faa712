namespace QueueKit.Hosting.Health;

/// <summary>Finds out from snapshots that lie apart whether a queue's commits go on.</summary>
internal sealed class CommitProgress(TimeProvider time)
{
    private readonly Dictionary<string, (long Progress, long Since)> _stalled = new(StringComparer.Ordinal);

    /// <summary>For how long messages of the queue have been on their way into or out of the store, and not one has arrived.</summary>
    public TimeSpan StalledFor(QueueSnapshot queue)
    {
        if (queue.Durability == Durability.Transient || queue.Storing.Messages + queue.Leaving.Messages == 0)
        {
            _stalled.Remove(queue.Name);
            return TimeSpan.Zero;
        }
        QueueCounts counts = queue.Counts;
        // What has left the two states: both counts only grow, and stand still when no commit comes back.
        long progress = counts.Accepted - queue.Storing.Messages + counts.Acked + counts.DeadLettered + counts.Discarded + counts.Dropped + counts.Purged;
        if (_stalled.TryGetValue(queue.Name, out (long Progress, long Since) last) && last.Progress == progress)
            return time.GetElapsedTime(last.Since);
        _stalled[queue.Name] = (progress, time.GetTimestamp());
        return TimeSpan.Zero;
    }
}
