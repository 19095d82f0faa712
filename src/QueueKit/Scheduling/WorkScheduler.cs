namespace QueueKit.Scheduling;

/// <summary>The one place through which a broker's wake-ups and completions run: on the thread pool, counted.</summary>
/// <remarks>The count makes "nothing left to do" a fact: while it is zero no continuation of the broker is under way.</remarks>
internal sealed class WorkScheduler
{
    private readonly PaddedLong[] _finished = new PaddedLong[Stripe.Count];
    private long _started;

    /// <summary>How many work items are queued or running.</summary>
    /// <remarks>Both counts only grow, and what has finished is read first: zero means that at the second reading nothing was outstanding.</remarks>
    public long Outstanding
    {
        get
        {
            long finished = 0;
            foreach (ref PaddedLong part in _finished.AsSpan())
                finished += Volatile.Read(ref part.Value);
            return Interlocked.Read(ref _started) - finished;
        }
    }

    public void Schedule(WorkItem item)
    {
        Started(1);
        item.ScheduleOn(this);
    }

    internal void Started(int count) => Interlocked.Add(ref _started, count);

    internal void Finished() => Interlocked.Increment(ref _finished[Stripe.OfThread].Value);
}
