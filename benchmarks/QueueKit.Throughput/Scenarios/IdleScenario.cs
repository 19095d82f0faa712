using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Many queues: what an idle one costs in memory, threads and processor, how long it takes to open all of them again, and how many busy ones do beside a single one.</summary>
internal sealed class IdleScenario
{
    private const int Queues = 100_000;
    private const double TargetBytes = 2048, TargetMilliseconds = 2000;
    // The pool's threads come and go, and a store of 100,000 queues has a file or two more than one of one queue.
    private const double FewThings = 16;
    // Milliseconds a second: less than a clock tick's worth.
    private const double LittleWork = 5;
    private const int Openings = 3;

    private static readonly byte[] s_body = new byte[100];

    private readonly DurableEngine? _engine;
    private readonly Lazy<Task<IReadOnlyDictionary<string, double>>> _found;

    private IdleScenario(DurableEngine? engine)
    {
        _engine = engine;
        _found = new(engine is null ? () => ChildProcess.RunAsync("idle transient", Queues.ToString(CultureInfo.InvariantCulture)) : () => FindAsync(engine));
    }

    private string Name => _engine?.Name ?? "transient";

    public static IEnumerable<Comparison> Comparisons(string? store)
    {
        foreach (DurableEngine engine in DurableEngine.All.Where(engine => store is null || engine.Name == store))
        {
            foreach (Comparison comparison in new IdleScenario(engine).Comparisons())
                yield return comparison;
        }
        if (store is null)
        {
            foreach (Comparison comparison in new IdleScenario(null).Comparisons())
                yield return comparison;
        }
    }

    private IEnumerable<Comparison> Comparisons()
    {
        yield return Comparison.Of("idle", $"{Name} {Queues:N0} queues: {(_engine is null ? "declare" : "open")}",
            _engine is null ? "declaring transient queues; bytes are of managed and native memory for each, beside a broker with one queue" : $"the median of {Openings} openings of their store; bytes are of managed and native memory for each queue, beside a store with one queue",
            "nothing", Unit.Milliseconds, async _ => (await _found.Value) is var found ? new Figure(found["seconds"] * 1000, 0, found["bytes"]) : default)
            with { Limit = _engine is null ? double.MaxValue : TargetMilliseconds, TargetBytes = TargetBytes };
        yield return Comparison.Of("idle", $"{Name} {Queues:N0} queues: threads and handles", "threads and handles beyond those with one queue", "nothing", Unit.Count,
            async _ => (await _found.Value) is var found ? new Figure(Math.Max(0, found["threads"]) + Math.Max(0, found["handles"]), 0) : default) with { Limit = FewThings };
        yield return Comparison.Of("idle", $"{Name} {Queues:N0} queues: processor", "milliseconds of processor a second while nothing happens", "the same with one queue", Unit.Count,
            async _ => (await _found.Value) is var found ? new Figure(found["cpu"] * 500, found["cpu before"] * 500) : default) with { Limit = LittleWork };
        if (_engine is null)
            yield return Busy(10_000, null);
        else if (_engine.Name == "litedb")
            yield return Busy(100, 0.5);
        else if (_engine.Name == "rocksdb")
            yield return Busy(10_000, 0.7);
    }

    private Comparison Busy(int queues, double? target) => new("idle", $"{Name} {queues:N0} busy queues",
        new Contender("as many tasks on one queue: SendAsync, ReceiveAsync, AckAsync, all awaited", messages => TripAsync(messages, queues, 1)),
        new Contender("a task for each queue", messages => TripAsync(messages, queues, queues)))
    {
        Multiple = queues,
        RoundSeconds = 0.5,
        MaxMessages = queues * Math.Max(2, 40_000 / queues),
        WarmUpRounds = 4,
        TargetRatio = target,
    };

    private async Task<Round> TripAsync(long messages, int tasks, int queues)
    {
        string folder = ScratchFolder.Create();
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _engine?.Open(folder) }))
        {
            MessageQueue[] all = await Task.WhenAll(Enumerable.Range(0, queues).Select(async queue =>
                await broker.DeclareQueueAsync(IdleJobs.NameOf(queue), new QueueOptions { MaxMessages = null, MaxBytes = null })));
            Round round = await Round.MeasureAsync(messages, () => Task.WhenAll(Enumerable.Range(0, tasks).Select(task => Task.Run(async () =>
            {
                MessageQueue queue = all[task % queues];
                for (long i = messages / tasks; i > 0; i--)
                {
                    await queue.SendAsync(new Message(s_body));
                    await (await queue.ReceiveAsync()).AckAsync();
                }
            }))));
            Round.Expect(0, all.Sum(static queue => queue.GetSnapshot().Messages), "messages left");
            await broker.CloseAsync();
            ScratchFolder.Delete(folder);
            return round;
        }
    }

    private static async Task<IReadOnlyDictionary<string, double>> FindAsync(DurableEngine engine)
    {
        string folder = ScratchFolder.Create(), empty = ScratchFolder.Create(), queues = Queues.ToString(CultureInfo.InvariantCulture);
        await ChildProcess.RunAsync("idle declare", engine.Name, folder, queues);
        var openings = new List<IReadOnlyDictionary<string, double>>();
        for (int i = 0; i < Openings; i++)
            openings.Add(await ChildProcess.RunAsync("idle open", engine.Name, folder, queues, empty));
        ScratchFolder.Delete(folder);
        ScratchFolder.Delete(empty);
        return openings[0].Keys.ToDictionary(static name => name, name => openings.Select(opening => opening[name]).Order().ElementAt(Openings / 2));
    }
}
