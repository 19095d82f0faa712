using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>Books the acks that were decided without the lock, because somebody waits for their places: not on the thread of the consumer, whose next message would have to wait for that.</summary>
/// <remarks>However many acks ask for it before it runs, it is done once.</remarks>
internal sealed class AckBooking(QueueConductor queue) : WorkItem
{
    private int _isRequested;

    /// <summary>Sees to it that all acks decided before are booked. Safe for any thread.</summary>
    public void Request()
    {
        if (Volatile.Read(ref _isRequested) == 0 && Interlocked.Exchange(ref _isRequested, 1) == 0)
            queue.Broker.Scheduler.Schedule(this);
    }

    protected override void Run()
    {
        // First, and a full fence: whoever comes from now on asks again.
        Interlocked.Exchange(ref _isRequested, 0);
        queue.Step(0, static (_, _, in _, ref _) => { });
    }
}
