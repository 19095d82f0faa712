using System.Diagnostics;
using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Flushed queues on a store, beside a bare loop that commits groups with the same engine: sends, whole trips, the latency of one send, and opening a long backlog.</summary>
internal sealed class DurableScenario
{
    private const int Backlog = 1_000_000;

    private const int SmallBody = 100, LargeBody = 1024;

    private static readonly List<string> s_folders = [];

    private readonly DurableEngine _engine;
    private readonly byte[] _body;
    private readonly string _suffix;
    private readonly Lazy<Task<(string Clean, string Killed)>> _backlog;

    private DurableScenario(DurableEngine engine, int body)
    {
        _engine = engine;
        _body = new byte[body];
        _suffix = body == SmallBody ? "" : $", {body:N0} B";
        _backlog = new(MakeBacklogAsync);
    }

    /// <summary>Those of one store, or of all; with bodies of one size, or of two.</summary>
    public static IEnumerable<Comparison> Comparisons(string? store, int? body) =>
        DurableEngine.All.Where(engine => store is null || engine.Name == store).SelectMany(engine => body is { } bytes
            ? new DurableScenario(engine, bytes).Comparisons()
            : [.. new DurableScenario(engine, SmallBody).Comparisons(), .. new DurableScenario(engine, LargeBody).Flows([256, 2048])]);

    private IEnumerable<Comparison> Comparisons()
    {
        foreach (Comparison flow in Flows([1, 16, 256, 2048]))
            yield return flow;
        yield return Compare("latency of one send", 1,
            new Contender("one insert at a time into the bare loop: the median", LatencyOfBareAsync),
            new Contender("one SendAsync at a time: the median", LatencyOfSendAsync)) with { TargetRatio = 1 / 1.3 };
        yield return Compare("log: one append and fdatasync at a time", 1,
            new Contender("an append of as many bytes to a file and an fdatasync, for scale", AppendAsync),
            new Contender("one SendAsync at a time", messages => SendAsync(messages, 1))) with { TargetRatio = null };
        yield return Opening("open a million, closed in good order", 0.2, OpenCleanAsync);
        yield return Opening("open a million, killed", 1.2, OpenKilledAsync);
    }

    private IEnumerable<Comparison> Flows(int[] callers)
    {
        foreach (int tasks in callers)
        {
            yield return Compare($"send {tasks} tasks", tasks,
                new Contender($"a bare loop that inserts groups into {_engine.Title}, one transaction and one flush each", messages => BareAsync(messages, tasks, trip: false)),
                new Contender($"SendAsync to a flushed queue on {_engine.Title}", messages => SendAsync(messages, tasks)));
        }
        foreach (int tasks in callers)
        {
            yield return Compare($"trip {tasks} tasks", tasks,
                new Contender("the same loop, with an insert and then a delete for each document", messages => BareAsync(messages, tasks, trip: true)),
                new Contender("SendAsync, ReceiveAsync, AckAsync, all awaited", messages => TripAsync(messages, tasks)));
        }
    }

    /// <summary>Deletes what the scenarios have left on the disk.</summary>
    public static void CleanUp()
    {
        foreach (string folder in s_folders)
            Directory.Delete(folder, recursive: true);
        s_folders.Clear();
    }

    private Comparison Compare(string variant, int tasks, Contender reference, Contender queue) => new("durable", $"{_engine.Name} {variant}{_suffix}", reference, queue)
    {
        Multiple = tasks,
        RoundSeconds = 0.4,
        // A round of one task is a few hundred flushes.
        MaxMessages = Math.Max(tasks * 8, Math.Min(tasks * 400, 32_768)),
        // Each opens two stores.
        WarmUpRounds = 10,
        TargetRatio = 0.8,
    };

    private async Task<Round> BareAsync(long messages, int tasks, bool trip)
    {
        using var folder = new TemporaryFolder();
        using BareCommits bare = _engine.OpenBare(folder.Path);
        Round round = await Round.MeasureAsync(messages, () => RunAsync(messages, tasks, async () =>
        {
            long number = await bare.InsertAsync(_body);
            if (trip)
                await bare.DeleteAsync(number);
        }));
        Round.Expect(messages * (trip ? 2 : 1), bare.Operations, "operations confirmed");
        return round with { MeanBatch = (double)bare.Operations / bare.Commits };
    }

    private async Task<Round> SendAsync(long messages, int tasks)
    {
        using var folder = new TemporaryFolder();
        var store = new CountingStoreProvider(_engine.Open(folder.Path));
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        MessageQueue queue = await DeclareAsync(broker);
        store.Reset();
        Round round = await Round.MeasureAsync(messages, () => RunAsync(messages, tasks, async () => await queue.SendAsync(new Message(_body))));
        Round.Expect(messages, store.Messages, "messages stored");
        return round with { MeanBatch = (double)store.Messages / store.Commits };
    }

    private async Task<Round> TripAsync(long messages, int tasks)
    {
        using var folder = new TemporaryFolder();
        var store = new CountingStoreProvider(_engine.Open(folder.Path));
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        MessageQueue queue = await DeclareAsync(broker);
        store.Reset();
        Round round = await Round.MeasureAsync(messages, () => RunAsync(messages, tasks, async () =>
        {
            await queue.SendAsync(new Message(_body));
            await (await queue.ReceiveAsync()).AckAsync();
        }));
        Round.Expect(0, queue.GetSnapshot().Messages, "messages left");
        return round with { MeanBatch = (double)store.Operations / store.AllCommits };
    }

    private async Task<Round> LatencyOfBareAsync(long messages)
    {
        using var folder = new TemporaryFolder();
        using BareCommits bare = _engine.OpenBare(folder.Path);
        return await MedianAsync(messages, async () => await bare.InsertAsync(_body));
    }

    // What the disk itself takes: a file that grows by a body for each flush.
    private async Task<Round> AppendAsync(long messages)
    {
        using var folder = new TemporaryFolder();
        using var file = new FileStream(Path.Combine(folder.Path, "log"), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        return await Round.MeasureAsync(messages, () => Task.Run(() =>
        {
            for (long i = 0; i < messages; i++)
            {
                file.Write(_body);
                RandomAccess.FlushToDisk(file.SafeFileHandle);
            }
        }));
    }

    private async Task<Round> LatencyOfSendAsync(long messages)
    {
        using var folder = new TemporaryFolder();
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _engine.Open(folder.Path) });
        MessageQueue queue = await DeclareAsync(broker);
        return await MedianAsync(messages, async () => await queue.SendAsync(new Message(_body)));
    }

    // A round that lasts as long as if every message had taken the median.
    private static async Task<Round> MedianAsync(long messages, Func<Task> one)
    {
        double[] seconds = new double[messages];
        Round round = await Round.MeasureAsync(messages, async () =>
        {
            for (long i = 0; i < messages; i++)
            {
                long start = Stopwatch.GetTimestamp();
                await one();
                seconds[i] = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }
        });
        Array.Sort(seconds);
        return round with { Seconds = seconds[messages / 2] * messages };
    }

    private Comparison Opening(string variant, double seconds, Func<long, Task<Round>> open) => new("durable", $"{_engine.Name} {variant}", new Contender("opening an empty store", OpenEmptyAsync), new Contender("opening that backlog", open))
    {
        Multiple = 1,
        RoundSeconds = 0.1,
        MaxMessages = 1,
        WarmUpRounds = 3,
        TargetRatio = 0.5,
        Allowance = TimeSpan.FromSeconds(seconds),
    };

    private async Task<Round> OpenEmptyAsync(long times)
    {
        using var folder = new TemporaryFolder();
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _engine.Open(folder.Path) }))
            await DeclareAsync(broker);
        return await OpenAsync(folder.Path, 0);
    }

    // It is closed in good order again afterwards, so the next round finds the same.
    private async Task<Round> OpenCleanAsync(long times) => await OpenAsync((await _backlog.Value).Clean, Backlog);

    private async Task<Round> OpenKilledAsync(long times)
    {
        using var folder = new TemporaryFolder();
        Copy((await _backlog.Value).Killed, folder.Path);
        return await OpenAsync(folder.Path, Backlog);
    }

    private async Task<Round> OpenAsync(string folder, long messages)
    {
        MessageBroker? broker = null;
        Round round = await Round.MeasureAsync(1, async () => broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _engine.Open(folder) }));
        await using (broker)
            Round.Expect(messages, broker!.GetQueue("durable").GetSnapshot().Messages, "messages found");
        return round;
    }

    // A process that is killed leaves the files as they are at that moment: a copy of them while the store is open is the same.
    private async Task<(string Clean, string Killed)> MakeBacklogAsync()
    {
        string clean = Directory.CreateTempSubdirectory("queuekit-backlog-").FullName, killed = Directory.CreateTempSubdirectory("queuekit-killed-").FullName;
        s_folders.AddRange([clean, killed]);
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _engine.OpenStill(clean) }))
        {
            MessageQueue queue = await broker.DeclareQueueAsync("durable", new QueueOptions { Overflow = OverflowPolicy.Buffer });
            Message[] batch = [.. Enumerable.Range(0, 4_000).Select(_ => new Message(_body))];
            for (int i = 0; i < Backlog; i += batch.Length)
                await queue.SendBatchAsync(batch);
            // What the store does beside its commits must be over: files that change while they are copied do not belong together.
            await Task.Delay(TimeSpan.FromSeconds(2));
            Copy(clean, killed);
        }
        return (clean, killed);
    }

    // By cp, because .NET asks for a lock to read a file, and the witness is locked while the store is open.
    private static void Copy(string from, string to)
    {
        using Process copy = Process.Start("cp", ["-r", from + "/.", to]);
        copy.WaitForExit();
        Round.Expect(0, copy.ExitCode, "exit code of cp");
    }

    private static ValueTask<MessageQueue> DeclareAsync(MessageBroker broker) =>
        broker.DeclareQueueAsync("durable", new QueueOptions { Durability = Durability.Flushed, MaxMessages = null, MaxBytes = null });

    private static Task RunAsync(long messages, int tasks, Func<Task> one) => Task.WhenAll(Enumerable.Range(0, tasks).Select(_ => Task.Run(async () =>
    {
        for (long i = messages / tasks; i > 0; i--)
            await one();
    })));

    private sealed class TemporaryFolder : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("queuekit-durable-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
