namespace QueueKit.Scheduling;

/// <summary>What a <see cref="DeadlineTimer"/> calls.</summary>
internal interface IDeadlineTarget
{
    /// <summary>The timer's own note of when it will call; <see cref="long.MaxValue"/> for not at all. Initialise with that and leave it alone.</summary>
    long ArmedAt { get; set; }

    /// <summary>The time has come, or nearly: a target looks at its own deadlines and arms again for what is still ahead. Called on no lock.</summary>
    void OnDeadline(long now);
}

/// <summary>One timer for a whole broker, always set to the earliest deadline of its queues and waits.</summary>
/// <remarks>Arming is cheap where it matters: a target that is armed for an earlier time already does not even take the lock, because whoever
/// arms asks <see cref="IDeadlineTarget.ArmedAt"/> first (a stale read costs one more call of the target, nothing else).</remarks>
internal sealed class DeadlineTimer : IDisposable
{
    // System timers refuse spans above 49.7 days; waking once a day costs nothing.
    private static readonly long LongestSpan = TimeSpan.FromDays(1).Ticks;

    // Fewer entries than this are not worth sweeping.
    private const int FewEntries = 64;

    private readonly Lock _lock = new();
    // With entries that nobody waits for any more, of targets that were disarmed or armed anew: their time is not the noted one.
    private readonly PriorityQueue<IDeadlineTarget, long> _targets = new();
    private readonly BrokerClock _clock;
    private readonly ITimer _timer;
    private long _timerAt = long.MaxValue;
    private int _armed;
    private bool _isHeld;
    private bool _disposed;

    public DeadlineTimer(BrokerClock clock)
    {
        _clock = clock;
        // The timer must not carry the opener's execution context (its locals, its activity) for ever.
        bool restore = !ExecutionContext.IsFlowSuppressed();
        if (restore)
            ExecutionContext.SuppressFlow();
        _timer = clock.Provider.CreateTimer(static self => ((DeadlineTimer)self!).OnTimer(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        if (restore)
            ExecutionContext.RestoreFlow();
    }

    /// <summary>Calls <paramref name="target"/> at <paramref name="deadline"/> or, if it is armed for an earlier time, then.</summary>
    public void Arm(IDeadlineTarget target, long deadline)
    {
        lock (_lock)
        {
            if (_disposed || target.ArmedAt <= deadline)
                return;
            if (target.ArmedAt == long.MaxValue)
                _armed++;
            target.ArmedAt = deadline;
            _targets.Enqueue(target, deadline);
            Sweep();
            if (deadline < _timerAt)
                SetTimer(deadline);
        }
    }

    /// <summary>Forgets a target that has nothing to wait for any more. False if it was not armed: then it may be in a call, or about to be.</summary>
    public bool Disarm(IDeadlineTarget target)
    {
        lock (_lock)
        {
            if (_disposed || target.ArmedAt == long.MaxValue)
                return false;
            target.ArmedAt = long.MaxValue;
            _armed--;
            Sweep();
            return true;
        }
    }

    /// <summary>Calls nobody until <see cref="LetGo"/>: a broker that is being opened has not read everything yet.</summary>
    public void Hold()
    {
        lock (_lock)
            _isHeld = true;
    }

    /// <summary>Calls whoever has been armed, now or when it is due.</summary>
    public void LetGo()
    {
        lock (_lock)
        {
            _isHeld = false;
            if (_targets.TryPeek(out _, out long at))
                SetTimer(at);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            _targets.Clear();
        }
        _timer.Dispose();
    }

    private void OnTimer()
    {
        while (TryTakeDue(out IDeadlineTarget? target, out long now))
            target.OnDeadline(now);
    }

    private bool TryTakeDue([System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out IDeadlineTarget? target, out long now)
    {
        lock (_lock)
        {
            now = _clock.Now;
            _timerAt = long.MaxValue;
            while (!_disposed && _targets.TryPeek(out target, out long at))
            {
                if (at > now)
                {
                    SetTimer(at);
                    break;
                }
                _targets.Dequeue();
                // Another time than the noted one: the target was disarmed, or armed anew for an earlier call, which has been made.
                if (target.ArmedAt == at)
                {
                    target.ArmedAt = long.MaxValue;
                    _armed--;
                    return true;
                }
            }
            target = null;
            return false;
        }
    }

    // Otherwise each of many short waits with a distant limit would be held until that limit. Done when half is waste, so at a constant price per entry.
    private void Sweep()
    {
        if (_targets.Count <= FewEntries || _targets.Count <= 2 * _armed)
            return;
        (IDeadlineTarget, long)[] awaited = [.. _targets.UnorderedItems.Where(static entry => entry.Element.ArmedAt == entry.Priority).Distinct()];
        _targets.Clear();
        _targets.EnqueueRange(awaited);
    }

    private void SetTimer(long at)
    {
        if (_isHeld)
            return;
        _timerAt = at;
        long span = Math.Clamp(at - _clock.Now, 0, LongestSpan);
        // System timers cut fractions of a millisecond off: rounded up, they do not fire before the deadline. A virtual clock is exact.
        if (_clock.IsSystem)
            span = (span + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond * TimeSpan.TicksPerMillisecond;
        _timer.Change(TimeSpan.FromTicks(span), Timeout.InfiniteTimeSpan);
    }
}
