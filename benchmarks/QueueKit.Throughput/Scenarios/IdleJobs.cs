using System.Diagnostics;
using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The part of <see cref="IdleScenario"/> that runs in processes of its own.</summary>
internal static class IdleJobs
{
    /// <summary>Names without a common beginning are not shorter in any store.</summary>
    public static string NameOf(int queue) => string.Create(CultureInfo.InvariantCulture, $"tenant-{queue:000000}.orders");

    /// <summary>Declares queues in a store, in a folder that is empty. Arguments: engine, folder, queues.</summary>
    public static async Task DeclareAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, int queues) = Read(arguments);
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        long start = Stopwatch.GetTimestamp();
        await DeclareAsync(broker, queues);
        ChildProcess.Report("seconds", Stopwatch.GetElapsedTime(start).TotalSeconds);
    }

    /// <summary>Opens that store and looks what its queues cost. Arguments: engine, folder, queues, folder of an empty store.</summary>
    public static async Task OpenAsync(string[] arguments)
    {
        (DurableEngine engine, string folder, int queues) = Read(arguments);
        // Once before, so that the code of all this, and what an engine keeps for good, is there on both sides.
        ProcessState before = default;
        TimeSpan cpuBefore = default;
        for (int i = 0; i < 2; i++)
        {
            await using MessageBroker empty = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(arguments[3]) });
            await UseAsync(empty, await empty.DeclareQueueAsync("only"));
            cpuBefore = await IdleCpuAsync();
            before = ProcessState.Look();
        }

        long start = Stopwatch.GetTimestamp();
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) });
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Round.Expect(queues, broker.Queues.Count, "queues found");
        await UseAsync(broker, broker.GetQueue(NameOf(queues / 2)));
        Report(seconds, queues, before, cpuBefore, await IdleCpuAsync());
        GC.KeepAlive(broker);
    }

    /// <summary>The same for transient queues, which have to be declared. Argument: queues.</summary>
    public static async Task TransientAsync(string[] arguments)
    {
        int queues = int.Parse(arguments[0], CultureInfo.InvariantCulture);
        await using MessageBroker broker = await MessageBroker.OpenAsync();
        await UseAsync(broker, await broker.DeclareQueueAsync("only"));
        TimeSpan cpuBefore = await IdleCpuAsync();
        ProcessState before = ProcessState.Look();
        long start = Stopwatch.GetTimestamp();
        await DeclareAsync(broker, queues);
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        Report(seconds, queues, before, cpuBefore, await IdleCpuAsync());
        GC.KeepAlive(broker);
    }

    private static void Report(double seconds, int queues, ProcessState before, TimeSpan cpuBefore, TimeSpan cpu)
    {
        ProcessState after = ProcessState.Look();
        ChildProcess.Report("seconds", seconds);
        ChildProcess.Report("bytes", (after.MemoryBytes - before.MemoryBytes) / queues);
        ChildProcess.Report("threads", after.Threads - before.Threads);
        ChildProcess.Report("handles", after.Handles - before.Handles);
        ChildProcess.Report("cpu", cpu.TotalSeconds);
        ChildProcess.Report("cpu before", cpuBefore.TotalSeconds);
    }

    // Many at once, as an application would: a declaration waits for its commit.
    private static Task DeclareAsync(MessageBroker broker, int queues) => Parallel.ForEachAsync(Enumerable.Range(0, queues), new ParallelOptions { MaxDegreeOfParallelism = 1024 },
        async (queue, ct) => await broker.DeclareQueueAsync(NameOf(queue), null, ct));

    private static async Task UseAsync(MessageBroker broker, MessageQueue queue)
    {
        await queue.SendAsync(new Message(new byte[100]));
        await (await queue.ReceiveAsync()).AckAsync();
        Round.Expect(0, broker.GetQueue(queue.Name).GetSnapshot().Messages, "messages left");
    }

    // What the process does in two seconds in which nobody asks anything of it, after the store has had time to come to rest.
    private static async Task<TimeSpan> IdleCpuAsync()
    {
        await Task.Delay(TimeSpan.FromSeconds(3));
        GC.Collect();
        await Task.Delay(TimeSpan.FromMilliseconds(200));
        TimeSpan before = Environment.CpuUsage.TotalTime;
        await Task.Delay(TimeSpan.FromSeconds(2));
        return Environment.CpuUsage.TotalTime - before;
    }

    private static (DurableEngine Engine, string Folder, int Queues) Read(string[] arguments) =>
        (DurableEngine.All.First(engine => engine.Name == arguments[0]), arguments[1], int.Parse(arguments[2], CultureInfo.InvariantCulture));
}
