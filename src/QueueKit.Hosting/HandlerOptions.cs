using Polly.CircuitBreaker;

namespace QueueKit.Hosting;

/// <summary>How the handlers of one queue work; several handlers of a queue share them. Its name among the options is the queue's key.</summary>
public sealed class HandlerOptions
{
    private readonly List<(Type Type, Func<Exception, bool>? When, FailureOutcome Outcome)> _rules = [];

    /// <summary>How many messages are handled at once (of a batch handler: how many batches); 1 to 10,000. Default: 1, which keeps the order of the queue.</summary>
    public int Concurrency { get; set; } = 1;

    /// <summary>The lease of a message, renewed while its handler runs; 1 ms to 49 days, null (the default) for the queue's own.</summary>
    public TimeSpan? LeaseDuration { get; set; }

    /// <summary>The key of a Polly pipeline (<c>AddResiliencePipeline</c>) that is wrapped around each call of a handler; null (the default) for none. Each of its attempts has a scope of its own; the settle is outside of it.</summary>
    public string? ResiliencePipeline { get; set; }

    /// <summary>The most messages of a batch; 1 to 10,000. Default: 100. For batch handlers only.</summary>
    public int BatchSize { get; set; } = 100;

    /// <summary>How long a batch that is not full waits for more after its first message; zero to one hour. Default: zero: it takes what is there. For batch handlers only.</summary>
    public TimeSpan BatchWait { get; set; }

    /// <summary>Whether the activity of a handler continues the trace of the send, as its child. Default: false, it begins a trace of its own and links to the send. A batch always does.</summary>
    public bool ContinueTrace { get; set; }

    /// <summary>When failures are taken for an outage, and what happens then.</summary>
    public OutageOptions Outage { get; } = new();

    /// <summary>What becomes of a message whose handler throws a <typeparamref name="TException"/>. The first rule that fits holds; without one, a broken circuit is an outage and everything else is tried again.</summary>
    /// <param name="outcome">What becomes of it.</param>
    /// <param name="when">Narrows the rule down; null for every <typeparamref name="TException"/>.</param>
    /// <returns>The same options.</returns>
    public HandlerOptions On<TException>(FailureOutcome outcome, Func<TException, bool>? when = null) where TException : Exception
    {
        _rules.Add((typeof(TException), when is null ? null : error => when((TException)error), outcome));
        return this;
    }

    internal FailureOutcome Judge(Exception error)
    {
        foreach ((Type type, Func<Exception, bool>? when, FailureOutcome outcome) in _rules)
        {
            if (type.IsInstanceOfType(error) && (when is null || when(error)))
                return outcome;
        }
        return error is BrokenCircuitException ? FailureOutcome.Outage : default;
    }

    internal IEnumerable<string> Problems(string queue)
    {
        string where = $"Handlers of queue '{queue}'";
        if (Concurrency is < 1 or > 10_000)
            yield return $"{where}: Concurrency is {Concurrency}; it must lie between 1 and 10,000.";
        if (LeaseDuration is { } lease && (lease < TimeSpan.FromMilliseconds(1) || lease > TimeSpan.FromDays(49)))
            yield return $"{where}: LeaseDuration is {lease}; it must lie between 1 ms and 49 days, or be absent for the queue's own.";
        if (BatchSize is < 1 or > 10_000)
            yield return $"{where}: BatchSize is {BatchSize}; it must lie between 1 and 10,000.";
        if (BatchWait < TimeSpan.Zero || BatchWait > TimeSpan.FromHours(1))
            yield return $"{where}: BatchWait is {BatchWait}; it must lie between zero and one hour.";
        if (ResiliencePipeline is { Length: 0 })
            yield return $"{where}: ResiliencePipeline is empty; name a pipeline, or leave it out.";
        if (Outage.AfterFailures is < 2)
            yield return $"{where}: Outage.AfterFailures is {Outage.AfterFailures}; it must be at least 2, or absent for never.";
        if (Outage.FirstPause < TimeSpan.FromMilliseconds(1) || Outage.FirstPause > TimeSpan.FromDays(1))
            yield return $"{where}: Outage.FirstPause is {Outage.FirstPause}; it must lie between 1 ms and 1 day.";
        if (Outage.LongestPause < Outage.FirstPause || Outage.LongestPause > TimeSpan.FromDays(1))
            yield return $"{where}: Outage.LongestPause is {Outage.LongestPause}; it must lie between Outage.FirstPause, which is {Outage.FirstPause}, and 1 day.";
    }
}

/// <summary>The outage mode: something that all messages need is down. The consumer pauses, then tries one message; when it succeeds all go on, when it fails the next pause is twice as long. Nothing is charged meanwhile.</summary>
public sealed class OutageOptions
{
    /// <summary>How many failures in a row, each of another message, are taken for an outage; at least 2, null for never. Default: 10.</summary>
    public int? AfterFailures { get; set; } = 10;

    /// <summary>The first pause; 1 ms to 1 day. Default: 1 s.</summary>
    public TimeSpan FirstPause { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest pause; at least the first, at most 1 day. Default: 1 minute.</summary>
    public TimeSpan LongestPause { get; set; } = TimeSpan.FromMinutes(1);
}
