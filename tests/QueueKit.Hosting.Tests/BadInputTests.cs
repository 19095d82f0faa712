using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

public class BadInputTests : HostJourney
{
    [Test]
    public Task TwoHandlersForOneQueueAndType() =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders").MapQueue<Order>("orders", (_, _, _) => default(ValueTask)),
            "two handlers for messages of type 'QueueKit.Hosting.Tests.Order'");

    [Test]
    public Task AMissingQueue() =>
        Refuses(queueKit => queueKit.AddHandler<Order, Cook>("ordres"), "takes from queue 'ordres', which the broker does not have. Add it with AddQueue(\"ordres\").");

    [Test]
    public Task AQueueThatIsSpeltInTwoWays() =>
        Refuses(queueKit => queueKit.AddQueue("parcels").AddQueue("orders").AddHandler<Order, Cook>("ordres"), "Add it with AddQueue(\"ordres\"), or take one of those it has: orders, parcels.");

    [Test]
    public Task AHandlerWithoutRegistration() =>
        Refuses(queueKit =>
        {
            queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders");
            queueKit.Services.RemoveAll<Cook>();
        }, "Cook of queue 'orders' is not registered as a service");

    [Test]
    public Task AHandlerWhoseConstructorCannotBeServed() =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Needy>("orders"), "Needy of queue 'orders' cannot be made: nothing is registered for System.Uri (parameter 'oven')");

    [Test]
    public Task ATypeWithoutFormat() =>
        Refuses(queueKit => queueKit.AddQueue("orders").MapQueue<Unknown>("orders", (_, _, _) => default(ValueTask)), "There is no JSON metadata for QueueKit.Hosting.Tests.Unknown");

    [Test]
    public Task AQueueOfATypeWithoutFormat() =>
        Refuses(queueKit => queueKit.AddQueue<Unknown>("orders"), "Queue 'orders': There is no JSON metadata for QueueKit.Hosting.Tests.Unknown");

    [Test]
    public Task NamesAndOptionsOfTheBrokerAreInTheSameListAsAllElse() =>
        Refuses(queueKit => queueKit.AddQueue(" orders").AddQueue("a\nb").Configure(options => options.DrainTimeout = -Second).MapQueue<Order>("ordres", (_, _, _) => default(ValueTask)),
            "The queue's name ' orders' begins or ends with white space: trim it.", "contains a control character", "MessageBrokerOptions.DrainTimeout is -00:00:01; it must lie between zero and 49 days.", "takes from queue 'ordres'");

    [Test]
    public Task ALeaseOfHandlersThatTheQueueDoesNotAllow() =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders", options => options.LeaseDuration = 61 * Minute),
            "Handlers of queue 'orders': LeaseDuration is 01:01:00, longer than the queue's MaxLeaseDuration, which is 01:00:00.");

    [Test]
    public async Task AHealthCheckOfABrokerThatIsNotThere()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders"), services => services.AddHealthChecks().AddQueueKit(broker: "biling"));

        Assert.That(() => host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync(), Throws.InvalidOperationException.With.Message.Contains("broker 'biling', and there is none"));
    }

    [Test]
    public Task ABatchHandlerBesideAnother() =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddBatchHandler<Order, Kitchen>("orders").MapQueue<Parcel>("orders", (_, _, _) => default(ValueTask)),
            "A batch handler must be the only one of its queue");

    [Test]
    public Task AMissingPipeline() =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders", options => options.ResiliencePipeline = "oven"),
            "there is no resilience pipeline 'oven'. Add it with services.AddResiliencePipeline(\"oven\"");

    [Test]
    public Task OptionsOutOfTheirRangeAllAtOnce() =>
        Refuses(queueKit => queueKit
                .AddQueue("orders", options => options.MaxMessages = 0)
                .AddHandler<Order, Cook>("orders", options =>
                {
                    options.Concurrency = 0;
                    options.Outage.AfterFailures = 1;
                }),
            "Queue 'orders': MaxMessages is 0; it must be at least 1",
            "Handlers of queue 'orders': Concurrency is 0; it must lie between 1 and 10,000",
            "Outage.AfterFailures is 1; it must be at least 2");

    [TestCase("QK:Queues:orders:MaxMessages", "many", "QK:Queues:orders:MaxMessages is 'many'; it must be a whole number, at least 1")]
    [TestCase("QK:Queues:orders:MaxMessages", "-1", "Queue 'orders': MaxMessages is -1; it must be at least 1")]
    [TestCase("QK:Queues:orders:Overflow", "Explode", "QK:Queues:orders:Overflow is 'Explode'; it must be one of Backpressure, Reject, DropNewest, DropOldest, Buffer")]
    [TestCase("QK:Queues:orders:LeaseDuration", "soon", "QK:Queues:orders:LeaseDuration is 'soon'; it must be a time such as 00:00:30, 1 ms to 49 days")]
    [TestCase("QK:Queues:orders:LeaseDuration", "30", "QK:Queues:orders:LeaseDuration is '30'; it must be a time such as 00:00:30")]
    [TestCase("QK:Queues:orders:BackpressureTimeout", "5", "QK:Queues:orders:BackpressureTimeout is '5'; it must be a time such as 00:00:30")]
    [TestCase("QK:Queues:orders:RetryDelay", "5", "QK:Queues:orders:RetryDelay is '5'; it must be None, a time such as 00:00:30")]
    [TestCase("QK:Queues:orders:MaxMesages", "5", "QK:Queues:orders:MaxMesages: there is no such option")]
    [TestCase("QK:Queues:orders:RetryDelay", "often", "QK:Queues:orders:RetryDelay is 'often'")]
    [TestCase("QK:Queues:orders:RetryDelay:Jitter", "7", "QK:Queues:orders:RetryDelay: The jitter is a share between 0 and 1")]
    [TestCase("QK:DrainTimeout", "x", "QK:DrainTimeout is 'x'")]
    [TestCase("QK:Stores", "x", "QK:Stores: there is no such option. There are DamagedStore, DrainTimeout, Handlers, Health, MaxLoadedBytes, MaxMessageBytes, Queues, Recurring")]
    [TestCase("QK:Handlers:orders:Concurrency", "x", "QK:Handlers:orders:Concurrency is 'x'; it must be a whole number, 1 to 10,000")]
    [TestCase("QK:Handlers:ordres:Concurrency", "2", "QK:Handlers:ordres: queue 'ordres' has no handler")]
    [TestCase("QK:Queues:orders:MaxAttempts", "5000000000", "QK:Queues:orders:MaxAttempts is '5000000000'; it must be a whole number, at least 1")]
    [TestCase("QK:Queues:orders:Overflow", "Reject, DropOldest", "QK:Queues:orders:Overflow is 'Reject, DropOldest'; it must be one of")]
    [TestCase("QK:Queues", "orders", "QK:Queues is 'orders'; it must be a section of sections, by the names of the queues.")]
    [TestCase("QK:Queues:0", "orders", "QK:Queues:0 is 'orders'; it must be a section with some of")]
    [TestCase("QK:Queues:orders", "5", "QK:Queues:orders is '5'; it must be a section")]
    [TestCase("QK:Handlers:orders", "4", "QK:Handlers:orders is '4'; it must be a section")]
    [TestCase("QK:Handlers:orders:Outage", "none", "QK:Handlers:orders:Outage is 'none'; it must be a section with some of AfterFailures, FirstPause, LongestPause.")]
    [TestCase("QK:Handlers:orders:ContinueTrace", "maybe", "QK:Handlers:orders:ContinueTrace is 'maybe'; it must be true or false.")]
    [TestCase("QK:Health", "good", "QK:Health is 'good'; it must be a section with some of")]
    [TestCase("QK", "on", "QK is 'on'; it must be a section with some of")]
    [TestCase("QK:MaxMessageBytes", "0", "MessageBrokerOptions.MaxMessageBytes is 0; it must lie between 1 byte and 1 GiB.")]
    [TestCase("QK:Queues:orders:RetryDelay:Steps:0", "00:00:01", "QK:Queues:orders:RetryDelay:Steps: there is no such option. There are First, Jitter, Kind, Max.")]
    [TestCase("QK:Health:DeadLetters", "few", "QK:Health:DeadLetters is 'few'; it must be a whole number, at least 0, or \"none\"")]
    [TestCase("QK:Health:DeadLetters", "-1", "Health of the broker: DeadLetters is -1; it must be at least 0")]
    [TestCase("QK:Health:StoreHangs", "0:0", "Health of the broker: StoreHangs is 00:00:00; it must be positive")]
    [TestCase("QK:Health:Depth", "1", "QK:Health:Depth: there is no such option. There are DeadLetters, Handling, Messages, OldestMessage, StoreHangs")]
    [TestCase("QK:Handlers:orders:Outage:FirstPause", "x", "QK:Handlers:orders:Outage:FirstPause is 'x'")]
    public Task ConfigurationThatCannotBeRead(string key, string value, string complaint) =>
        Refuses(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders").Bind(Configuration((key, value)).GetSection("QK")), complaint);

    [Test]
    public async Task ConfigurationThatCanBeReadHolds()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Cook>("orders").Bind(Configuration(
            ("QK:MaxMessageBytes", "1000"),
            ("QK:Queues:orders:MaxMessages", "none"), ("QK:Queues:orders:Overflow", "reject"), ("QK:Queues:orders:RetryDelay:First", "00:00:02"),
            ("QK:Queues:orders:DeadLetterOn", "Rejected, Overflow"), ("QK:Queues:parcels:RetryDelay", "00:00:05"),
            ("QK:Queues:log:RetryDelay:Kind", "List"), ("QK:Queues:log:RetryDelay:Steps:0", "00:00:01"), ("QK:Queues:log:RetryDelay:Steps:1", "00:01:00"),
            ("QK:Handlers:orders:Concurrency", "3")).GetSection("QK")));

        QueueOptions orders = Queue(host).Options;
        Assert.That((orders.MaxMessages, orders.Overflow, orders.RetryDelay, orders.DeadLetterOn),
            Is.EqualTo(((long?)null, OverflowPolicy.Reject, RetryDelay.Exponential(2 * Second), DeadLetterReasons.Rejected | DeadLetterReasons.Overflow)));
        Assert.That(Queue(host, "parcels").Options.RetryDelay, Is.EqualTo(RetryDelay.Constant(5 * Second)));
        Assert.That(Queue(host, "log").Options.RetryDelay, Is.EqualTo(RetryDelay.List(Second, Minute)));
        Assert.That(() => Queue(host).SendAsync(new Message(new byte[1_001])), Throws.TypeOf<MessageTooLargeException>());
        await Until(() => Queue(host).GetSnapshot().WaitingReceivers == 3);
    }

    [Test]
    public async Task TheConfigurationInTheReadmeCanBeReadAndHolds()
    {
        string root = TestContext.CurrentContext.TestDirectory;
        while (!File.Exists(Path.Combine(root, "QueueKit.sln")))
            root = Path.GetDirectoryName(root)!;
        string readme = await File.ReadAllTextAsync(Path.Combine(root, "src", "QueueKit.Hosting", "README.md"));
        string json = readme.Split("```json")[1].Split("```")[0];
        IConfiguration configuration = new ConfigurationBuilder().AddJsonStream(new MemoryStream(Encoding.UTF8.GetBytes(json))).Build();

        IHost host = await Start(queueKit => queueKit.AddHandler<Order, Cook>("orders").AddRecurring("report", "0 6 * * *", "orders", _ => new Order("report", 1)).Bind(configuration.GetSection("QueueKit")));

        Assert.That((Queue(host).Options.Overflow, Queue(host, "log").Options.MaxAttempts), Is.EqualTo((OverflowPolicy.Reject, (int?)null)));
        await Until(() => Queue(host).GetSnapshot().WaitingReceivers == 4);
    }

    private static IConfiguration Configuration(params (string Key, string? Value)[] values) =>
        new ConfigurationBuilder().AddInMemoryCollection(values.ToDictionary(pair => pair.Key, pair => pair.Value)).Build();

    private async Task Refuses(Action<QueueKitBuilder> configure, params string[] complaints)
    {
        IHost host = Build(configure);

        string message = "";
        try
        {
            await Soon(host.StartAsync());
        }
        catch (QueueKitConfigurationException error)
        {
            message = error.Message;
        }

        foreach (string complaint in complaints)
            Assert.That(message, Does.Contain(complaint));
        Assert.That(host.Services.GetRequiredService<HostedBroker>().IsOpen, Is.False, "no store is opened");
    }

    private sealed class Cook : IMessageHandler<Order>
    {
        public ValueTask<Settlement> HandleAsync(Order message, MessageContext context, CancellationToken ct) => new(Settlement.Ack);
    }

    private sealed class Needy(Uri oven) : IMessageHandler<Order>
    {
        public ValueTask<Settlement> HandleAsync(Order message, MessageContext context, CancellationToken ct) => new(Settlement.Reject(oven.ToString()));
    }

    private sealed class Kitchen : IBatchHandler<Order>
    {
        public ValueTask HandleAsync(MessageBatch<Order> batch, CancellationToken ct) => default;
    }
}
