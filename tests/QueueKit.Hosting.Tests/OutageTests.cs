using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Polly;
using Polly.CircuitBreaker;
using Polly.Retry;

namespace QueueKit.Hosting.Tests;

public class OutageTests : HostJourney
{
    private readonly ConcurrentQueue<(int Pieces, int Attempt)> _calls = new();
    private volatile bool _isDown = true;

    [Test]
    public async Task AnOutagePausesTheQueueProbesWithOneMessageAndChargesNone()
    {
        IHost host = await Open(options => options.On<TimeoutException>(FailureOutcome.Outage), concurrency: 3);
        await Send(host, [.. Enumerable.Range(1, 6).Select(i => new Order("latte", i))]);
        await Until(() => Consumer(host) is { IsPaused: true, BusyPlaces: 0 });
        Assert.That(Consumer(host).PauseCause, Is.TypeOf<TimeoutException>());
        int before = _calls.Count;
        Assert.That(before, Is.LessThanOrEqualTo(3));

        await AdvanceUntil(() => _calls.Count == before + 1, Second / 10);
        await Until(() => Consumer(host).BusyPlaces == 0);
        Assert.That((Consumer(host).IsPaused, _calls.Count), Is.EqualTo((true, before + 1)), "one probe, which failed");

        _isDown = false;
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 0, Second);

        QueueCounts counts = Queue(host).GetSnapshot().Counts;
        Assert.That((counts.Acked, counts.Nacked, counts.DeadLettered), Is.EqualTo((6L, 0L, 0L)));
        Assert.That(_calls.Select(call => call.Attempt), Is.All.EqualTo(1));
        Assert.That((Consumer(host).IsPaused, Consumer(host).PauseCause), Is.EqualTo((false, (Exception?)null)));
        Assert.That((Log.Has(120), Log.Has(121), Log.Has(122)), Is.EqualTo((true, true, true)));
    }

    [Test]
    public async Task FailuresInARowOnDifferentMessagesAreAnOutage()
    {
        IHost host = await Open(options => options.Outage.AfterFailures = 4);

        await Send(host, [.. Enumerable.Range(1, 10).Select(i => new Order("latte", i))]);
        await Until(() => Consumer(host) is { IsPaused: true, BusyPlaces: 0 });

        Assert.That((_calls.Count, Queue(host).GetSnapshot().Counts.Nacked), Is.EqualTo((4, 3L)), "the fourth was not charged any more");
        _isDown = false;
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 0, Second);
    }

    [Test]
    public async Task OneBadMessageIsNoOutageHoweverOftenItFails()
    {
        IHost host = await Open(options => options.Outage.AfterFailures = 2, retries: RetryDelay.None);

        await Send(host, new Order("latte", 1));

        await DeadLetter(host);
        Assert.That((_calls.Count, Log.Has(120)), Is.EqualTo((5, false)));
    }

    [Test]
    public async Task ABadMessageThatIsTheProbeIsChargedTheSecondTimeAndDoesNotHoldTheQueue()
    {
        // The outage is over, but the first message fails for reasons of its own.
        IHost host = await Open(options => options.Outage.AfterFailures = 2, fails: order => _isDown || order.Pieces == 1, retries: RetryDelay.Constant(60 * Minute));
        await Send(host, new Order("bad", 1), new Order("latte", 2), new Order("latte", 3));
        await Until(() => Consumer(host).IsPaused);

        _isDown = false;
        await AdvanceUntil(() => Queue(host).GetSnapshot().Counts.Acked == 2, Second);

        Assert.That(Consumer(host).IsPaused, Is.False);
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 0, 60 * Minute);
    }

    [Test]
    public async Task ABrokenCircuitIsAnOutage()
    {
        IHost host = await Open(options => (options.ResiliencePipeline, options.Outage.AfterFailures) = ("oven", null),
            services: services => services.AddResiliencePipeline("oven", (pipeline, _) =>
            {
                pipeline.TimeProvider = Clock;
                pipeline.AddCircuitBreaker(new CircuitBreakerStrategyOptions { MinimumThroughput = 2, FailureRatio = 0.5, BreakDuration = 10 * Second, SamplingDuration = Minute });
            }));

        await Send(host, [.. Enumerable.Range(1, 5).Select(i => new Order("latte", i))]);
        await Until(() => Consumer(host) is { IsPaused: true, BusyPlaces: 0 });
        Assert.That((_calls.Count, Consumer(host).PauseCause), Is.EqualTo((2, Consumer(host).PauseCause)));
        Assert.That(Consumer(host).PauseCause, Is.InstanceOf<BrokenCircuitException>());
        Assert.That(Queue(host).GetSnapshot().Counts.Nacked, Is.EqualTo(2));

        _isDown = false;
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 0, Second);
        Assert.That(Queue(host).GetSnapshot().Counts.Acked, Is.EqualTo(5));
    }

    [Test]
    public async Task APipelineRetriesInAFreshScopeAndForgetsWhatTheLastAttemptSent()
    {
        var scopes = new ConcurrentQueue<IServiceProvider>();
        IHost host = await Start(queueKit => queueKit.AddQueue("parcels").AddQueue("orders").MapQueue<Order>("orders", (_, context, _) =>
        {
            scopes.Enqueue(context.Services);
            context.Send("parcels", new Parcel($"{scopes.Count}"));
            return scopes.Count < 3 ? throw new InvalidOperationException("not yet") : default(ValueTask);
        }, options => options.ResiliencePipeline = "retry"), services => services.AddResiliencePipeline("retry", pipeline =>
            pipeline.AddRetry(new RetryStrategyOptions { MaxRetryAttempts = 5, Delay = TimeSpan.Zero })));

        await Send(host, new Order("latte", 1));
        await Until(() => Queue(host).GetSnapshot().Messages == 0);

        Assert.That(scopes.Distinct().Count(), Is.EqualTo(3));
        Delivery<Parcel> parcel = await Soon(Queue(host, "parcels").AsReceiver(OrderJson.Default.Parcel).ReceiveAsync());
        parcel.Ack();
        Assert.That((parcel.Value.Address, Queue(host, "parcels").GetSnapshot().Counts.Accepted, Queue(host).GetSnapshot().Counts.Nacked), Is.EqualTo(("3", 1L, 0L)));
    }

    private Task<IHost> Open(Action<HandlerOptions> configure, Func<Order, bool>? fails = null, int concurrency = 1, RetryDelay? retries = null, Action<IServiceCollection>? services = null) =>
        Start(queueKit => queueKit
            .AddQueue("orders", options => options.RetryDelay = retries ?? RetryDelay.Constant(Second))
            .MapQueue<Order>("orders", async (order, context, _) =>
            {
                _calls.Enqueue((order.Pieces, context.Attempt));
                await Task.Yield();
                if (fails?.Invoke(order) ?? _isDown)
                    throw new TimeoutException("no answer");
            }, options =>
            {
                options.Concurrency = concurrency;
                configure(options);
            }), services);
}
