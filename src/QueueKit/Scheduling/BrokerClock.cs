namespace QueueKit.Scheduling;

/// <summary>A broker's time: a monotonic clock for leases and ages, the wall clock for due times, both from one <see cref="TimeProvider"/>.</summary>
internal sealed class BrokerClock(TimeProvider provider)
{
    // How long a pair of clock readings serves to turn monotonic times into wall times: after a jump of the wall clock they disagree for at most this long.
    private const long AnchorLifetime = TimeSpan.TicksPerSecond;

    private readonly bool _isSystem = ReferenceEquals(provider, TimeProvider.System);
    private Anchor? _anchor;

    /// <summary>Where timers come from.</summary>
    public TimeProvider Provider => provider;

    /// <summary>Whether timers are the system's, which cut fractions of a millisecond off.</summary>
    public bool IsSystem => _isSystem;

    /// <summary>The monotonic time, in ticks of 100 ns.</summary>
    /// <remarks>
    /// Read in every lock hold, so its price is part of every message: 9 ns by the kernel's coarse clock against 33 ns for
    /// <see cref="TimeProvider.GetTimestamp"/> of the system's provider. Both are the same monotonic clock, the coarse one
    /// up to 4 ms behind. Any other provider is asked itself.
    /// </remarks>
#pragma warning disable RS0030 // The one place that reads the tick count: for the system's own clock only, see above.
    public long Now => _isSystem ? Environment.TickCount64 * TimeSpan.TicksPerMillisecond : provider.GetElapsedTime(0, provider.GetTimestamp()).Ticks;
#pragma warning restore RS0030

    /// <summary>The wall clock, which <see cref="ToUtc"/> agrees with from now on: who asks it whether something is due must not be told another time a moment later.</summary>
    public DateTimeOffset ReadWallClock()
    {
        DateTimeOffset utc = provider.GetUtcNow();
        Volatile.Write(ref _anchor, new Anchor(Now, utc.UtcTicks));
        return utc;
    }

    /// <summary>What the wall clock shows, or showed, at a monotonic time.</summary>
    public DateTimeOffset ToUtc(long monotonic)
    {
        Anchor? anchor = Volatile.Read(ref _anchor);
        if (anchor is null || monotonic - anchor.Monotonic > AnchorLifetime)
            Volatile.Write(ref _anchor, anchor = new Anchor(Now, provider.GetUtcNow().UtcTicks));
        return new DateTimeOffset(Math.Max(0, anchor.UtcTicks + (monotonic - anchor.Monotonic)), TimeSpan.Zero);
    }

    /// <summary>The monotonic time at which the wall clock showed <paramref name="wall"/>, given that it is <paramref name="now"/>; possibly before this machine was started.</summary>
    public long ToMonotonic(DateTimeOffset wall, long now) => now - (provider.GetUtcNow() - wall).Ticks;

    private sealed record Anchor(long Monotonic, long UtcTicks);
}
