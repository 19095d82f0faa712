using System.Collections.Concurrent;
using System.Diagnostics;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

[NonParallelizable] // The source of activities is the process's.
public sealed class TelemetryTests : HostJourney, IDisposable
{
    private readonly ConcurrentQueue<Activity> _stopped = new();
    private readonly ActivityListener _listener;

    public TelemetryTests()
    {
        _listener = new ActivityListener
        {
            ShouldListenTo = source => source.Name == MessageBroker.TelemetryName,
            Sample = (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllDataAndRecorded,
            ActivityStopped = _stopped.Enqueue,
        };
        ActivitySource.AddActivityListener(_listener);
    }

    public void Dispose() => _listener.Dispose();

    [Test]
    public async Task AHandlerAtWorkIsLinkedToTheSendAndWhatItSendsAndSettlesIsAPartOfIt()
    {
        var seen = new ConcurrentQueue<Activity?>();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").AddQueue("parcels").MapQueue<Order>("orders", async (order, context, _) =>
        {
            await Task.Yield();
            seen.Enqueue(Activity.Current);
            if (order.Pieces == 1)
                context.Send("parcels", new Parcel("Main Street"));
        }));
        await Send(host, new Order("latte", 1), new Order("latte", 2));
        await Until(() => Named("ack orders").Length == 2);

        Activity[] sends = Named("send orders"), processes = Named("process orders"), acks = Named("ack orders");
        Assert.Multiple(() =>
        {
            Assert.That(processes.Select(process => process.Kind), Is.All.EqualTo(ActivityKind.Consumer));
            Assert.That(processes.Select(process => process.Links.Single().Context.SpanId), Is.EqualTo(sends.Select(send => send.SpanId)));
            Assert.That(processes.Select(process => process.Parent), Is.All.Null);
            Assert.That(processes.Select(process => process.TraceId), Is.Unique);
            Assert.That(seen, Is.EqualTo(processes));
            Assert.That(acks.Select(ack => ack.ParentSpanId), Is.EqualTo(processes.Select(process => process.SpanId)));
            Assert.That(Named("send parcels").Single().ParentSpanId, Is.EqualTo(processes[0].SpanId));
            Assert.That(Named("receive orders"), Is.Empty);
        });
    }

    [Test]
    public async Task AHandlerThatThrowsHasFailed()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders", options => options.MaxAttempts = 1).MapQueue<Order>("orders", (_, _, _) => ValueTask.FromException(new FormatException())));
        await Send(host, new Order("latte", 1));
        await Until(() => Named("nack orders").Length == 1);

        Activity process = Named("process orders").Single();
        Assert.That((process.Status, process.GetTagItem("error.type")), Is.EqualTo((ActivityStatusCode.Error, "System.FormatException")));
        Assert.That(Named("nack orders").Single().ParentSpanId, Is.EqualTo(process.SpanId));
    }

    [Test]
    public async Task AHandlerMayContinueTheTraceOfTheSend()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, _, _) => default(ValueTask), options => options.ContinueTrace = true));
        await Send(host, new Order("latte", 1), new Order("latte", 2));
        await Until(() => Named("ack orders").Length == 2);

        Assert.That(Named("process orders").Select(process => process.ParentSpanId), Is.EqualTo(Named("send orders").Select(send => send.SpanId)));
    }

    [Test]
    public async Task ABatchIsOneProcessLinkedToEachSendAndItsSettlesAreAPartOfIt()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders", options => options.MaxMessages = 10).AddBatchHandler<Order, Halves>("orders", options => (options.BatchSize, options.BatchWait) = (2, Minute)));
        await Send(host, new Order("latte", 1), new Order("latte", 2));
        await Until(() => Named("process orders").Length == 1);

        Activity process = Named("process orders").Single();
        Assert.That(process.GetTagItem("messaging.batch.message_count"), Is.EqualTo(2));
        Assert.That(process.Links.Select(link => link.Context.SpanId), Is.EqualTo(Named("send orders").Select(send => send.SpanId)));
        Assert.That(new[] { Named("ack orders").Single(), Named("reject orders").Single() }.Select(settle => settle.ParentSpanId), Is.All.EqualTo(process.SpanId));
    }

    private Activity[] Named(string name) => [.. _stopped.Where(activity => activity.DisplayName == name)];

    private sealed class Halves : IBatchHandler<Order>
    {
        public ValueTask HandleAsync(MessageBatch<Order> batch, CancellationToken ct)
        {
            batch[1].Outcome = Settlement.Reject("enough");
            return default;
        }
    }
}
