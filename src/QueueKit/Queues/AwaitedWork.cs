using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>A rare piece of commit work that somebody awaits: declaring, deleting, purging, or just "everything before is committed".</summary>
internal sealed class AwaitedWork(FlushLevel level, Action<StoreBatch>? write, Action? committed = null, Action<StoreException>? notCommitted = null) : CommitWork, ICommitTarget
{
    // Completed in a work item of its own, so that continuations run there and are counted.
    private readonly TaskCompletionSource _done = new();
    private StoreException? _error;
    private BrokerContext? _broker;

    public override ICommitTarget Target => this;

    public Task EnqueueTo(BrokerContext broker)
    {
        Level = level;
        _broker = broker;
        broker.Pipeline!.Enqueue(this);
        return _done.Task;
    }

    public override void WriteTo(StoreBatch batch, ref long sequence) => write?.Invoke(batch);

    public void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes)
    {
        foreach (CommitWork work in run)
            ((AwaitedWork)work).Finish(null);
    }

    public override void Refused(StoreException reason) => Finish(reason);

    public override void Failed(StoreException reason) => Finish(reason);

    protected override void Run()
    {
        if (_error is null)
            _done.SetResult();
        else
            _done.SetException(_broker!.Tell(_error));
    }

    private void Finish(StoreException? error)
    {
        _error = error;
        if (error is null)
            committed?.Invoke();
        else
            notCommitted?.Invoke(error);
        _broker!.Scheduler.Schedule(this);
    }
}
