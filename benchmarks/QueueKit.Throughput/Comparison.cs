namespace QueueKit.Throughput;

/// <summary>One of the two sides of a comparison: carries a number of messages from scratch and says what it took.</summary>
/// <param name="Description">What it is, in a few words.</param>
/// <param name="RunAsync">Carries that many messages: set-up and tear-down outside the measured part.</param>
internal sealed record Contender(string Description, Func<long, Task<Round>> RunAsync);

/// <summary>A part of the engine beside a reference that does the same work for the same callers with as little as possible.</summary>
internal sealed record Comparison(string Scenario, string Variant, Contender Reference, Contender Queue)
{
    public string Name => $"{Scenario} {Variant}";

    /// <summary>The count of every round is a multiple of this, so that each party has the same share.</summary>
    public required int Multiple { get; init; }

    /// <summary>How long a round should last: long enough that starting and ending it does not count, else as short as can be, because the median of many short pairs is steadier than that of a few long ones.</summary>
    public required double RoundSeconds { get; init; }

    /// <summary>The most messages of one round: what a queue that is only sent to may hold.</summary>
    public long MaxMessages { get; init; } = long.MaxValue;

    /// <summary>The ratio to reach; null for none.</summary>
    public double? TargetRatio { get; init; }

    /// <summary>What the queue may take beyond what the ratio allows it: for work that is done once and not for each message.</summary>
    public TimeSpan? Allowance { get; init; }

    /// <summary>How many short rounds come before those that count.</summary>
    public int WarmUpRounds { get; init; } = 40;

    /// <summary>The most bytes to allocate for one message, beside the caller's own; null for no limit.</summary>
    public double? TargetBytes { get; init; }

    /// <summary>What the figures are.</summary>
    public Unit Unit { get; init; }

    /// <summary>What the figure may be at most; null for no such limit.</summary>
    public double? Limit { get; init; }

    /// <summary>The same, where it depends on the reference.</summary>
    public Func<double, double>? LimitOfReference { get; init; }

    /// <summary>What the figure may be at most beside that reference; null for no such limit.</summary>
    public double? LimitBeside(double reference) => LimitOfReference?.Invoke(reference) ?? Limit;

    /// <summary>Measures what is too large to be done often, once; null where it is done in pairs of rounds.</summary>
    public Func<Action<double>, Task<Figure>>? Once { get; init; }

    /// <summary>Something that is measured once.</summary>
    /// <param name="scenario">The scenario.</param>
    /// <param name="variant">The variant.</param>
    /// <param name="what">What is measured.</param>
    /// <param name="beside">What it is beside.</param>
    /// <param name="unit">What the figures are.</param>
    /// <param name="once">Measures both, and tells how far it is.</param>
    public static Comparison Of(string scenario, string variant, string what, string beside, Unit unit, Func<Action<double>, Task<Figure>> once)
    {
        return new Comparison(scenario, variant, new Contender(beside, Never), new Contender(what, Never)) { Multiple = 1, RoundSeconds = 0, Unit = unit, Once = once };

        static Task<Round> Never(long messages) => throw new NotSupportedException("This is measured once.");
    }

    public Comparison AgainstItself() => this with { Queue = Reference, TargetRatio = null, TargetBytes = null };
}

/// <summary>What a figure is.</summary>
internal enum Unit
{
    /// <summary>Messages a second, or, where there is an <see cref="Comparison.Allowance"/>, the inverse of a time.</summary>
    PerSecond = 0,
    Milliseconds,
    Bytes,
    /// <summary>A number of things, or a share in thousandths.</summary>
    Count,
}

/// <summary>What was measured once.</summary>
/// <param name="Value">The figure.</param>
/// <param name="Reference">What it is beside; 0 for nothing.</param>
/// <param name="Bytes">Of memory, for each of the things in question.</param>
internal readonly record struct Figure(double Value, double Reference, double Bytes = 0);

/// <summary>What came out of a comparison: medians over its pairs of rounds.</summary>
internal sealed record Result(Comparison Comparison)
{
    public required int Pairs { get; init; }
    public required long MessagesPerRound { get; init; }
    public required double PerSecond { get; init; }
    public required double ReferencePerSecond { get; init; }

    /// <summary>The median of the ratios within each pair, not the ratio of the medians: what disturbs the machine for a second disturbs both of a pair.</summary>
    public required double Ratio { get; init; }

    /// <summary>The ratios between which the middle half of the pairs lies.</summary>
    public required (double Low, double High) MiddleHalf { get; init; }

    /// <summary>Where the median of all pairs there could ever be lies, with 95 % confidence.</summary>
    public required (double Low, double High) Interval { get; init; }

    public required double BytesPerMessage { get; init; }
    public double? MeanBatch { get; init; }
    public double? ReferenceMeanBatch { get; init; }

    /// <summary>The share of the processors that other programs took meanwhile, where the system tells.</summary>
    public double? ForeignLoad { get; init; }

    private bool IsFastEnough => Comparison.LimitBeside(ReferencePerSecond) is { } limit ? PerSecond <= limit : Comparison.TargetRatio is not { } target || Ratio >= target
        || (Comparison.Allowance is { } allowance && 1 / PerSecond <= 1 / ReferencePerSecond / target + allowance.TotalSeconds);

    public bool? IsMet => Comparison is { TargetRatio: null, TargetBytes: null, Limit: null, LimitOfReference: null }
        ? null
        : IsFastEnough && BytesPerMessage <= (Comparison.TargetBytes ?? double.MaxValue);
}
