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

    /// <summary>Schedules another item where this one was scheduled.</summary>
    internal void ScheduleAfter(WorkItem item) => _scheduler!.Schedule(item);

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

    /// <summary>Adds all of <paramref name="other"/>, which is empty then.</summary>
    public void AddAll(ref WakeList other)
    {
        if (other._first is null)
            return;
        if (_last is null)
            _first = other._first;
        else
            _last.NextToWake = other._first;
        _last = other._last;
        _count += other._count;
        other = default;
    }

    /// <summary>Hands everything to <paramref name="scheduler"/>, in order, and is empty again.</summary>
    /// <param name="scheduler">Where to.</param>
    /// <param name="between">Something to run when half of the list has had its turn.</param>
    public void ScheduleOn(WorkScheduler scheduler, WorkItem? between = null)
    {
        // Taken first: what runs in between may fill the list anew.
        WakeList list = this;
        this = default;
        int total = list._count + (between is null ? 0 : 1);
        if (total == 0)
            return;
        scheduler.Started(total);
        int half = list._count / 2;
        WorkItem? item = list._first;
        for (int i = 0; i <= list._count; i++)
        {
            if (i == half)
                between?.ScheduleOn(scheduler);
            if (item is null)
                break;
            WorkItem? next = item.NextToWake;
            item.NextToWake = null;
            item.ScheduleOn(scheduler);
            item = next;
        }
    }
}
