using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;

namespace QueueKit.Diagnostics;

/// <summary>The instruments of one meter, and the brokers that they measure.</summary>
/// <remarks>
/// A meter outlives brokers: the one without a factory lives as long as the process, a factory's as long as the factory. So the instruments belong to the meter, and a
/// broker comes with its opening and goes with its closing; one that nobody closes is held weakly. What the queues count anyway is observed, not counted once more.
/// </remarks>
internal sealed class Instruments
{
    // Before the instruments of the process, which are made with them.
    private static readonly InstrumentAdvice<double> s_messagingBuckets = new() { HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10] };
    private static readonly InstrumentAdvice<double> s_commitBuckets = new() { HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] };
    private static readonly InstrumentAdvice<long> s_batchBuckets = new() { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192] };

    private static readonly Instruments s_ofTheProcess = new(new Meter(Options()));
    private static readonly ConditionalWeakTable<Meter, Instruments> s_ofFactories = [];

    // Readings serve one pass over the instruments; a listener that asks for some of them only must not get those of another one's last pass.
    private static readonly TimeSpan s_passDuration = TimeSpan.FromSeconds(1);

    private readonly Lock _lock = new();
    private readonly List<WeakReference<IMeasuredBroker>> _brokers = [];
    private List<QueueReading> _readings = [];
    private long _readAt;
    private int _lastAsked = int.MaxValue;

    private Instruments(Meter meter)
    {
        OperationDuration = meter.CreateHistogram("messaging.client.operation.duration", "s", "How long sends, receives and settles took.", advice: s_messagingBuckets);
        ProcessDuration = meter.CreateHistogram("messaging.process.duration", "s", "How long handlers took.", advice: s_messagingBuckets);
        CommitDuration = meter.CreateHistogram("queuekit.store.commit.duration", "s", "How long the store took to write and, where asked, to flush a commit.", advice: s_commitBuckets);
        CommitBatchSize = meter.CreateHistogram("queuekit.store.commit.batch_size", "{operation}", "How many sends, settles and transactions shared a commit.", advice: s_batchBuckets);

        // In the order in which they are asked.
        int place = 0;
        Pass pass = new(this, place++);
        meter.CreateObservableUpDownCounter("queuekit.queue.depth", pass.Of(static q => Single(q, q.Depth)), "{message}", "Messages in the queue, whatever their state.");
        pass = new(this, place++);
        meter.CreateObservableUpDownCounter("queuekit.queue.inflight", pass.Of(static q => Single(q, q.InFlight)), "{message}", "Messages that consumers have, under a lease.");
        pass = new(this, place++);
        meter.CreateObservableGauge("queuekit.queue.oldest_message.age", pass.Of(static q => q.OldestAge is { } age ? Single(q, age) : []), "s", "How long the oldest ready message has been in the queue; 0 if none is ready.");
        pass = new(this, place++);
        meter.CreateObservableCounter("messaging.client.sent.messages", pass.Of(static q => Sent(q)), "{message}", "Messages that producers attempted to send.");
        pass = new(this, place++);
        meter.CreateObservableCounter("messaging.client.consumed.messages", pass.Of(static q => Consumed(q)), "{message}", "Messages handed to consumers, redeliveries included.");
        pass = new(this, place++);
        meter.CreateObservableCounter("queuekit.messages.redelivered", pass.Of(static q => Single(q, q[Happened.Redelivered])), "{message}", "Messages handed to consumers again.");
        pass = new(this, place++);
        meter.CreateObservableCounter("queuekit.messages.dropped", pass.Of(static q => DroppedMessages(q)), "{message}", "Messages that an overflow policy dropped.");
        pass = new(this, place);
        meter.CreateObservableCounter("queuekit.messages.dead_lettered", pass.Of(static q => DeadLettered(q)), "{message}", "Messages moved to a dead-letter queue.");
    }

    public Histogram<double> OperationDuration { get; }

    public Histogram<double> ProcessDuration { get; }

    public Histogram<double> CommitDuration { get; }

    public Histogram<long> CommitBatchSize { get; }

    /// <summary>The instruments of a factory's meter, which the factory may give to several brokers, or those of the process.</summary>
    public static Instruments Of(IMeterFactory? factory) =>
        factory is null ? s_ofTheProcess : s_ofFactories.GetValue(factory.Create(Options()), static meter => new Instruments(meter));

    public void Add(IMeasuredBroker broker)
    {
        lock (_lock)
        {
            _brokers.RemoveAll(static other => !other.TryGetTarget(out _));
            _brokers.Add(new WeakReference<IMeasuredBroker>(broker));
            _lastAsked = int.MaxValue;
        }
    }

    public void Remove(IMeasuredBroker broker)
    {
        lock (_lock)
        {
            _brokers.RemoveAll(other => !other.TryGetTarget(out IMeasuredBroker? target) || ReferenceEquals(target, broker));
            _readings = [];
            _lastAsked = int.MaxValue;
        }
    }

    private static MeterOptions Options() => new(MessageBroker.TelemetryName) { Version = BrokerTelemetry.Version };

    // A listener asks one instrument after the other: the first that is asked reads the queues for those behind it.
    private List<QueueReading> Readings(int asked)
    {
        lock (_lock)
        {
            if (asked <= _lastAsked || TimeProvider.System.GetElapsedTime(_readAt) > s_passDuration)
            {
                _readings = Read();
                _readAt = TimeProvider.System.GetTimestamp();
            }
            _lastAsked = asked;
            return _readings;
        }
    }

    private List<QueueReading> Read()
    {
        var byName = new Dictionary<string, QueueReading>(StringComparer.Ordinal);
        foreach (WeakReference<IMeasuredBroker> reference in _brokers)
        {
            if (!reference.TryGetTarget(out IMeasuredBroker? broker))
                continue;
            foreach (QueueReading reading in broker.ReadQueues())
            {
                if (!byName.TryAdd(reading.Queue, reading))
                    byName[reading.Queue].Add(reading);
            }
        }
        return [.. byName.Values];
    }

    private static Measurement<T>[] Single<T>(QueueReading queue, T value) where T : struct => [new(value, Tags(queue))];

    private static IEnumerable<Measurement<long>> Sent(QueueReading queue)
    {
        KeyValuePair<string, object?> send = new(TelemetryNames.OperationName, TelemetryNames.Send);
        yield return new(queue[Happened.Sent], [.. Tags(queue), send]);
        foreach ((Happened count, string error) in ((Happened, string)[])[(Happened.SendsDropped, TelemetryNames.Dropped), (Happened.SendsRefused, TelemetryNames.Refused), (Happened.SendsFailed, TelemetryNames.StoreError)])
        {
            if (queue[count] > 0)
                yield return new(queue[count], [.. Tags(queue), send, new(TelemetryNames.ErrorType, error)]);
        }
    }

    private static IEnumerable<Measurement<long>> Consumed(QueueReading queue) => By(queue, TelemetryNames.OperationName,
        (Happened.Received, TelemetryNames.Receive), (Happened.Processed, TelemetryNames.Process));

    private static IEnumerable<Measurement<long>> DroppedMessages(QueueReading queue) => By(queue, TelemetryNames.OverflowMode,
        (Happened.OldestDropped, "drop_oldest"), (Happened.SendsDropped, "drop_newest"));

    private static IEnumerable<Measurement<long>> DeadLettered(QueueReading queue) => By(queue, TelemetryNames.DeadLetterReason,
        (Happened.DeadRejected, "rejected"), (Happened.DeadExhausted, "attempts_exhausted"), (Happened.DeadOverflow, "overflow"));

    // A queue to which it never happens has no such series.
    private static IEnumerable<Measurement<long>> By(QueueReading queue, string attribute, params (Happened Count, string Value)[] series) =>
        from one in series
        where queue[one.Count] > 0
        select new Measurement<long>(queue[one.Count], [.. Tags(queue), new(attribute, one.Value)]);

    private static KeyValuePair<string, object?>[] Tags(QueueReading queue) =>
        [new(TelemetryNames.MessagingSystem, TelemetryNames.System), new(TelemetryNames.Destination, queue.Queue)];

    private readonly record struct Pass(Instruments Owner, int Place)
    {
        public Func<IEnumerable<Measurement<T>>> Of<T>(Func<QueueReading, IEnumerable<Measurement<T>>> measure) where T : struct
        {
            (Instruments owner, int place) = this;
            return () => owner.Readings(place).SelectMany(measure);
        }
    }
}
