using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using QueueKit.Stores;

namespace QueueKit.Tests.Diagnostics;

/// <summary>What really comes out of OpenTelemetry's SDK, collected as an application collects it: by the name of the meter and the source.</summary>
public class ExportedDataTests
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    [Test]
    public async Task TrafficOverARestartIsExportedWithItsNamesUnitsValuesAndLinks()
    {
        var metrics = new List<MetricSnapshot>();
        var spans = new List<Activity>();
        using MeterProvider meterProvider = Sdk.CreateMeterProviderBuilder().AddMeter("QueueKit").AddInMemoryExporter(metrics).Build();
        using TracerProvider tracerProvider = Sdk.CreateTracerProviderBuilder().AddSource("QueueKit").AddInMemoryExporter(spans).Build();
        var store = new InMemoryMessageStore();

        await using (MessageBroker first = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store }))
        {
            MessageQueue queue = await first.DeclareQueueAsync("exported", new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 2 });
            foreach (string body in (string[])["fine", "bad"])
                await queue.SendAsync(Message.CopyOf(System.Text.Encoding.UTF8.GetBytes(body)));
        }
        await using MessageBroker second = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        MessageQueue reopened = second.GetQueue("exported");
        var handled = new CountdownEvent(3);
        await using (reopened.Consume((delivery, _) =>
        {
            handled.Signal();
            return delivery.Message.Body.Length == 3 ? throw new FormatException() : default;
        }))
        {
            Assert.That(handled.Wait(s_patience));
        }
        await Until(() => reopened.GetSnapshot() is { Messages: 0, Counts.DeadLettered: 1 });

        meterProvider.ForceFlush();
        tracerProvider.ForceFlush();

        Activity[] sends = Named("send exported"), processes = Named("process exported");
        Assert.Multiple(() =>
        {
            Assert.That(sends, Has.Length.EqualTo(2));
            Assert.That(processes.Select(span => span.Links.Single().Context.SpanId), Is.EqualTo((ActivitySpanId[])[sends[0].SpanId, sends[1].SpanId, sends[1].SpanId]));
            Assert.That(processes.Select(span => span.Kind), Is.All.EqualTo(ActivityKind.Consumer));
            Assert.That(Named("ack exported").Single().ParentSpanId, Is.EqualTo(processes[0].SpanId));
            Assert.That(Named("nack exported").Select(span => span.ParentSpanId), Is.EqualTo((ActivitySpanId[])[processes[1].SpanId, processes[2].SpanId]));
            Assert.That(processes[1].GetTagItem("error.type"), Is.EqualTo("System.FormatException"));
        });
        Assert.Multiple(() =>
        {
            Assert.That(Sums("messaging.client.sent.messages", "{message}"), Is.EqualTo((string[])["0 messaging.operation.name=send"]), "by this broker; the first one is closed and forgotten");
            Assert.That(Sums("messaging.client.consumed.messages", "{message}"), Is.EqualTo((string[])["3 messaging.operation.name=process"]));
            Assert.That(Sums("queuekit.messages.redelivered", "{message}"), Is.EqualTo((string[])["1 "]));
            Assert.That(Sums("queuekit.messages.dead_lettered", "{message}"), Is.EqualTo((string[])["1 queuekit.dead_letter.reason=attempts_exhausted"]));
            Assert.That(Sums("queuekit.queue.depth", "{message}"), Is.EqualTo((string[])["0 "]));
            Assert.That(Sums("queuekit.queue.inflight", "{message}"), Is.EqualTo((string[])["0 "]));
            Assert.That(Points("queuekit.queue.oldest_message.age", "s").Select(point => point.GetGaugeLastValueDouble()), Is.EqualTo((double[])[0]));
            Assert.That(Counts("messaging.client.operation.duration", "s"), Is.EqualTo((string[])[
                "1 messaging.operation.name=ack messaging.operation.type=settle", "2 messaging.operation.name=nack messaging.operation.type=settle", "2 messaging.operation.name=send messaging.operation.type=send"]));
            Assert.That(Counts("messaging.process.duration", "s"), Is.EqualTo((string[])["1 messaging.operation.name=process", "2 error.type=System.FormatException messaging.operation.name=process"]));
            double[] buckets = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, double.PositiveInfinity];
            Assert.That(Bounds(Points("messaging.client.operation.duration", "s").First()), Is.EqualTo(buckets));
            Assert.That(Bounds(Points("messaging.process.duration", "s").First()), Is.EqualTo(buckets));
            Assert.That(Metric("queuekit.store.commit.duration", "s").MetricPoints, Is.Not.Empty);
            Assert.That(Metric("queuekit.store.commit.batch_size", "{operation}").MetricPoints, Is.Not.Empty);
        });

        Activity[] Named(string name) => [.. spans.Where(span => span.DisplayName == name).OrderBy(span => span.StartTimeUtc)];

        MetricSnapshot Metric(string name, string unit)
        {
            MetricSnapshot metric = metrics.Single(metric => metric.Name == name);
            Assert.That((metric.MeterName, metric.Unit), Is.EqualTo(("QueueKit", unit)), name);
            return metric;
        }

        IEnumerable<MetricPoint> Points(string name, string unit) => Metric(name, unit).MetricPoints.Where(point => Tags(point).Contains(KeyValuePair.Create("messaging.destination.name", (object?)"exported")));

        IEnumerable<string> Sums(string name, string unit) => Points(name, unit).Select(point => $"{point.GetSumLong()} {Rest(point)}").Order();

        IEnumerable<string> Counts(string name, string unit) => Points(name, unit).Select(point => $"{point.GetHistogramCount()} {Rest(point)}").Order();
    }

    private static List<KeyValuePair<string, object?>> Tags(MetricPoint point)
    {
        var tags = new List<KeyValuePair<string, object?>>();
        foreach (KeyValuePair<string, object?> tag in point.Tags)
            tags.Add(tag);
        return tags;
    }

    private static List<double> Bounds(MetricPoint point)
    {
        var bounds = new List<double>();
        foreach (HistogramBucket bucket in point.GetHistogramBuckets())
            bounds.Add(bucket.ExplicitBound);
        return bounds;
    }

    private static string Rest(MetricPoint point)
    {
        Assert.That(Tags(point), Does.Contain(KeyValuePair.Create("messaging.system", (object?)"queuekit")));
        return string.Join(' ', Tags(point).Where(tag => tag.Key is not ("messaging.system" or "messaging.destination.name")).Select(tag => $"{tag.Key}={tag.Value}").Order());
    }

    private static async Task Until(Func<bool> condition)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            await Task.Yield();
            Assert.That(TimeProvider.System.GetElapsedTime(start), Is.LessThan(s_patience));
        }
    }
}
