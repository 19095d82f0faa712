namespace QueueKit.Scheduling;

/// <summary>The one place through which a broker's wake-ups and completions run: on the thread pool, counted where time is virtual.</summary>
/// <remarks>The count makes "nothing left to do" a fact: while it is zero no continuation of the broker is under way. On the system's clock nobody
/// can act on that, and two contended increments for each confirmed send would be the price.</remarks>
internal sealed class WorkScheduler(bool counts = true)
{
    private long _outstanding;

    /// <summary>How many work items are queued or running.</summary>
    /// <exception cref="InvalidOperationException">This scheduler does not count.</exception>
    public long Outstanding => counts
        ? Interlocked.Read(ref _outstanding)
        : throw new InvalidOperationException("Work is counted only under a virtual clock: open the broker with a TimeProvider other than TimeProvider.System.");

    public void Schedule(WorkItem item)
    {
        Started(1);
        item.ScheduleOn(this);
    }

    internal void Started(int count)
    {
        if (counts)
            Interlocked.Add(ref _outstanding, count);
    }

    internal void Finished()
    {
        if (counts)
            Interlocked.Decrement(ref _outstanding);
    }
}
