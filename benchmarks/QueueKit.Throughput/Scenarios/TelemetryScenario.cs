using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The queue of the memory scenario with telemetry that nobody listens to, beside the same queue without any; and, for information, with everybody listening.</summary>
/// <remarks>Where nobody listens an operation pays for one look whether somebody does. The clock is not read and nothing is allocated.</remarks>
internal static class TelemetryScenario
{
    private static readonly int[] s_parties = [1, 2, 4];

    // Short enough to lie between two turns of somebody else's on a busy machine.
    private const double AloneSeconds = 0.003;

    public static IEnumerable<Comparison> Comparisons()
    {
        yield return Alone("no listener", HasTelemetry, 0.98);
        foreach (string form in MemoryScenario.Forms)
        {
            foreach (int n in s_parties)
                yield return Compare(form, n, "no listener", HasTelemetry, 0.98);
        }
        yield return Alone("metrics", ListenAsync, null);
        foreach (string form in MemoryScenario.Forms)
            yield return Compare(form, 1, "metrics", ListenAsync, null);
        yield return Alone("traces", TraceAsync, null);
        foreach (string form in MemoryScenario.Forms)
            yield return Compare(form, 1, "traces", TraceAsync, null);
    }

    private static Comparison Alone(string listener, Func<Func<Task<Round>>, Task<Round>> during, double? target) =>
        new("telemetry", $"{listener}, alone",
            new Contender("the same thread with a broker without telemetry", static messages => MemoryScenario.RunAloneAsync(messages, hasTelemetry: false)),
            new Contender($"one thread that sends, takes and acks, with telemetry, {listener}", messages => during(() => MemoryScenario.RunAloneAsync(messages, hasTelemetry: true))))
        {
            Multiple = 1,
            RoundSeconds = AloneSeconds,
            TargetRatio = target,
        };

    private static Comparison Compare(string form, int parties, string listener, Func<Func<Task<Round>>, Task<Round>> during, double? target) =>
        new("telemetry", $"{listener}, {form} {parties}x{parties}",
            new Contender("the same queue of a broker without telemetry", messages => MemoryScenario.RunQueueAsync(form, messages, parties, hasTelemetry: false)),
            new Contender($"a transient queue of 1,024 with telemetry, {listener}", messages => during(() => MemoryScenario.RunQueueAsync(form, messages, parties, hasTelemetry: true))))
        {
            Multiple = parties * MemoryScenario.SendBatch,
            RoundSeconds = MemoryScenario.RoundSeconds,
            TargetRatio = target,
        };

    private static Task<Round> HasTelemetry(Func<Task<Round>> round) => round();

    private static async Task<Round> ListenAsync(Func<Task<Round>> round)
    {
        using var listener = new MeterListener
        {
            InstrumentPublished = static (instrument, listener) =>
            {
                if (instrument.Meter.Name == MessageBroker.TelemetryName)
                    listener.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<double>(static (_, _, _, _) => { });
        listener.SetMeasurementEventCallback<long>(static (_, _, _, _) => { });
        listener.Start();
        return await round();
    }

    private static async Task<Round> TraceAsync(Func<Task<Round>> round)
    {
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == MessageBroker.TelemetryName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
        };
        ActivitySource.AddActivityListener(listener);
        return await round();
    }
}
