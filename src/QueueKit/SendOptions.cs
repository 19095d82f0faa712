namespace QueueKit;

/// <summary>What is said about a typed message beside its body: the properties of <see cref="Message"/> that its format does not set.</summary>
public sealed record SendOptions
{
    /// <inheritdoc cref="Message.MessageId"/>
    public string? MessageId { get; init; }

    /// <inheritdoc cref="Message.CorrelationId"/>
    public string? CorrelationId { get; init; }

    /// <inheritdoc cref="Message.ReplyTo"/>
    public string? ReplyTo { get; init; }

    /// <inheritdoc cref="Message.Priority"/>
    public byte Priority { get; init; }

    /// <inheritdoc cref="Message.Delay"/>
    public TimeSpan? Delay { get; init; }

    /// <inheritdoc cref="Message.DueTime"/>
    public DateTimeOffset? DueTime { get; init; }

    /// <summary>Application headers; null (the default) for none. Sending freezes them.</summary>
    public MessageHeaders? Headers { get; init; }
}
