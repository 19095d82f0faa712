using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

public class BatchTests : HostJourney
{
    private readonly Kitchen _kitchen = new();

    [Test]
    public async Task ABatchHoldsWhatIsThereUpToItsSize()
    {
        IHost host = await Open(options => options.BatchSize = 3, started: false);
        for (int i = 1; i <= 7; i++)
            await Send(host, new Order("latte", i));
        Queue(host).Resume(QueueFlow.Receiving);

        await Until(() => Queue(host).GetSnapshot().Messages == 0);

        Assert.That(_kitchen.Batches.SelectMany(batch => batch), Is.EqualTo(Enumerable.Range(1, 7)));
        Assert.That(_kitchen.Batches.Select(batch => batch.Length), Is.All.LessThanOrEqualTo(3));
    }

    [Test]
    public async Task ABatchThatIsNotFullWaitsForMoreAndNotLonger()
    {
        IHost host = await Open(options => (options.BatchSize, options.BatchWait) = (10, 5 * Second));
        await Send(host, new Order("latte", 1));
        await Until(() => Queue(host).GetSnapshot().InFlight.Messages == 1);
        await Send(host, new Order("latte", 2));
        await Until(() => Queue(host).GetSnapshot().InFlight.Messages == 2);
        Assert.That(_kitchen.Batches, Is.Empty);

        await AdvanceUntil(() => _kitchen.Batches.Count == 1, Second);

        Assert.That(_kitchen.Batches.Single(), Is.EqualTo([1, 2]));
        await Until(() => Queue(host).GetSnapshot().Messages == 0);
    }

    [Test]
    public async Task EachItemHasItsOutcomeAndSendsAreCommittedWithThem()
    {
        _kitchen.Handle = batch =>
        {
            foreach (BatchItem<Order> item in batch)
            {
                if (item.Value.Pieces == 2)
                    item.Outcome = Settlement.Reject("no milk");
                if (item.Value.Pieces == 3 && item.Attempt == 1)
                    item.Outcome = Settlement.Nack(Minute);
            }
            batch.Send("parcels", new Parcel($"{batch.Count}"));
        };
        IHost host = await Open(options => options.BatchSize = 10, started: false);
        await Send(host, new Order("a", 1), new Order("a", 2), new Order("a", 3));
        await Soon(Queue(host).SendAsync(new Message("no order"u8.ToArray())));
        Queue(host).Resume(QueueFlow.Receiving);

        await Until(() => Queue(host).GetSnapshot().Counts.DeadLettered == 2);
        await Until(() => Queue(host).GetSnapshot() is { Delayed.Messages: 1, Messages: 1 });

        Assert.That(Queue(host).GetSnapshot().Counts.Acked, Is.EqualTo(1));
        Assert.That(Queue(host, "parcels").GetSnapshot().Messages, Is.EqualTo(_kitchen.Batches.Count));
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 0, Minute);
    }

    [Test]
    public async Task ABatchWhoseHandlerThrowsIsTriedAgainWhole()
    {
        int calls = 0;
        _kitchen.Handle = batch =>
        {
            batch.Send("parcels", new Parcel("too early"));
            if (Interlocked.Increment(ref calls) == 1)
                throw new InvalidOperationException("no gas");
        };
        IHost host = await Open(options => options.BatchSize = 2, started: false);
        await Send(host, new Order("a", 1), new Order("a", 2));
        Queue(host).Resume(QueueFlow.Receiving);

        await Until(() => Queue(host).GetSnapshot().Counts.Acked == 2);

        Assert.That(Queue(host).GetSnapshot().Counts.Nacked, Is.GreaterThanOrEqualTo(1));
        Assert.That(Queue(host, "parcels").GetSnapshot().Messages, Is.EqualTo(_kitchen.Batches.Count - 1));
    }

    [Test]
    public async Task ABatchWhoseLeasesAreLostSendsNothing()
    {
        int calls = 0;
        _kitchen.Handle = batch =>
        {
            batch.Send("parcels", new Parcel($"{++calls}"));
            if (calls > 1)
                return;
            MessageQueue queue = batch.Services.GetRequiredKeyedService<MessageQueue>("orders");
            Clock.Advance(11 * Minute);
            Until(() => queue.GetSnapshot().Counts.LeasesLost == 1).Wait(TimeSpan.FromSeconds(30));
        };
        IHost host = await Open(options => options.BatchSize = 2);

        await Send(host, new Order("a", 1));
        await AdvanceUntil(() => Queue(host).GetSnapshot().Counts.Acked == 1, Second);

        Assert.That((calls, Queue(host, "parcels").GetSnapshot().Messages), Is.EqualTo((2, 1L)));
    }

    [Test]
    public async Task AStopReleasesWhatABatchHasGatheredAndNotStarted()
    {
        IHost host = await Open(options => (options.BatchSize, options.BatchWait) = (10, Minute));
        await Send(host, new Order("a", 1));
        await Until(() => Queue(host).GetSnapshot().InFlight.Messages == 1);
        MessageQueue queue = Queue(host);

        await Soon(host.StopAsync());

        Assert.That((_kitchen.Batches, queue.GetSnapshot().Messages, queue.GetSnapshot().Counts.Nacked), Is.EqualTo((_kitchen.Batches, 1L, 0L)));
        Assert.That(_kitchen.Batches, Is.Empty);
    }

    private async Task<IHost> Open(Action<HandlerOptions> configure, bool started = true)
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("parcels")
            .AddQueue("orders", options => (options.RetryDelay, options.MaxLeaseDuration) = (RetryDelay.None, 10 * Minute))
            .AddBatchHandler<Order, Kitchen>("orders", configure), services =>
            {
                services.AddSingleton(_kitchen);
                if (!started)
                    services.AddHostedService<PausesOrders>();
            });
        return host;
    }

    // Started before the consumers: they find the queue paused.
    private sealed class PausesOrders(HostedBroker broker) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken)
        {
            broker.Broker.GetQueue("orders").Pause(QueueFlow.Receiving);
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }

    private sealed class Kitchen : IBatchHandler<Order>
    {
        public ConcurrentQueue<int[]> Batches { get; } = new();

        public Action<MessageBatch<Order>>? Handle { get; set; }

        public async ValueTask HandleAsync(MessageBatch<Order> batch, CancellationToken ct)
        {
            await Task.Yield();
            Batches.Enqueue([.. batch.Select(item => item.Value.Pieces)]);
            Handle?.Invoke(batch);
        }
    }
}
