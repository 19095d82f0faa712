using System.Collections.Concurrent;
using System.Text;
using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using QueueKit.Stores;
using QueueKit.Tests;

namespace QueueKit.Hosting.Tests;

/// <summary>What every test has: hosts under a virtual clock, on a store that outlives them. Each ends with a stop that must succeed, and a check of the books of every queue.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public abstract class HostJourney
{
    // A bound that turns a hang into a failure; it times nothing.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(30);

    private protected static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private protected static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly List<IHost> _hosts = [];

    private protected VirtualClock Clock { get; } = new();

    private protected InMemoryMessageStore Store { get; } = new();

    private protected LogLines Log { get; } = new();

    [TearDown]
    public async Task StopAndAudit()
    {
        foreach (IHost host in _hosts)
        {
            if (host.Services.GetService<HostedBroker>() is { IsOpen: true } broker)
            {
                MessageQueue[] queues = [.. broker.Broker.Queues];
                await Soon(host.StopAsync());
                foreach (MessageQueue queue in queues)
                    Audit(queue);
            }
            host.Dispose();
        }
        Assert.That(TestSetup.TakeBrokenInvariants(), Is.Empty);
    }

    /// <summary>A host that has not started: orders in JSON, a queue "orders" of them unless there is another.</summary>
    private protected IHost Build(Action<QueueKitBuilder> configure, Action<IServiceCollection>? services = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddSingleton<TimeProvider>(Clock);
        builder.Logging.AddProvider(Log);
        services?.Invoke(builder.Services);
        builder.Services.AddQueueKit(queueKit =>
        {
            queueKit.Configure(options => options.Store = Store).UseJson(OrderJson.Default);
            configure(queueKit);
        });
        IHost host = builder.Build();
        _hosts.Add(host);
        return host;
    }

    private protected async Task<IHost> Start(Action<QueueKitBuilder> configure, Action<IServiceCollection>? services = null)
    {
        IHost host = Build(configure, services);
        await Soon(host.StartAsync());
        return host;
    }

    private protected static MessageBroker Broker(IHost host) => host.Services.GetRequiredService<MessageBroker>();

    private protected static MessageQueue Queue(IHost host, string name = "orders") => Broker(host).GetQueue(name);

    private protected static HostedConsumer Consumer(IHost host, string queue = "orders") =>
        host.Services.GetRequiredService<HostedBroker>().Consumers.Single(consumer => consumer.QueueName == queue);

    private protected static async Task Send(IHost host, params Order[] orders)
    {
        IQueueSender<Order> sender = host.Services.GetRequiredKeyedService<IMessageSender>("orders").AsSender(OrderJson.Default.Order);
        foreach (Order order in orders)
            Assert.That((await Soon(sender.SendAsync(order))).Outcome, Is.EqualTo(SendOutcome.Accepted));
    }

    private protected static async Task<Delivery> DeadLetter(IHost host, string queue = "orders")
    {
        await Until(() => Queue(host, queue).GetSnapshot().Counts.DeadLettered > 0);
        Delivery dead = await Soon(Queue(host, queue + QueueOptions.DeadLetterSuffix).ReceiveAsync());
        dead.Ack();
        return dead;
    }

    private protected static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    /// <summary>For what happens beside the test, on the threads of the host.</summary>
    private protected static async Task Until(Func<bool> condition, string what = "What the test waits for")
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            await Task.Yield();
            if (TimeProvider.System.GetElapsedTime(start) > s_patience)
                Assert.Fail($"{what} does not happen.");
        }
    }

    /// <summary>Lets the time go by in steps until something has happened.</summary>
    private protected async Task AdvanceUntil(Func<bool> condition, TimeSpan step)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            Clock.Advance(step);
            for (int i = 0; i < 100 && !condition(); i++)
                await Task.Yield();
            if (TimeProvider.System.GetElapsedTime(start) > s_patience)
                Assert.Fail("What the test waits for does not happen.");
        }
    }

    private protected static Task Soon(Task task) => task.WaitAsync(s_patience, TimeProvider.System);

    private protected static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(s_patience, TimeProvider.System);

    private protected static Task<T> Soon<T>(ValueTask<T> task) => Soon(task.AsTask());

    private protected static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private static void Audit(MessageQueue queue)
    {
        QueueSnapshot snapshot = queue.GetSnapshot();
        QueueCounts counts = snapshot.Counts;
        Assert.That(counts.Recovered + counts.Accepted,
            Is.EqualTo(counts.Acked + counts.DeadLettered + counts.Discarded + counts.Dropped + counts.Purged + snapshot.Messages), $"{queue}: {counts}");
    }
}

internal sealed record Order(string Product, int Pieces);

internal sealed record Parcel(string Address);

internal sealed record Unknown(int Value);

[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(Parcel))]
[JsonSerializable(typeof(string))]
internal sealed partial class OrderJson : JsonSerializerContext;

/// <summary>The lines of the log, with their event ids.</summary>
internal sealed class LogLines : ILoggerProvider, ILogger
{
    private readonly ConcurrentQueue<(int Id, string Text)> _lines = new();

    public bool Has(int id) => _lines.Any(line => line.Id == id);

    public ILogger CreateLogger(string categoryName) => this;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _lines.Enqueue((eventId.Id, formatter(state, exception)));

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Dispose() { }
}
