namespace QueueKit.Hosting;

/// <summary>What becomes of a message whose handler threw. The default value is <see cref="Retry"/> after the queue's own delay.</summary>
public readonly record struct FailureOutcome
{
    private FailureOutcome(FailureKind kind, TimeSpan? delay = null, string? reason = null)
    {
        Kind = kind;
        Delay = delay;
        Reason = reason;
    }

    /// <summary>Something that all messages need is down: the consumer pauses, probes with one message after a while, and no message is charged.</summary>
    public static FailureOutcome Outage { get; } = new(FailureKind.Outage);

    internal FailureKind Kind { get; }

    internal TimeSpan? Delay { get; }

    internal string? Reason { get; }

    /// <summary>A failed attempt: again <paramref name="after"/> that time, or after the queue's own delay; dead-lettered after the last attempt.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="after"/> is negative.</exception>
    public static FailureOutcome Retry(TimeSpan? after = null)
    {
        if (after is { } delay)
            ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero, nameof(after));
        return new(FailureKind.Retry, after);
    }

    /// <summary>Given up at once: dead-lettered with <paramref name="reason"/>, and the exception in its details.</summary>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is empty or longer than <see cref="Settlement.MaxTextLength"/>.</exception>
    public static FailureOutcome Reject(string reason) => new(FailureKind.Reject, reason: Settlement.Reject(reason).Reason);

    internal Settlement ToSettlement(Exception error)
    {
        if (Kind != FailureKind.Reject)
            return Settlement.Nack(Delay, error);
        return Settlement.Reject(Reason!, Describe(error));
    }

    /// <summary>Type and message of what a handler threw, whatever it does when it is asked for it.</summary>
    internal static string Describe(Exception error)
    {
        string text;
        try
        {
            text = $"{error.GetType()}: {error.Message}";
        }
#pragma warning disable CA1031 // The message must be settled, whatever the exception does.
        catch (Exception)
#pragma warning restore CA1031
        {
            text = $"{error.GetType()}: its message cannot be read";
        }
        return text.Length <= Settlement.MaxTextLength ? text : text[..Settlement.MaxTextLength];
    }
}

internal enum FailureKind
{
    Retry = 0,
    Reject,
    Outage,
}
