using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace QueueKit.Diagnostics;

/// <summary>One operation on a queue while somebody listens: its duration, and its activity.</summary>
/// <remarks>
/// A send, and a handler at work, have an activity from the beginning, for what happens inside them; a receive and a settle get theirs when it is known that there was a
/// message, so that a look into an empty queue leaves no trace. Activities take their times from the broker's clock, like everything else.
/// </remarks>
internal sealed class Operation
{
    // As many as the SDK keeps.
    private const int MaxLinks = 128;

    private readonly BrokerTelemetry _telemetry;
    private readonly string _queue;
    private readonly string _type;
    private readonly string _name;
    private readonly long _beganAt;
    private readonly DateTimeOffset _beganAtUtc;
    private Activity? _activity;

    public Operation(BrokerTelemetry telemetry, string queue, string type, string name)
    {
        _telemetry = telemetry;
        _queue = queue;
        _type = type;
        _name = name;
        _beganAt = telemetry.Time.GetTimestamp();
        _beganAtUtc = telemetry.Time.GetUtcNow();
    }

    /// <summary>Why it failed, if that is known before it ends.</summary>
    public string? Error { get; set; }

    /// <summary>Starts the activity, which is the current one from now on; null if nobody wants it.</summary>
    public Activity? Start(ActivityKind kind, ActivityContext parent, ReadOnlySpan<Message> messages, IReadOnlyList<ActivityLink>? links)
    {
        if (!BrokerTelemetry.Source.HasListeners())
            return null;
        var tags = new TagList
        {
            { TelemetryNames.MessagingSystem, TelemetryNames.System },
            { TelemetryNames.OperationType, _type },
            { TelemetryNames.OperationName, _name },
            { TelemetryNames.Destination, _queue },
        };
        if (messages.Length != 1)
        {
            tags.Add(TelemetryNames.BatchCount, messages.Length);
        }
        else
        {
            if (messages[0].MessageId is { } id)
                tags.Add(TelemetryNames.MessageId, id);
            if (messages[0].CorrelationId is { } conversation)
                tags.Add(TelemetryNames.ConversationId, conversation);
        }
        return _activity = BrokerTelemetry.Source.StartActivity($"{_name} {_queue}", kind, parent, tags, links?.Take(MaxLinks), _beganAtUtc);
    }

    /// <summary>Ends what has <see cref="Start">started</see>.</summary>
    public void End(string? error = null)
    {
        Histogram<double> histogram = _type == TelemetryNames.Process ? _telemetry.Instruments.ProcessDuration : _telemetry.Instruments.OperationDuration;
        if (histogram.Enabled)
        {
            var tags = new TagList
            {
                { TelemetryNames.MessagingSystem, TelemetryNames.System },
                { TelemetryNames.OperationName, _name },
                { TelemetryNames.Destination, _queue },
            };
            if (_type != TelemetryNames.Process)
                tags.Add(TelemetryNames.OperationType, _type);
            if (error is not null)
                tags.Add(TelemetryNames.ErrorType, error);
            histogram.Record(_telemetry.Time.GetElapsedTime(_beganAt).TotalSeconds, tags);
        }
        EndActivity(error);
    }

    /// <summary>Ends the activity of what is not measured.</summary>
    public void EndActivity(string? error)
    {
        if (_activity is not { } activity)
            return;
        _activity = null;
        if (error is not null)
        {
            activity.SetTag(TelemetryNames.ErrorType, error);
            activity.SetStatus(ActivityStatusCode.Error);
        }
        activity.SetEndTime(_telemetry.Time.GetUtcNow().UtcDateTime);
        activity.Stop();
    }

    /// <summary>Ends an operation whose messages are known only now.</summary>
    public void End(ReadOnlySpan<Message> messages, string? error = null)
    {
        Activity? before = Activity.Current;
        Start(ActivityKind.Client, default, messages, TraceContext.Links(messages));
        End(error);
        Activity.Current = before;
    }
}
