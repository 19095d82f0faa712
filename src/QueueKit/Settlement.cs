namespace QueueKit;

/// <summary>What a consumer says of a delivery. The default value says nothing and is refused.</summary>
public readonly struct Settlement : IEquatable<Settlement>
{
    /// <summary>The longest reason or details, in characters.</summary>
    public const int MaxTextLength = 4096;

    private Settlement(SettlementKind kind, TimeSpan? delay = null, Exception? error = null, string? reason = null, string? details = null)
    {
        Kind = kind;
        Delay = delay;
        Error = error;
        ErrorText = Describe(error);
        Reason = reason;
        Details = details;
    }

    /// <summary>Done: delete the message.</summary>
    public static Settlement Ack => new(SettlementKind.Ack);

    /// <summary>Back without penalty.</summary>
    public static Settlement Release => new(SettlementKind.Release);

    /// <summary>Which of the four.</summary>
    public SettlementKind Kind { get; }

    /// <summary>Of a nack: the delay the consumer asks for; null for the queue's own.</summary>
    public TimeSpan? Delay { get; }

    /// <summary>Of a nack: what went wrong, if known.</summary>
    public Exception? Error { get; }

    /// <summary>Its type and message, as they are kept. Read when the settlement is made, because <see cref="Exception.Message"/> runs code of the application, which has no business under a queue's lock.</summary>
    internal string? ErrorText { get; }

    /// <summary>Of a reject: why.</summary>
    public string? Reason { get; }

    /// <summary>Of a reject: more about it.</summary>
    public string? Details { get; }

    /// <summary>Failed: counts as an attempt; again after <paramref name="delay"/>, or after the queue's own delay.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="delay"/> is negative.</exception>
    public static Settlement Nack(TimeSpan? delay = null, Exception? error = null)
    {
        if (delay is { } value)
            ArgumentOutOfRangeException.ThrowIfLessThan(value, TimeSpan.Zero, nameof(delay));
        return new(SettlementKind.Nack, delay, error);
    }

    /// <summary>Given up: dead-letter the message.</summary>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is empty, or a text is longer than <see cref="MaxTextLength"/>.</exception>
    public static Settlement Reject(string reason, string? details = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(reason);
        RefuseLong(reason, nameof(reason));
        RefuseLong(details, nameof(details));
        return new(SettlementKind.Reject, reason: reason, details: details);
    }

    /// <summary>Whether both say the same.</summary>
    public static bool operator ==(Settlement left, Settlement right) => left.Equals(right);

    /// <summary>Whether they differ.</summary>
    public static bool operator !=(Settlement left, Settlement right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(Settlement other) =>
        Kind == other.Kind && Delay == other.Delay && Error == other.Error && Reason == other.Reason && Details == other.Details;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Settlement other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, Delay, Error, Reason, Details);

    /// <inheritdoc/>
    public override string ToString() => Reason is null ? Kind.ToString() : $"{Kind}: {Reason}";

    internal void ThrowIfDefault()
    {
        if (Kind == SettlementKind.None)
            throw new ArgumentException("This settlement is the default value and says nothing. Use Settlement.Ack, Nack(…), Release or Reject(…).", "settlement");
    }

    private static string? Describe(Exception? error)
    {
        if (error is null)
            return null;
        string text;
        try
        {
            text = $"{error.GetType().FullName}: {error.Message}";
        }
#pragma warning disable CA1031 // A handler's failure must be settled, whatever its exception does when it is asked.
        catch (Exception)
#pragma warning restore CA1031
        {
            text = $"{error.GetType().FullName}: its message cannot be read";
        }
        return text.Length <= MaxTextLength ? text : text[..MaxTextLength];
    }

    private static void RefuseLong(string? text, string name)
    {
        if (text?.Length > MaxTextLength)
            throw new ArgumentException($"The {name} has {text.Length} characters; at most {MaxTextLength} are kept with a dead letter. Shorten it, or log the rest.", name);
    }
}

/// <summary>The kinds of <see cref="Settlement"/>.</summary>
public enum SettlementKind
{
    /// <summary>Nothing said; refused.</summary>
    None = 0,
    /// <summary>Done: delete.</summary>
    Ack,
    /// <summary>Failed: counts as an attempt, try again.</summary>
    Nack,
    /// <summary>Back without penalty.</summary>
    Release,
    /// <summary>Given up: dead-letter.</summary>
    Reject,
}

/// <summary>What a settle achieved.</summary>
public enum SettleResult
{
    /// <summary>Nothing: the lease was lost before, and the message belongs to somebody else or to nobody.</summary>
    LeaseLost = 0,
    /// <summary>Nothing: this delivery was settled before, or is part of a transaction that is not yet committed.</summary>
    AlreadySettled,
    /// <summary>It is settled as asked.</summary>
    Settled,
}
