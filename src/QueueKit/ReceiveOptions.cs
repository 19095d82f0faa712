namespace QueueKit;

/// <summary>How a receiver takes messages. Copied when the receiver is opened.</summary>
public sealed record ReceiveOptions
{
    /// <summary>This receiver's own lease; null (the default) for the queue's <see cref="QueueOptions.LeaseDuration"/>.</summary>
    public TimeSpan? LeaseDuration { get; set; }

    /// <summary>The most deliveries that may be unsettled at once (basic.qos, link credit); at least 1, null (the default) for any number.</summary>
    public int? Credit { get; set; }

    /// <summary>Delete each message before it is handed over: it is never redelivered, and lost if the consumer fails. Default: false.</summary>
    public bool AtMostOnce { get; set; }

    /// <summary>Whether what is taken goes to handlers of the caller's, who says so with <see cref="MessageQueue.BeginProcess"/>: then telemetry shows no receive but a process, as it does for <see cref="IMessageReceiver.Consume"/>. Default: false.</summary>
    public bool ForHandlers { get; set; }

    internal void Validate(string queue)
    {
        if (LeaseDuration is { } lease)
            QueueOptions.ValidateLease(lease, nameof(LeaseDuration), $"Receiver of queue '{queue}'");
        if (Credit is < 1)
            throw new ArgumentException($"Receiver of queue '{queue}': Credit is {Credit}; it must be at least 1, or null for any number.", "options");
    }
}

/// <summary>How a handler consumes. Copied when the consumer starts.</summary>
public sealed record ConsumeOptions
{
    /// <summary>How many handlers may run at once; 1 to 10,000. Default: 1, which keeps the order of the queue.</summary>
    public int Concurrency { get; set; } = 1;

    /// <summary>This consumer's own lease, renewed while a handler runs; null (the default) for the queue's <see cref="QueueOptions.LeaseDuration"/>.</summary>
    public TimeSpan? LeaseDuration { get; set; }

    /// <summary>Delete each message before its handler starts: it is never redelivered, and lost if the handler fails. Default: false.</summary>
    public bool AtMostOnce { get; set; }

    /// <summary>Whether the activity of a handler continues the trace of the send, as its child. Default: false, it begins a trace of its own and links to the send, as one does where work waits in queues.</summary>
    public bool ContinueTrace { get; set; }

    internal void Validate(string queue)
    {
        if (Concurrency is < 1 or > 10_000)
            throw new ArgumentException($"Consumer of queue '{queue}': Concurrency is {Concurrency}; it must lie between 1 and 10,000.", "options");
        if (LeaseDuration is { } lease)
            QueueOptions.ValidateLease(lease, nameof(LeaseDuration), $"Consumer of queue '{queue}'");
    }
}
