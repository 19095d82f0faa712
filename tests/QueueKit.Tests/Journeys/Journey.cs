using System.Text;
using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>What every journey has: a broker under a virtual clock, on a store that can be told to fail. Each ends with a check of the books of every queue.</summary>
/// <param name="durability">Of the queues that <see cref="Declare"/> declares.</param>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public abstract class Journey(Durability durability)
{
    // A bound that turns a hang into a failure; it times nothing.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(20);

    private protected static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private protected static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);
    private protected static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    private readonly List<MessageBroker> _brokers = [];

    private protected VirtualClock Clock { get; } = new();

    private protected InMemoryMessageStore Store { get; private set; } = new();

    private protected MessageBroker Broker { get; set; } = null!;

    private protected Durability Durability => durability;

    private protected bool IsDurable => durability != Durability.Transient;

    /// <summary>Leaves the transient half of a fixture out of a test about what is stored: such a queue asks no store for anything, and is gone with its process.</summary>
    private protected void OnlyWithAStore()
    {
        if (!IsDurable)
            Assert.Ignore("A transient queue has no store that could refuse, fail or be opened again; the durable half of this fixture runs the test.");
    }

    [SetUp]
    public async Task OpenTheBroker()
    {
        TestSetup.TakeBrokenInvariants();
        Broker = await Open();
    }

    [TearDown]
    public async Task CloseAndAudit()
    {
        foreach (MessageBroker broker in _brokers)
        {
            MessageQueue[] queues = [.. broker.Queues];
            if (!broker.Completion.IsCompleted)
            {
                foreach (MessageQueue queue in queues)
                    await Idle(queue);
            }
            foreach (MessageQueue queue in queues)
                Audit(queue);
            await Soon(broker.DisposeAsync());
            foreach (MessageQueue queue in queues)
                Audit(queue);
        }
        Assert.That(TestSetup.TakeBrokenInvariants(), Is.Empty);
        await AssertEveryRecordBelongsToAQueue();
    }

    private async Task AssertEveryRecordBelongsToAQueue()
    {
        await using IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync();
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Queue), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        HashSet<uint> queues = [.. page.Records.Where(record => record.Key.Kind == StoreKind.Queue).Select(record => record.Key.Queue)];
        Assert.That(page.Records.Select(record => record.Key).Where(key => key.Kind != StoreKind.Delta && !queues.Contains(key.Queue)), Is.Empty);
    }

    /// <summary>Opens a broker on the store of the test.</summary>
    private protected async Task<MessageBroker> Open(Action<MessageBrokerOptions>? configure = null)
    {
        var options = new MessageBrokerOptions { Store = Store, TimeProvider = Clock };
        configure?.Invoke(options);
        MessageBroker broker = await MessageBroker.OpenAsync(options);
        _brokers.Add(broker);
        return broker;
    }

    /// <summary>Opens the broker of the test anew, on another store or with other options.</summary>
    private protected async Task OpenAnew(Action<MessageBrokerOptions> configure, InMemoryMessageStore? store = null)
    {
        await Soon(Broker.DisposeAsync());
        Store = store ?? Store;
        Broker = await Open(configure);
    }

    /// <summary>Closes the broker in good order and opens it again; the queue of that name, as the store has it.</summary>
    private protected async Task<MessageQueue> Reopen(string queue = "orders")
    {
        await Soon(Broker.DisposeAsync());
        Broker = await Open();
        return Broker.GetQueue(queue);
    }

    /// <summary>The process ends and another one opens the store.</summary>
    private protected async Task<MessageQueue> CrashAndReopen(string queue = "orders")
    {
        Store.Crash();
        Broker = await Open();
        return Broker.GetQueue(queue);
    }

    private protected Task<MessageQueue> Declare(QueueOptions? options = null) => Declare("orders", options);

    private protected async Task<MessageQueue> Declare(string name, QueueOptions? options = null)
    {
        options = options is null ? new QueueOptions() : options with { };
        if (options.Durability == Durability.Default)
            options.Durability = durability;
        return await Broker.DeclareQueueAsync(name, options);
    }

    /// <summary>A queue that holds so many messages, and is full of them: "1", "2" and so on.</summary>
    private protected async Task<MessageQueue> DeclareFull(int messages, QueueOptions? options = null, string name = "orders")
    {
        MessageQueue queue = await Declare(name, (options ?? new QueueOptions()) with { MaxMessages = messages });
        for (int i = 1; i <= messages; i++)
            await Send(queue, $"{i}");
        return queue;
    }

    private protected static Message Text(string body) => new(Encoding.UTF8.GetBytes(body));

    private protected static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    private protected static async Task Send(MessageQueue queue, params string[] bodies)
    {
        foreach (string body in bodies)
            Assert.That((await Soon(queue.SendAsync(Text(body)))).Outcome, Is.EqualTo(SendOutcome.Accepted));
    }

    /// <summary>A message that must be there, or come without the clock going on.</summary>
    private protected static async Task<Delivery> Receive(MessageQueue queue) => await Soon(queue.ReceiveAsync());

    /// <summary>Whether a look into the queue finds nothing.</summary>
    private protected static async Task<bool> IsQuiet(MessageQueue queue)
    {
        await Idle(queue);
        if (await queue.ReceiveAsync(TimeSpan.Zero) is not { } delivery)
            return true;
        delivery.Release();
        return false;
    }

    /// <summary>Takes and acks whatever is ready: the bodies in order.</summary>
    private protected static async Task<string[]> Drain(MessageQueue queue)
    {
        var bodies = new List<string>();
        await Idle(queue);
        while (await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
        {
            bodies.Add(Text(delivery));
            Assert.That((await Soon(delivery.AckAsync())), Is.EqualTo(SettleResult.Settled));
            await Idle(queue);
        }
        return [.. bodies];
    }

    /// <summary>Takes whatever is ready, however often a page of it has to be read first.</summary>
    private protected static async Task<Delivery[]> ReceiveWhatIsThere(MessageQueue queue)
    {
        var taken = new List<Delivery>();
        while (await Soon(queue.ReceiveBatchAsync(5_000, TimeSpan.Zero)) is { Count: > 0 } some)
            taken.AddRange(some);
        return [.. taken];
    }

    /// <summary>The dead letters of a queue, as they are handed out; nothing if there never were any.</summary>
    private protected async Task<Delivery[]> DeadLettersOf(MessageQueue queue)
    {
        await Idle(queue);
        if (!Broker.TryGetQueue(queue.Options.DeadLetterQueue ?? queue.Name + ".dead", out MessageQueue? letters))
            return [];
        return await ReceiveWhatIsThere(letters);
    }

    private protected void Advance(TimeSpan by) => Clock.Advance(by);

    /// <summary>Lets the time go by and everything that it sets off come to rest.</summary>
    private protected async Task Advance(MessageQueue queue, TimeSpan by)
    {
        await Idle(queue);
        Clock.Advance(by);
        await Idle(queue);
    }

    /// <summary>Returns when no wake-up, completion or commit of the queue's broker is under way.</summary>
    private protected static async Task Idle(MessageQueue queue)
    {
        long start = TimeProvider.System.GetTimestamp();
        // The test may itself run as the continuation of a completion: the first yield leaves it. What the test sets off
        // beside the broker, a handler that has waited for its signal for example, is on the thread pool and not in the count: so the pool has to be quiet too, and not only for an instant.
        for (int quiet = 0; quiet < 3;)
        {
            await Task.Yield();
            quiet = queue.Conductor.Broker.Scheduler.Outstanding == 0 && ThreadPool.PendingWorkItemCount == 0 ? quiet + 1 : 0;
            if (TimeProvider.System.GetElapsedTime(start) > s_patience)
                Assert.Fail($"The broker does not come to rest: {queue.Conductor.Broker.Scheduler.Outstanding} work items are under way.");
        }
    }

    /// <summary>For what happens beside the broker: in handlers and threads of the test.</summary>
    private protected static async Task Until(Func<bool> condition)
    {
        long start = TimeProvider.System.GetTimestamp();
        while (!condition())
        {
            await Task.Yield();
            if (TimeProvider.System.GetElapsedTime(start) > s_patience)
                Assert.Fail("What the test waits for does not happen.");
        }
    }

    private protected static Task Soon(Task task) => task.WaitAsync(s_patience, TimeProvider.System);

    private protected static Task<T> Soon<T>(Task<T> task) => task.WaitAsync(s_patience, TimeProvider.System);

    private protected static Task Soon(ValueTask task) => Soon(task.AsTask());

    private protected static Task<T> Soon<T>(ValueTask<T> task) => Soon(task.AsTask());

    private protected static TaskCompletionSource Signal() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private protected static TaskCompletionSource<T> Signal<T>() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What the books of a queue must say at any time.</summary>
    private protected static void Audit(MessageQueue queue)
    {
        QueueSnapshot snapshot = queue.GetSnapshot();
        QueueCounts counts = snapshot.Counts;
        Assert.Multiple(() =>
        {
            Assert.That(counts.Recovered + counts.Accepted,
                Is.EqualTo(counts.Acked + counts.DeadLettered + counts.Discarded + counts.Dropped + counts.Purged + snapshot.Messages), $"{queue}: {counts}");
            Assert.That(snapshot.Messages,
                Is.EqualTo(snapshot.Storing.Messages + snapshot.Ready.Messages + snapshot.Delayed.Messages + snapshot.InFlight.Messages + snapshot.Leaving.Messages), $"{queue}: messages by state");
            Assert.That(snapshot.Bytes,
                Is.EqualTo(snapshot.Storing.Bytes + snapshot.Ready.Bytes + snapshot.Delayed.Bytes + snapshot.InFlight.Bytes + snapshot.Leaving.Bytes), $"{queue}: bytes by state");
        });
    }
}
