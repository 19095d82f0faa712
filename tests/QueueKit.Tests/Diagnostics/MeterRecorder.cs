using System.Collections.Concurrent;
using System.Diagnostics.Metrics;

namespace QueueKit.Tests.Diagnostics;

/// <summary>A meter factory like an application's, and a listener that writes down all that its meter says.</summary>
internal sealed class MeterRecorder : IMeterFactory
{
    private readonly ConcurrentDictionary<string, Meter> _meters = new();
    private readonly MeterListener _listener = new();
    private readonly ConcurrentQueue<(string Instrument, double Value, string Tags)> _measured = new();

    /// <param name="isListening">Whether to listen from the beginning.</param>
    public MeterRecorder(bool isListening = true)
    {
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Scope == this)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Record(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Record(instrument, value, tags));
        if (isListening)
            _listener.Start();
    }

    /// <summary>What was measured since the last look, without what every measurement carries.</summary>
    public ILookup<string, (double Value, string Tags)> Take()
    {
        _listener.RecordObservableInstruments();
        var taken = new List<(string Instrument, double Value, string Tags)>();
        while (_measured.TryDequeue(out (string, double, string) one))
            taken.Add(one);
        return taken.ToLookup(one => one.Instrument, one => (one.Value, one.Tags));
    }

    public Meter Create(MeterOptions options) => _meters.GetOrAdd(options.Name, _ => new Meter(options.Name, options.Version, options.Tags, this));

    public void Dispose()
    {
        _listener.Dispose();
        foreach (Meter meter in _meters.Values)
            meter.Dispose();
    }

    private void Record(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        Assert.That(tags.ToArray(), Has.One.EqualTo(KeyValuePair.Create("messaging.system", (object?)"queuekit")), instrument.Name);
        string rest = string.Join(' ', tags.ToArray().Where(tag => tag.Key != "messaging.system").Select(tag => $"{tag.Key}={tag.Value}"));
        _measured.Enqueue((instrument.Name, value, rest));
    }
}
