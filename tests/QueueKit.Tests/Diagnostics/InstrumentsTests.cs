using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using QueueKit.Diagnostics;
using QueueKit.Stores;

namespace QueueKit.Tests.Diagnostics;

public class InstrumentsTests
{
    private const int Messages = 1_000;

    [Test]
    public void TheInstrumentsAreThoseOfTheConventionsAndOurOwn()
    {
        using var meters = new MeterRecorder();
        var published = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Scope == meters)
                    published.Add($"{instrument.Meter.Name} {instrument.GetType().Name[..^2]} {instrument.Name} {instrument.Unit}");
            },
        };
        listener.Start();

        Instruments.Of(meters);
        Instruments.Of(meters);

        Assert.That(published, Is.EquivalentTo((string[])[
            "QueueKit Histogram messaging.client.operation.duration s",
            "QueueKit Histogram messaging.process.duration s",
            "QueueKit ObservableCounter messaging.client.sent.messages {message}",
            "QueueKit ObservableCounter messaging.client.consumed.messages {message}",
            "QueueKit ObservableUpDownCounter queuekit.queue.depth {message}",
            "QueueKit ObservableUpDownCounter queuekit.queue.inflight {message}",
            "QueueKit ObservableGauge queuekit.queue.oldest_message.age s",
            "QueueKit ObservableCounter queuekit.messages.redelivered {message}",
            "QueueKit ObservableCounter queuekit.messages.dropped {message}",
            "QueueKit ObservableCounter queuekit.messages.dead_lettered {message}",
            "QueueKit Histogram queuekit.store.commit.duration s",
            "QueueKit Histogram queuekit.store.commit.batch_size {operation}",
        ]));
    }

    [Test]
    public void TheBucketsOfMessagingAreThoseOfTheConventions()
    {
        using var meters = new MeterRecorder();
        var instruments = Instruments.Of(meters);

        double[] buckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
        Assert.That(instruments.OperationDuration.Advice!.HistogramBucketBoundaries, Is.EqualTo(buckets));
        Assert.That(instruments.ProcessDuration.Advice!.HistogramBucketBoundaries, Is.EqualTo(buckets));
    }

    [Test]
    public void OnePassOverTheInstrumentsReadsEachQueueOnce()
    {
        using var meters = new MeterRecorder();
        var broker = new CountingBroker();
        Instruments.Of(meters).Add(broker);

        for (int pass = 1; pass <= 3; pass++)
        {
            meters.Take();
            Assert.That(broker.Reads, Is.EqualTo(pass));
        }
    }

    [Test]
    public void QueuesOfOneNameInSeveralBrokersAreOneSeries()
    {
        using var meters = new MeterRecorder();
        Instruments.Of(meters).Add(new CountingBroker { Depth = 2 });
        var second = new CountingBroker { Depth = 3 };
        Instruments.Of(meters).Add(second);

        Assert.That(meters.Take()["queuekit.queue.depth"], Is.EqualTo((IEnumerable<(double, string)>)[(5, "messaging.destination.name=orders")]));

        Instruments.Of(meters).Remove(second);
        Assert.That(meters.Take()["queuekit.queue.depth"].Single().Value, Is.EqualTo(2));
    }

    [Test]
    public void ACounterDoesNotGoBackWhereWhatItCountedCameToNothing()
    {
        var before = new QueueReading("orders") { [Happened.Sent] = 7, Depth = 7 };
        var after = new QueueReading("orders") { [Happened.Sent] = 6, Depth = 6 };
        after.Raise(before);

        Assert.That((after[Happened.Sent], after.Depth), Is.EqualTo((7L, 6L)));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void ABrokerThatIsGoneIsNotKeptAlive(bool isClosed)
    {
        using var meters = new MeterRecorder();
        WeakReference ofFactory = OpenAndForget(meters, isClosed);
        WeakReference ofProcess = OpenAndForget(null, isClosed);

        for (int i = 0; i < 5 && (ofFactory.IsAlive || ofProcess.IsAlive); i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }

        Assert.That((ofFactory.IsAlive, ofProcess.IsAlive), Is.EqualTo((false, false)));
        Assert.That(meters.Take(), Is.Empty);
    }

    [TestCase(Durability.Transient)]
    [TestCase(Durability.Flushed)]
    public async Task WhereNobodyListensNothingIsAllocated(Durability durability)
    {
        using var meters = new MeterRecorder(isListening: false);
        long with = long.MaxValue, without = long.MaxValue;
        // The least of several: the compiler and the thread pool allocate now and then.
        for (int i = 0; i < 10 && with > without; i++)
        {
            without = Math.Min(without, await Allocated(new MessageBrokerOptions { HasTelemetry = false }, durability));
            with = Math.Min(with, await Allocated(new MessageBrokerOptions { MeterFactory = meters }, durability));
        }

        Assert.That(with - without, Is.LessThan(Messages), "less than a byte a message");
    }

    private static async Task<long> Allocated(MessageBrokerOptions options, Durability durability)
    {
        options.Store = new InMemoryMessageStore();
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { Durability = durability });
        var message = new Message(new byte[100]);
        await Carry(queue, message);
        long before = GC.GetTotalAllocatedBytes(precise: true);
        await Carry(queue, message);
        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }

    private static async Task Carry(MessageQueue queue, Message message)
    {
        for (int i = 0; i < Messages; i++)
        {
            await queue.SendAsync(message);
            await (await queue.ReceiveAsync()).AckAsync();
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference OpenAndForget(IMeterFactory? factory, bool isClosed)
    {
        MessageBroker broker = MessageBroker.OpenAsync(new MessageBrokerOptions { MeterFactory = factory }).AsTask().GetAwaiter().GetResult();
        broker.DeclareQueueAsync("orders").AsTask().GetAwaiter().GetResult();
        if (isClosed)
            broker.DisposeAsync().AsTask().GetAwaiter().GetResult();
        return new WeakReference(broker);
    }

    private sealed class CountingBroker : IMeasuredBroker
    {
        public int Reads { get; private set; }

        public long Depth { get; init; }

        public IEnumerable<QueueReading> ReadQueues()
        {
            Reads++;
            return [new QueueReading("orders") { Depth = Depth }];
        }
    }
}
