namespace QueueKit.Scheduling;

/// <summary>The one place through which a broker's wake-ups and completions run: on the thread pool, counted.</summary>
/// <remarks>
/// The count makes "nothing left to do" a fact: while it is zero no continuation of the broker is under way. <see cref="Completion{T}"/> and <see cref="CountedAwait"/> see to that.
/// Not in the count: what an application does on its own threads, be it in the midst of a handler, and its awaits of the rare methods that return an async method's task
/// (declare, delete, purge, commit, stop, close) if they come just after the end; the commit thread of a store that blocks.
/// </remarks>
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
