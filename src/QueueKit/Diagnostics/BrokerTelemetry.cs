using System.Diagnostics;

namespace QueueKit.Diagnostics;

/// <summary>What one broker measures and traces, and with which clock.</summary>
internal sealed class BrokerTelemetry(MessageBrokerOptions options)
{
    public static readonly string? Version = typeof(BrokerTelemetry).Assembly.GetName().Version?.ToString(3);

    /// <summary>The source of all activities. Of the process: listeners find it by its name.</summary>
    public static readonly ActivitySource Source = new(MessageBroker.TelemetryName, Version);

    public Instruments Instruments { get; } = Instruments.Of(options.MeterFactory);

    public TimeProvider Time { get; } = options.TimeProvider;

    /// <inheritdoc cref="MessageBrokerOptions.TraceBatchedMessages"/>
    public bool TracesBatchedMessages { get; } = options.TraceBatchedMessages;

    /// <summary>Whether anybody wants to know of operations.</summary>
    public bool HearsOperations => Source.HasListeners() || Instruments.OperationDuration.Enabled;

    /// <summary>Whether anybody wants to know of handlers at work.</summary>
    public bool HearsProcessing => Source.HasListeners() || Instruments.ProcessDuration.Enabled;

    /// <summary>When a commit begins; null if nobody wants to know.</summary>
    public long? CommitBegins() => Instruments.CommitDuration.Enabled || Instruments.CommitBatchSize.Enabled ? Time.GetTimestamp() : null;

    /// <summary>The commit is over.</summary>
    /// <param name="began">What <see cref="CommitBegins"/> returned.</param>
    /// <param name="operations">How many it was to make durable.</param>
    /// <param name="error">Why it did not; null if it did.</param>
    public void CommitEnded(long began, int operations, StoreException? error)
    {
        var tags = new TagList { { TelemetryNames.MessagingSystem, TelemetryNames.System } };
        if (error is not null)
            tags.Add(TelemetryNames.ErrorType, TelemetryNames.StoreError);
#pragma warning disable CA1031 // Whatever a listener throws: the commit is done, and its thread has others to serve.
        try
        {
            Instruments.CommitDuration.Record(Time.GetElapsedTime(began).TotalSeconds, tags);
            Instruments.CommitBatchSize.Record(operations, tags);
        }
        catch (Exception thrown)
        {
            Trace.TraceError($"QueueKit: a listener threw, and a measurement is lost: {thrown}");
        }
#pragma warning restore CA1031
    }
}
