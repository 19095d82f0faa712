namespace QueueKit.Stores;

/// <summary>The troubles that a test has ordered for the next commits of an <see cref="InMemoryMessageStore"/>.</summary>
internal sealed class CommitFaults
{
    private readonly object _stallGate = new();
    private CommitStall? _stall;
    private volatile Refusal? _refusal;
    private volatile Failure? _failure;

    /// <summary>How a commit is to fail.</summary>
    public sealed record Failure(bool Written);

    private sealed class Refusal(int count, Predicate<StoreBatch>? when)
    {
        public int Remaining { get; set; } = count;

        public bool AppliesTo(StoreBatch batch) => when is null || when(batch);
    }

    public bool IsStalling => Volatile.Read(ref _stall) is not null;

    public void Refuse(int count, Predicate<StoreBatch>? when)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(count);
        _refusal = count == 0 ? null : new Refusal(count, when);
    }

    public void FailNext(bool written) => _failure = new Failure(written);

    public CommitStall Stall()
    {
        var stall = new CommitStall(this);
        lock (_stallGate)
            _stall = stall;
        return stall;
    }

    /// <summary>Whether this commit is to be refused.</summary>
    public bool TakeRefusal(StoreBatch batch)
    {
        if (_refusal is not { } refusal || !refusal.AppliesTo(batch))
            return false;
        if (--refusal.Remaining == 0)
            _refusal = null;
        return true;
    }

    /// <summary>How this commit is to fail; null if it is not.</summary>
    public Failure? TakeFailure()
    {
        Failure? failure = _failure;
        if (failure is not null)
            _failure = null;
        return failure;
    }

    /// <summary>Waits until the stall that was armed on arrival is released, or the session has crashed.</summary>
    public void WaitWhileStalled(InMemoryMessageStore.Session session)
    {
        if (!IsStalling)
            return;
        lock (_stallGate)
        {
            if (_stall is not { } stall)
                return;
            stall.Enter();
            while (!stall.IsReleased && !session.IsStopped)
                Monitor.Wait(_stallGate);
        }
    }

    public void Release(CommitStall stall)
    {
        lock (_stallGate)
        {
            stall.IsReleased = true;
            if (_stall == stall)
                _stall = null;
            Monitor.PulseAll(_stallGate);
        }
    }

    /// <summary>Lets commits of a crashed session see that it is gone.</summary>
    public void LetGo()
    {
        lock (_stallGate)
            Monitor.PulseAll(_stallGate);
    }
}

/// <summary>Holds up commits until it is released.</summary>
internal sealed class CommitStall(CommitFaults faults) : IDisposable
{
    private readonly TaskCompletionSource _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when a commit has arrived and waits.</summary>
    public Task Entered => _entered.Task;

    /// <summary>Guarded by the lock of <see cref="CommitFaults"/>.</summary>
    internal bool IsReleased { get; set; }

    /// <summary>Lets the waiting commit and all later ones go on.</summary>
    public void Release() => faults.Release(this);

    /// <summary>As <see cref="Release"/>.</summary>
    public void Dispose() => Release();

    internal void Enter() => _entered.TrySetResult();
}
