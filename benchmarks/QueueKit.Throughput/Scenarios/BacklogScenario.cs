using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>A backlog far larger than memory may become, in a queue with <see cref="OverflowPolicy.Buffer"/> and otherwise default options, on stores with default options: on both sides the same.</summary>
internal sealed class BacklogScenario
{
    private const long MiB = 1024 * 1024;
    private const int PagedBacklog = 100_000;
    private const double MemoryLimit = 64 * MiB, CleanAllowance = 200, KilledAllowance = 1200;

    private readonly DurableEngine _engine;
    private readonly long _messages;
    private readonly Lazy<string> _clean = new(ScratchFolder.Create), _killed = new(ScratchFolder.Create);
    private readonly Lazy<Task<IReadOnlyDictionary<string, double>>> _filled;
    private readonly Lazy<Task<double>> _rate;

    private BacklogScenario(DurableEngine engine, long? messages)
    {
        _engine = engine;
        _messages = messages ?? (engine.Name == "rocksdb" ? 10_000_000 : 1_000_000);
        _filled = new(() => ChildProcess.RunAsync("backlog fill", engine.Name, _clean.Value, Number(_messages), "close"));
        _rate = new(async () =>
        {
            await _filled.Value;
            return (await ChildProcess.RunAsync("backlog drain", engine.Name, _clean.Value, Number(_messages)))["rate"];
        });
    }

    public static IEnumerable<Comparison> Comparisons(string? store, long? messages) =>
        DurableEngine.All.Where(engine => store is null || engine.Name == store).SelectMany(engine => new BacklogScenario(engine, messages).Comparisons());

    // The deliveries come last: they empty the store.
    private IEnumerable<Comparison> Comparisons()
    {
        yield return Row("memory", "memory with the backlog beyond the same engine open and idle, managed and native", "nothing", Unit.Bytes,
            async _ => new Figure((await _filled.Value)["memory"], 0)) with { Limit = MemoryLimit };
        yield return Row("memory while it is sent", "the most at any moment, garbage and what is on its way included", "nothing", Unit.Bytes,
            async _ => new Figure((await _filled.Value)["memory peak"], 0));
        yield return Opening("open, closed in good order", CleanAllowance, async () =>
        {
            await _filled.Value;
            return _clean.Value;
        });
        yield return Opening("open, killed", KilledAllowance, async () =>
        {
            await ChildProcess.KillAsync("backlog fill", _engine.Name, _killed.Value, Number(_messages));
            return _killed.Value;
        });
        yield return Row("deliveries", "receiving and acking all of it, beside a backlog of 100,000 in the store", "receiving and acking that one", Unit.PerSecond,
            async _ => new Figure(await _rate.Value, await SmallRateAsync())) with { TargetRatio = 0.8 };
        yield return Row("deliveries beside an empty queue", "receiving and acking all of it, beside an empty queue", "an empty queue: each message is sent, confirmed, received and acked at once", Unit.PerSecond,
            async _ => new Figure(await _rate.Value, await FlowRateAsync())) with { TargetRatio = 0.5 };
    }

    private Comparison Row(string variant, string what, string beside, Unit unit, Func<Action<double>, Task<Figure>> once) =>
        Comparison.Of("backlog", $"{_engine.Name} {_messages:N0}: {variant}", what, beside, unit, once);

    private Comparison Opening(string variant, double allowance, Func<Task<string>> folder) =>
        Row(variant, "opening the backlog", $"opening an empty store; twice that and {allowance:N0} ms are allowed", Unit.Milliseconds, async _ =>
        {
            string empty = ScratchFolder.Create();
            IReadOnlyDictionary<string, double> found = await ChildProcess.RunAsync("backlog open", _engine.Name, await folder(), Number(_messages), empty);
            ScratchFolder.Delete(empty);
            return new Figure(found["backlog"], found["empty"]);
        }) with { LimitOfReference = empty => 2 * empty + allowance };

    private async Task<double> SmallRateAsync()
    {
        // The median of three: one takes a moment only.
        var rates = new List<double>();
        for (int i = 0; i < 3; i++)
        {
            string folder = ScratchFolder.Create();
            await ChildProcess.RunAsync("backlog fill", _engine.Name, folder, Number(PagedBacklog), "close");
            rates.Add((await ChildProcess.RunAsync("backlog drain", _engine.Name, folder, Number(PagedBacklog)))["rate"]);
            ScratchFolder.Delete(folder);
        }
        return rates.Order().ElementAt(1);
    }

    private async Task<double> FlowRateAsync()
    {
        string folder = ScratchFolder.Create();
        double rate = (await ChildProcess.RunAsync("backlog flow", _engine.Name, folder, Number(Math.Min(_messages, 1_000_000))))["rate"];
        ScratchFolder.Delete(folder);
        return rate;
    }

    private static string Number(long value) => value.ToString(CultureInfo.InvariantCulture);
}
