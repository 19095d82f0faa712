using System.Diagnostics;
using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The part of <see cref="GrowthScenario"/> that runs in a process of its own.</summary>
internal static class GrowthJobs
{
    private static readonly TimeSpan s_still = TimeSpan.FromSeconds(4), s_longest = TimeSpan.FromSeconds(60);

    /// <summary>Sends a backlog and takes all of it; or, if the fourth argument says "stuck", lets as many come and go behind one that stays. Finds the bytes on the disk. Arguments: engine, folder, messages.</summary>
    public static async Task RunAsync(string[] arguments)
    {
        DurableEngine engine = DurableEngine.All.First(engine => engine.Name == arguments[0]);
        string folder = arguments[1];
        long messages = long.Parse(arguments[2], CultureInfo.InvariantCulture);
        bool isStuck = arguments[3] == "stuck";
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) }))
        {
            MessageQueue queue = await BacklogJobs.DeclareAsync(broker);
            Delivery? stuck = null;
            if (isStuck)
            {
                await queue.SendAsync(new Message(new byte[100]));
                stuck = await queue.ReceiveAsync();
                stuck.ExtendLease(TimeSpan.FromHours(1));
            }
            double peak = await WatchAsync(folder, async () =>
            {
                if (isStuck)
                {
                    for (long left = messages; left > 0; left -= 10_000)
                    {
                        await BacklogJobs.SendAsync(queue, 10_000);
                        await BacklogJobs.DrainAsync(queue, 10_000);
                    }
                    return;
                }
                await BacklogJobs.SendAsync(queue, messages);
                ChildProcess.Report("full", ScratchFolder.BytesOf(folder));
                await BacklogJobs.DrainAsync(queue, messages);
            });
            Round.Expect(isStuck ? 1 : 0, queue.GetSnapshot().Messages, "messages left");
            ChildProcess.Report("peak", peak);
            ChildProcess.Report("still", await StillAsync(folder));
            GC.KeepAlive(stuck);
        }
        await using (await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = engine.Open(folder) })) { }
        ChildProcess.Report("opened", ScratchFolder.BytesOf(folder));
    }

    private static async Task<double> WatchAsync(string folder, Func<Task> work)
    {
        Task task = work();
        double peak = 0;
        while (!task.IsCompleted)
        {
            await Task.WhenAny(task, Task.Delay(TimeSpan.FromMilliseconds(100)));
            peak = Math.Max(peak, ScratchFolder.BytesOf(folder));
        }
        await task;
        return peak;
    }

    // The store gives space back when it is idle: the size once it has not changed for a while.
    private static async Task<double> StillAsync(string folder)
    {
        double size = ScratchFolder.BytesOf(folder);
        long start = Stopwatch.GetTimestamp();
        for (long since = start; Stopwatch.GetElapsedTime(since) < s_still && Stopwatch.GetElapsedTime(start) < s_longest;)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(200));
            if (ScratchFolder.BytesOf(folder) is var now && now != size)
                (size, since) = (now, Stopwatch.GetTimestamp());
        }
        return size;
    }
}
