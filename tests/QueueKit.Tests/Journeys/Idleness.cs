using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>Whatever the broker runs is counted while it is queued or running: so that virtual time can tell that nothing is left to do. A line in the log tells where a continuation is.</summary>
[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
[System.Diagnostics.CodeAnalysis.SuppressMessage("Reliability", "CA2012:Use ValueTasks correctly", Justification = "The moments between the uses of a value task are what this is about.")]
public class Idleness(Durability durability) : Journey(durability)
{
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private readonly List<(string Line, long Outstanding)> _log = [];

    [Test]
    public async Task WhoAwaitsAValueTaskThatIsCompleteAlreadyIsCounted([Values] bool receive)
    {
        MessageQueue queue = await DeclareFull(1);
        MessageQueue empty = await Declare("empty");
        ValueTask<SendReceipt> sending = queue.SendAsync(Text("2"));
        ValueTask<Delivery> receiving = empty.ReceiveAsync();
        await Send(empty, "a");
        (await Receive(queue)).Ack();
        await Until(() => sending.IsCompleted && receiving.IsCompleted);
        await Idle(queue);

        await AssertCounted(queue, receive ? receiving.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted : sending.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted);
    }

    [Test]
    public async Task AReceiverThatAwaitsAWaitThatIsOverIsCounted()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
        ValueTask<bool> waiting = receiver.WaitToReceiveAsync();
        await Send(queue, "a");
        await Until(() => waiting.IsCompleted);
        await Idle(queue);

        await AssertCounted(queue, waiting.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted);
    }

    [Test]
    public async Task AnAckThatIsAwaitedTooLateIsCounted()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        ValueTask<SettleResult> acking = (await Receive(queue)).AckAsync();
        await Until(() => acking.IsCompleted);
        await Idle(queue);

        await AssertCounted(queue, acking.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted);
    }

    [Test]
    public async Task TheCloseIsCounted([Values] bool consumes)
    {
        await OpenListening();
        MessageQueue queue = await Declare();
        TaskCompletionSource finish = Signal(), started = Signal();
        if (consumes)
        {
            queue.Consume(async (_, _) =>
            {
                started.SetResult();
                await finish.Task;
            });
            await Send(queue, "a");
            await Soon(started.Task);
        }

        Task closing = Broker.CloseAsync().AsTask();
        finish.SetResult();
        await Soon(closing);

        Assert.That(OutstandingAt("Closed"), Is.Positive);
    }

    [Test]
    public async Task ACloseThatRunsOutOfTimeIsCounted()
    {
        await OpenListening();
        MessageQueue queue = await Declare();
        TaskCompletionSource finish = Signal(), started = Signal();
        queue.Consume(async (_, _) =>
        {
            started.SetResult();
            await finish.Task;
        });
        await Send(queue, "a");
        await Soon(started.Task);
        Task closing = Broker.CloseAsync().AsTask();
        await Idle(queue);

        Advance(Minute);
        await Soon(closing);
        finish.SetResult();

        Assert.That(new[] { OutstandingAt("out of time"), OutstandingAt("Closed") }, Is.All.Positive);
    }

    [Test]
    public async Task TheEndOfTheStoreIsCounted()
    {
        OnlyWithAStore();
        await OpenListening();
        MessageQueue queue = await Declare();
        Store.FailNextCommit(written: false);

        Assert.That(async () => await Soon(queue.SendAsync(Text("a"))), Throws.InstanceOf<StoreException>());
        Assert.That(async () => await Soon(Broker.Completion), Throws.InstanceOf<StoreException>());

        Assert.That(OutstandingAt("The store has stopped"), Is.Positive);
    }

    [Test]
    public async Task ADeclarationThatWaitsForADeletionIsCounted()
    {
        OnlyWithAStore();
        await OpenListening();
        await Declare();
        Task<bool> deleting;
        Task<MessageQueue> declaring;
        using (CommitStall stall = Store.StallCommits())
        {
            deleting = Broker.DeleteQueueAsync("orders").AsTask();
            await Soon(stall.Entered);
            lock (_log)
                _log.Clear();
            declaring = Declare();
        }
        await Soon(deleting);
        await Soon(declaring);

        Assert.That(OutstandingAt("declared"), Is.Positive);
    }

    // A continuation that comes when all is over already, and that is looked at while it runs.
    private async Task AssertCounted(MessageQueue queue, Action<Action> onCompleted)
    {
        using ManualResetEventSlim entered = new(), go = new();
        onCompleted(() =>
        {
            entered.Set();
            go.Wait(s_bound);
        });

        Assert.That(entered.Wait(s_bound));
        Assert.That(Broker.Scheduler.Outstanding, Is.EqualTo(1));
        go.Set();
        await Idle(queue);
    }

    private long OutstandingAt(string part)
    {
        lock (_log)
            return _log.Single(entry => entry.Line.Contains(part, StringComparison.Ordinal)).Outstanding;
    }

    private async Task OpenListening()
    {
        MessageBroker? opened = null;
        await OpenAnew(options => options.LoggerFactory = new LogHook(line =>
        {
            lock (_log)
                _log.Add((line, opened?.Scheduler.Outstanding ?? 0));
        }));
        opened = Broker;
    }
}
