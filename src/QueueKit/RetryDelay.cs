namespace QueueKit;

/// <summary>How long a failed message waits before its next attempt. Immutable.</summary>
public sealed record RetryDelay
{
    private RetryDelay(RetryDelayKind kind, IReadOnlyList<TimeSpan> steps, TimeSpan max = default, double jitter = 0)
    {
        Kind = kind;
        Steps = steps;
        Max = max;
        Jitter = jitter;
    }

    /// <summary>No delay: again at once.</summary>
    public static RetryDelay None { get; } = new(RetryDelayKind.None, []);

    /// <summary>The shape of the delays.</summary>
    public RetryDelayKind Kind { get; }

    /// <summary>Constant and exponential: the (first) delay. List: the delays by attempt.</summary>
    public IReadOnlyList<TimeSpan> Steps { get; }

    /// <summary>Exponential: the longest delay.</summary>
    public TimeSpan Max { get; }

    /// <summary>Exponential: the share of each delay, 0 to 1, by which it is shortened at random (by message and attempt), so that what failed together does not return together.</summary>
    public double Jitter { get; }

    /// <summary>The same delay each time.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The delay is negative.</exception>
    public static RetryDelay Constant(TimeSpan delay)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero);
        return new(RetryDelayKind.Constant, [delay]);
    }

    /// <summary><paramref name="first"/>, then twice as long each time, at most <paramref name="max"/> (default 5 minutes), shortened by up to the share <paramref name="jitter"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="first"/> is not positive, <paramref name="max"/> is below it, or <paramref name="jitter"/> is not within 0 and 1.</exception>
    public static RetryDelay Exponential(TimeSpan first, TimeSpan? max = null, double jitter = 0.2)
    {
        TimeSpan longest = max ?? (first > TimeSpan.FromMinutes(5) ? first : TimeSpan.FromMinutes(5));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(first, TimeSpan.Zero);
        ArgumentOutOfRangeException.ThrowIfLessThan(longest, first, nameof(max));
        if (!(jitter is >= 0 and <= 1))
            throw new ArgumentOutOfRangeException(nameof(jitter), jitter, "The jitter is a share between 0 and 1.");
        return new(RetryDelayKind.Exponential, [first], longest, jitter);
    }

    /// <summary>The delays in turn; the last one again for every further attempt.</summary>
    /// <exception cref="ArgumentException">The list is empty.</exception>
    /// <exception cref="ArgumentOutOfRangeException">A delay is negative.</exception>
    public static RetryDelay List(params IReadOnlyList<TimeSpan> delays)
    {
        ArgumentNullException.ThrowIfNull(delays);
        if (delays.Count == 0)
            throw new ArgumentException("A list of delays needs at least one. For no delay take RetryDelay.None.", nameof(delays));
        foreach (TimeSpan delay in delays)
            ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero, nameof(delays));
        return new(RetryDelayKind.List, [.. delays]);
    }

    /// <summary>Whether both give the same delays.</summary>
    public bool Equals(RetryDelay? other) =>
        other is not null && Kind == other.Kind && Max == other.Max && Jitter.Equals(other.Jitter) && Steps.SequenceEqual(other.Steps);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, Max, Jitter, Steps.Count);

    /// <inheritdoc/>
    public override string ToString() => Kind switch
    {
        RetryDelayKind.None => "none",
        RetryDelayKind.Constant => $"constant {Steps[0]}",
        RetryDelayKind.Exponential => $"exponential from {Steps[0]} to {Max}, jitter {Jitter:0.##}",
        _ => $"list {string.Join(", ", Steps)}",
    };

    // Pure: the jitter comes from the message's number and the attempt, so a history replays exactly.
    internal TimeSpan After(int failedAttempts, long sequence)
    {
        switch (Kind)
        {
            case RetryDelayKind.None:
                return TimeSpan.Zero;
            case RetryDelayKind.Exponential:
                double full = Math.Min(Steps[0].Ticks * Math.Pow(2, failedAttempts - 1), Max.Ticks);
                double share = Mix((ulong)sequence * 31 + (ulong)failedAttempts) / (double)ulong.MaxValue;
                return TimeSpan.FromTicks((long)(full * (1 - Jitter * share)));
            default:
                return Steps[Math.Min(failedAttempts, Steps.Count) - 1];
        }
    }

    // The finaliser of SplitMix64 (Steele, Lea, Flood, 2014): neighbouring numbers land far apart.
    private static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}

/// <summary>The shapes of <see cref="RetryDelay"/>.</summary>
public enum RetryDelayKind
{
    /// <summary>Again at once.</summary>
    None = 0,
    /// <summary>The same each time.</summary>
    Constant,
    /// <summary>Doubling, with a cap and jitter.</summary>
    Exponential,
    /// <summary>Listed one by one.</summary>
    List,
}
