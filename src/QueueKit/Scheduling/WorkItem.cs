namespace QueueKit.Scheduling;

/// <summary>Something to run later, off every lock: a wake-up or a completion. It is its own work item and its own list node, so scheduling allocates nothing.</summary>
internal abstract class WorkItem : IThreadPoolWorkItem
{
    private WorkScheduler? _scheduler;

    /// <summary>The next in a <see cref="WakeList"/>; nobody else's business.</summary>
    internal WorkItem? NextToWake { get; set; }

    void IThreadPoolWorkItem.Execute()
    {
        // Run may hand the object to its next user: read the scheduler first.
        WorkScheduler scheduler = _scheduler!;
        Run();
        scheduler.Finished();
    }

    /// <summary>Does the work. What it runs of the application must not throw into it.</summary>
    protected abstract void Run();

    internal void ScheduleOn(WorkScheduler scheduler)
    {
        _scheduler = scheduler;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }
}

/// <summary>Work collected under a lock, to be scheduled once it is released.</summary>
internal struct WakeList
{
    private WorkItem? _first;
    private WorkItem? _last;
    private int _count;

    public readonly bool IsEmpty => _first is null;

    public void Add(WorkItem item)
    {
        item.NextToWake = null;
        if (_last is null)
            _first = item;
        else
            _last.NextToWake = item;
        _last = item;
        _count++;
    }

    /// <summary>Hands everything to <paramref name="scheduler"/>, in order, and is empty again.</summary>
    public void ScheduleOn(WorkScheduler scheduler)
    {
        if (_first is null)
            return;
        scheduler.Started(_count);
        for (WorkItem? item = _first; item is not null;)
        {
            WorkItem? next = item.NextToWake;
            item.NextToWake = null;
            item.ScheduleOn(scheduler);
            item = next;
        }
        this = default;
    }
}
