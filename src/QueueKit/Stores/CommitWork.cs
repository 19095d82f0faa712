using QueueKit.Scheduling;

namespace QueueKit.Stores;

/// <summary>Something that takes effect with a commit: the unit of atomicity in a <see cref="CommitPipeline"/>.</summary>
/// <remarks>
/// The pipeline calls, on its own thread and in the order of arrival: <see cref="WriteTo"/>, and then exactly one of
/// <see cref="Target"/>'s <see cref="ICommitTarget.Committed"/>, <see cref="Refused"/> and <see cref="Failed"/>.
/// After a refusal of a whole batch <see cref="WriteTo"/> is called again, for smaller ones.
/// </remarks>
internal abstract class CommitWork : WorkItem
{
    /// <summary>The next in the intake or in a <see cref="CommitList"/>.</summary>
    internal CommitWork? NextInPipeline { get; set; }

    /// <summary>How safe the work wants its commit.</summary>
    public FlushLevel Level { get; protected set; }

    /// <summary>Who applies it; neighbours of the same target are applied together.</summary>
    public abstract ICommitTarget Target { get; }

    /// <summary>Whether it makes the store smaller, so that it is taken by a store that has no room for more.</summary>
    public virtual bool OnlyDeletes => false;

    /// <summary>Adds the work's operations. <paramref name="sequence"/> is the last number given out; the work takes its own from there.</summary>
    public abstract void WriteTo(StoreBatch batch, ref long sequence);

    /// <summary>Nothing was written, and the store goes on: put everything back in its place.</summary>
    public abstract void Refused(StoreException reason);

    /// <summary>It is unknown whether it was written, or it was not tried because the store had stopped: see <see cref="StoreException.OutcomeUnknown"/>.</summary>
    public abstract void Failed(StoreException reason);
}

/// <summary>Applies works of its own that are committed.</summary>
internal interface ICommitTarget
{
    /// <summary>All of <paramref name="run"/> is committed; they are neighbours in the batch, in its order.</summary>
    /// <param name="run">The works.</param>
    /// <param name="wakes">Takes whoever waits for them: woken when the whole batch is applied.</param>
    void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes);
}

/// <summary>Works collected under a lock, for the pipeline.</summary>
internal struct CommitList
{
    private CommitWork? _first;
    private CommitWork? _last;

    public readonly bool IsEmpty => _first is null;

    public void Add(CommitWork work)
    {
        work.NextInPipeline = null;
        if (_last is null)
            _first = work;
        else
            _last.NextInPipeline = work;
        _last = work;
    }

    /// <summary>Hands everything to <paramref name="pipeline"/>, in order, and is empty again.</summary>
    public void EnqueueTo(CommitPipeline pipeline)
    {
        for (CommitWork? work = _first; work is not null;)
        {
            CommitWork? next = work.NextInPipeline;
            pipeline.Enqueue(work);
            work = next;
        }
        this = default;
    }
}
