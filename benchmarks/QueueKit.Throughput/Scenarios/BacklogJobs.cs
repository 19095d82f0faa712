using System.Diagnostics;
using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The part of <see cref="BacklogScenario"/> that runs in processes of its own. Arguments of each job: engine, folder, messages.</summary>
internal static class BacklogJobs
{
    private const string Queue = "backlog";
    private const int Batch = 2_000, Senders = 4, Receivers = 4, MostReceived = 512;
    // What an engine has filled its buffers and caches with is its own, backlog or not.
    private const int WarmUpMessages = 400_000;

    private static readonly byte[] s_body = new byte[100];

    /// <summary>Sends a backlog and is killed with it, or closes in good order if a fourth argument says "close". Finds what memory it took.</summary>
    public static async Task FillAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, long messages) = Read(arguments);
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        MessageQueue queue = await DeclareAsync(broker);
        await SendAsync(queue, WarmUpMessages);
        await DrainAsync(queue, WarmUpMessages);
        await Task.Delay(TimeSpan.FromSeconds(3));
        double before = ProcessState.Look().MemoryBytes;

        double peak = await WatchAsync(async () => await SendAsync(queue, messages));
        Round.Expect(messages, queue.GetSnapshot().Messages, "messages in the backlog");
        await Task.Delay(TimeSpan.FromSeconds(3));
        ChildProcess.Report("memory", ProcessState.Look().MemoryBytes - before);
        ChildProcess.Report("memory peak", peak - before);
        if (arguments is [_, _, _, "close"])
            await broker.CloseAsync();
        else
            await ChildProcess.WaitToBeKilledAsync();
    }

    /// <summary>Delivers the backlog that a closed store has; finds the rate, and the memory it took.</summary>
    public static async Task DrainAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, long messages) = Read(arguments);
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        MessageQueue queue = broker.GetQueue(Queue);
        // The code, and the engine's caches, are warm on both sides.
        await DrainAsync(queue, 20_000);
        double before = ProcessState.Look().MemoryBytes, seconds = 0;
        double peak = await WatchAsync(async () => seconds = await DrainAsync(queue, messages - 20_000));
        Round.Expect(0, queue.GetSnapshot().Messages, "messages left");
        ChildProcess.Report("rate", (messages - 20_000) / seconds);
        ChildProcess.Report("memory peak", peak - before);
    }

    /// <summary>Delivers what is sent meanwhile, so that the queue is empty but for what is on the way.</summary>
    public static async Task FlowAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, long messages) = Read(arguments);
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        MessageQueue queue = await broker.DeclareQueueAsync(Queue, new QueueOptions { MaxMessages = Batch * Senders * 2 });
        await Task.WhenAll(SendAsync(queue, 100_000), DrainAsync(queue, 100_000));
        long start = Stopwatch.GetTimestamp();
        await Task.WhenAll(SendAsync(queue, messages), DrainAsync(queue, messages));
        ChildProcess.Report("rate", messages / Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>Opens an empty store, in a folder that is the fourth argument, and the one with the backlog; finds how long each took.</summary>
    public static async Task OpenAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, long messages) = Read(arguments);
        // The first opening compiles.
        for (int i = 0; i < 3; i++)
        {
            await using (MessageBroker empty = await TimeAsync(engine, arguments[3], "empty"))
                await DeclareAsync(empty);
        }
        await using MessageBroker broker = await TimeAsync(engine, folder, "backlog");
        Round.Expect(messages, broker.GetQueue(Queue).GetSnapshot().Messages, "messages found");
    }

    /// <summary>A queue of which memory holds the beginning.</summary>
    public static ValueTask<MessageQueue> DeclareAsync(MessageBroker broker) => broker.DeclareQueueAsync(Queue, new QueueOptions { Overflow = OverflowPolicy.Buffer });

    /// <summary>Sends so many messages, confirmed, a batch at a time by each of a few senders.</summary>
    public static Task SendAsync(MessageQueue queue, long messages)
    {
        long left = messages;
        return Task.WhenAll(Enumerable.Range(0, Senders).Select(_ => Task.Run(async () =>
        {
            var batch = new Message[Batch];
            while (Interlocked.Add(ref left, -Batch) is var rest && rest > -Batch)
            {
                int count = (int)Math.Min(Batch, rest + Batch);
                for (int i = 0; i < count; i++)
                    batch[i] = new Message(s_body);
                await queue.SendBatchAsync(batch.AsMemory(0, count));
            }
        })));
    }

    /// <summary>Takes and acks so many messages; returns the seconds until the last of the acks is committed.</summary>
    public static async Task<double> DrainAsync(MessageQueue queue, long messages)
    {
        long left = messages;
        long start = Stopwatch.GetTimestamp();
        Task[] receivers = [.. Enumerable.Range(0, Receivers).Select(_ => Task.Run(async () =>
        {
            // Claimed before it is received, so that all together take exactly so many.
            while (Interlocked.Add(ref left, -MostReceived) is var rest && rest > -MostReceived)
            {
                for (int claimed = (int)Math.Min(MostReceived, rest + MostReceived); claimed > 0;)
                {
                    IReadOnlyList<Delivery> deliveries = await queue.ReceiveBatchAsync(claimed, TimeSpan.FromMilliseconds(100));
                    claimed -= deliveries.Count;
                    for (int i = 0; i < deliveries.Count; i++)
                    {
                        // The last of a batch waits for all before it: what is acked and not committed stays within bounds.
                        if (i == deliveries.Count - 1)
                            await deliveries[i].AckAsync();
                        else
                            deliveries[i].Ack();
                    }
                }
            }
        }))];
        await Task.WhenAll(receivers);
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    private static async Task<MessageBroker> TimeAsync(DurableEngine engine, string folder, string name)
    {
        GC.Collect();
        long start = Stopwatch.GetTimestamp();
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        ChildProcess.Report(name, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        return broker;
    }

    // The most memory while something is done.
    private static async Task<double> WatchAsync(Func<Task> work)
    {
        Task task = work();
        double peak = 0;
        while (!task.IsCompleted)
        {
            await Task.WhenAny(task, Task.Delay(TimeSpan.FromMilliseconds(100)));
            peak = Math.Max(peak, ProcessState.MemoryNow());
        }
        await task;
        return peak;
    }

    private static (DurableEngine Engine, string Folder, long Messages) Read(string[] arguments) =>
        (DurableEngine.All.First(engine => engine.Name == arguments[0]), arguments[1], long.Parse(arguments[2], CultureInfo.InvariantCulture));
}
