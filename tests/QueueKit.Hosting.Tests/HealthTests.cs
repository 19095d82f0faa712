using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using QueueKit.Stores;

namespace QueueKit.Hosting.Tests;

public class HealthTests : HostJourney
{
    [Test]
    public async Task ABrokerThatWorksIsHealthy()
    {
        IHost host = await Open(queueKit => queueKit.MapQueue<Order>("orders", (_, _, _) => default(ValueTask)));
        await Send(host, new Order("latte", 1));

        Assert.That((await Check(host)).Status, Is.EqualTo(HealthStatus.Healthy));
    }

    [Test]
    public async Task ABrokerThatIsNotOpenIsUnhealthy()
    {
        IHost host = await Open();
        await Soon(host.StopAsync());

        await Expect(host, HealthStatus.Unhealthy, "The broker is not open.");
    }

    [Test]
    public async Task AStoreThatHasStoppedIsUnhealthyAndSoIsItsConsumer()
    {
        IHost host = await Open(queueKit => queueKit.MapQueue<Order>("orders", (_, _, _) => default(ValueTask)));
        await Until(() => Queue(host).GetSnapshot().WaitingReceivers == 1);
        Store.FailNextCommit(written: false);
        Assert.That(() => Send(host, new Order("latte", 1)), Throws.TypeOf<StoreException>());
        await Until(() => Consumer(host).State == ConsumerState.Faulted);

        await Expect(host, HealthStatus.Unhealthy, "The store has stopped: ", "The consumer of queue 'orders' has stopped: ");
    }

    [Test]
    public async Task AFlushThatHangsIsUnhealthyAtTheFirstCheck()
    {
        IHost host = await Open();
        using CommitStall stall = Store.StallCommits();
        Task send = Send(host, new Order("latte", 1));
        await Soon(stall.Entered);
        Clock.Advance(31 * Second);

        await Expect(host, HealthStatus.Unhealthy, "The store hangs: a commit has been under way for 00:00:31, longer than 00:00:30.");

        stall.Release();
        await Soon(send);
        Assert.That((await Check(host)).Status, Is.EqualTo(HealthStatus.Healthy));
    }

    [Test]
    public async Task ACommitThatTakesItsTimeIsHealthy()
    {
        IHost host = await Open(health: options => options.StoreHangs = Minute);
        using CommitStall stall = Store.StallCommits();
        Task send = Send(host, new Order("latte", 1));
        await Soon(stall.Entered);
        Clock.Advance(59 * Second);

        Assert.That((await Check(host)).Status, Is.EqualTo(HealthStatus.Healthy));
        stall.Release();
        await Soon(send);
    }

    [Test]
    public async Task AgeAndDepthAndDeadLettersOverTheirThresholdsAreDegraded()
    {
        IHost host = await Open(health: options => (options.Messages, options.DeadLetters) = (2, 0));
        await Send(host, new Order("latte", 1), new Order("latte", 2), new Order("latte", 3), new Order("latte", 4));
        (await Soon(Queue(host).ReceiveAsync())).Reject("no milk");
        await Until(() => Queue(host).GetSnapshot().Counts.DeadLettered == 1);
        Clock.Advance(6 * Minute);

        await Expect(host, HealthStatus.Degraded,
            "Queue 'orders' holds 3 messages, more than 2.", "The oldest message of queue 'orders' has waited for 00:06:00, longer than 00:05:00.", "Queue 'orders.dead' holds 1 dead letters, more than 0.");
    }

    [Test]
    public async Task ThresholdsFromTheConfigurationHoldUnlessTheCodeSaysOtherwise()
    {
        var configuration = new ConfigurationBuilder().AddInMemoryCollection(new Dictionary<string, string?> { ["Health:Messages"] = "0", ["Health:OldestMessage"] = "00:00:10" }).Build();
        IHost host = await Open(queueKit => queueKit.Bind(configuration), health => health.OldestMessage = Minute);
        await Send(host, new Order("latte", 1));
        Clock.Advance(11 * Second);

        HealthReportEntry entry = await Check(host);

        Assert.That(entry.Description, Is.EqualTo("Queue 'orders' holds 1 messages, more than 0."));
    }

    [Test]
    public async Task AConsumerThatIsStuckIsDegraded()
    {
        TaskCompletionSource started = Signal();
        TaskCompletionSource finish = Signal();
        IHost host = await Open(queueKit => queueKit.MapQueue<Order>("orders", async (_, _, _) =>
        {
            started.SetResult();
            await finish.Task;
        }));
        await Send(host, new Order("latte", 1));
        await Soon(started.Task);
        for (int i = 0; i < 66; i++)
            Clock.Advance(10 * Second);

        await Expect(host, HealthStatus.Degraded, "A message of queue 'orders' has been handled for 00:11:00, longer than 00:10:00: its consumer may be stuck.");
        finish.SetResult();
        await Until(() => Queue(host).GetSnapshot().Messages == 0);
    }

    [Test]
    public async Task AnOutageIsDegraded()
    {
        IHost host = await Open(queueKit => queueKit.MapQueue<Order>("orders", (_, _, _) => ValueTask.FromException(new TimeoutException("no answer")), options => options.On<TimeoutException>(FailureOutcome.Outage)));
        await Send(host, new Order("latte", 1));
        await Until(() => Consumer(host) is { IsPaused: true, BusyPlaces: 0 });

        await Expect(host, HealthStatus.Degraded, "The consumer of queue 'orders' pauses because of an outage: no answer");
    }

    private Task<IHost> Open(Action<QueueKitBuilder>? configure = null, Action<QueueKitHealthOptions>? health = null) => Start(queueKit =>
    {
        queueKit.AddQueue("orders");
        configure?.Invoke(queueKit);
    }, services => services.AddHealthChecks().AddQueueKit(health));

    private static async Task<HealthReportEntry> Check(IHost host)
    {
        HealthReport report = await Soon(host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(check => check.Tags.Contains("ready")));
        return report.Entries["queuekit"];
    }

    private static async Task Expect(IHost host, HealthStatus status, params string[] reasons)
    {
        HealthReportEntry entry = await Check(host);
        Assert.That(entry.Status, Is.EqualTo(status), entry.Description);
        foreach (string reason in reasons)
            Assert.That(entry.Description, Does.Contain(reason));
    }
}
