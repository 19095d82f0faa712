namespace QueueKit.Scheduling;

/// <summary>The one place through which a broker's wake-ups and completions run: on the thread pool, counted.</summary>
/// <remarks>The count makes "nothing left to do" a fact: while it is zero no continuation of the broker is under way.</remarks>
internal sealed class WorkScheduler
{
    private long _outstanding;

    /// <summary>How many work items are queued or running.</summary>
    public long Outstanding => Interlocked.Read(ref _outstanding);

    public void Schedule(WorkItem item)
    {
        Started(1);
        item.ScheduleOn(this);
    }

    internal void Started(int count) => Interlocked.Add(ref _outstanding, count);

    internal void Finished() => Interlocked.Decrement(ref _outstanding);
}
