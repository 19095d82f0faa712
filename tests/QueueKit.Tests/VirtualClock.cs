namespace QueueKit.Tests;

/// <summary>A clock that stands still until it is told to go: monotonic time, wall clock and timers of a test.</summary>
/// <remarks>
/// Timers fire on the thread that advances the clock, one after the other, each at its own due time. One that is due at once fires with
/// the next <see cref="Advance"/>, be it by zero. The monotonic clock starts at zero, which is as good a time as any.
/// </remarks>
internal sealed class VirtualClock : TimeProvider
{
    private readonly Lock _gate = new();
    private readonly SortedSet<VirtualTimer> _armed = new(Comparer<VirtualTimer>.Create(static (a, b) =>
        a.DueAt != b.DueAt ? a.DueAt.CompareTo(b.DueAt) : a.Number.CompareTo(b.Number)));

    private DateTimeOffset _wall = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);
    private long _now;
    private long _timers;

    public override long TimestampFrequency => TimeSpan.TicksPerSecond;

    public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

    /// <summary>How long the clock has gone.</summary>
    public TimeSpan Elapsed => TimeSpan.FromTicks(GetTimestamp());

    /// <summary>How many timers are waiting to fire.</summary>
    public int ArmedTimers
    {
        get
        {
            lock (_gate)
                return _armed.Count;
        }
    }

    public override long GetTimestamp()
    {
        lock (_gate)
            return _now;
    }

    public override DateTimeOffset GetUtcNow()
    {
        lock (_gate)
            return _wall;
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        ArgumentNullException.ThrowIfNull(callback);
        var timer = new VirtualTimer(this, callback, state, Interlocked.Increment(ref _timers));
        timer.Change(dueTime, period);
        return timer;
    }

    /// <summary>Lets the time go by: to each timer that comes due, in order, and then to the end.</summary>
    public void Advance(TimeSpan by)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(by, TimeSpan.Zero);
        long end = GetTimestamp() + by.Ticks;
        while (TryTakeDue(end, out VirtualTimer? timer))
            timer.Fire();
        lock (_gate)
            MoveTo(end);
    }

    /// <summary>Sets the wall clock forward or back, as a user or a time server does; the monotonic clock does not notice, and no timer fires.</summary>
    public void JumpWallClock(TimeSpan by)
    {
        lock (_gate)
            _wall += by;
    }

    private bool TryTakeDue(long end, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out VirtualTimer? timer)
    {
        lock (_gate)
        {
            timer = _armed.Min;
            if (timer is null || timer.DueAt > end)
            {
                timer = null;
                return false;
            }
            MoveTo(timer.DueAt);
            _armed.Remove(timer);
            if (timer.Period > 0)
            {
                timer.DueAt += timer.Period;
                _armed.Add(timer);
            }
            return true;
        }
    }

    private void MoveTo(long time)
    {
        // A timer armed while another one fired may be due at a time that has passed.
        long by = Math.Max(0, time - _now);
        _now += by;
        _wall += TimeSpan.FromTicks(by);
    }

    private sealed class VirtualTimer(VirtualClock clock, TimerCallback callback, object? state, long number) : ITimer
    {
        private bool _isDisposed;

        public long Number => number;

        // Guarded by the clock's gate; never changed while the timer is in the set.
        public long DueAt { get; set; }

        public long Period { get; private set; }

        public void Fire() => callback(state);

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            lock (clock._gate)
            {
                clock._armed.Remove(this);
                if (_isDisposed)
                    return false;
                Period = Math.Max(0, period.Ticks);
                if (dueTime < TimeSpan.Zero)
                    return true;
                DueAt = clock._now + dueTime.Ticks;
                clock._armed.Add(this);
                return true;
            }
        }

        public void Dispose()
        {
            lock (clock._gate)
            {
                _isDisposed = true;
                clock._armed.Remove(this);
            }
        }

        public ValueTask DisposeAsync()
        {
            Dispose();
            return default;
        }
    }
}
