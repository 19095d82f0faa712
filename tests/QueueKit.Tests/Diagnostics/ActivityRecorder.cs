using System.Collections.Concurrent;
using System.Diagnostics;

namespace QueueKit.Tests.Diagnostics;

/// <summary>A listener that samples and keeps every activity of the source "QueueKit".</summary>
internal sealed class ActivityRecorder : IDisposable
{
    private readonly ActivityListener _listener;
    private readonly ConcurrentQueue<Activity> _stopped = new();

    public ActivityRecorder(ActivitySamplingResult sampling = ActivitySamplingResult.AllDataAndRecorded)
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == MessageBroker.TelemetryName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => sampling,
            ActivityStopped = _stopped.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public Activity[] All => [.. _stopped];

    /// <summary>The one activity of that name.</summary>
    public Activity this[string name] => _stopped.Single(activity => activity.DisplayName == name);

    public IEnumerable<string> Names => _stopped.Select(activity => activity.DisplayName);

    public void Dispose() => _listener.Dispose();

    /// <summary>The attributes in alphabetical order.</summary>
    public static string Tags(Activity activity) => string.Join(' ', activity.TagObjects.OrderBy(tag => tag.Key, StringComparer.Ordinal).Select(tag => $"{tag.Key}={tag.Value}"));
}
