using System.Globalization;

namespace QueueKit.Throughput.Scenarios;

/// <summary>What is left on the disk of messages that are gone: of a backlog once it is drained, and of many that came and went behind one that stays.</summary>
/// <remarks>
/// RocksDB is judged by what is live, and may keep its logs and one table beside that; LiteDB and SQLite by the most that was ever live, whose pages they keep for what
/// comes next, until they are copied without them when they are opened.
/// </remarks>
internal sealed class GrowthScenario
{
    private const double MiB = 1024 * 1024;
    // RocksDB's write buffers are on the disk as logs, and as young tables, before anything is merged: four and two of 32 MiB.
    private const double RocksAllowance = 192 * MiB, PageAllowance = 24 * MiB;
    private const double Factor = 1.5, OpenedFactor = 0.1;
    // A window of 10,000 messages comes and goes behind the one that stays, with keys and heads 200 bytes each.
    private const double Window = 10_000 * 200;

    private readonly DurableEngine _engine;
    private readonly long _messages;
    private readonly Lazy<Task<IReadOnlyDictionary<string, double>>> _drained, _stuck;

    private GrowthScenario(DurableEngine engine, long? messages)
    {
        _engine = engine;
        _messages = messages ?? 1_000_000;
        _drained = new(() => RunAsync("drained"));
        _stuck = new(() => RunAsync("stuck"));
    }

    private bool GivesBackAtOnce => _engine.Name == "rocksdb";

    public static IEnumerable<Comparison> Comparisons(string? store, long? messages) =>
        DurableEngine.All.Where(engine => store is null || engine.Name == store).SelectMany(engine => new GrowthScenario(engine, messages).Comparisons());

    private IEnumerable<Comparison> Comparisons()
    {
        yield return Row("drained and idle", "the files once the backlog is drained and the store idle", "the files with the whole backlog", async () =>
            (await _drained.Value) is var found ? new Figure(found["still"], found["full"]) : default,
            full => GivesBackAtOnce ? RocksAllowance : Factor * full + PageAllowance);
        yield return Row("drained and opened again", "the files after the next opening and closing", "the files with the whole backlog", async () =>
            (await _drained.Value) is var found ? new Figure(found["opened"], found["full"]) : default,
            full => OpenedFactor * full + PageAllowance);
        yield return Row("behind one that stays", "the most at any moment, while so many come and go, 10,000 at a time", "those 10,000 alone", async () =>
            new Figure((await _stuck.Value)["peak"], Window), live => Factor * live + (GivesBackAtOnce ? RocksAllowance : PageAllowance));
        yield return Row("behind one that stays, idle", "the files afterwards", "10,000 messages alone", async () =>
            new Figure((await _stuck.Value)["still"], Window), live => Factor * live + (GivesBackAtOnce ? RocksAllowance : PageAllowance));
    }

    private Comparison Row(string variant, string what, string beside, Func<Task<Figure>> once, Func<double, double> limit) =>
        Comparison.Of("growth", $"{_engine.Name} {_messages:N0}: {variant}", what, beside, Unit.Bytes, _ => once()) with { LimitOfReference = limit };

    private async Task<IReadOnlyDictionary<string, double>> RunAsync(string kind)
    {
        string folder = ScratchFolder.Create();
        IReadOnlyDictionary<string, double> found = await ChildProcess.RunAsync("growth", _engine.Name, folder, _messages.ToString(CultureInfo.InvariantCulture), kind);
        ScratchFolder.Delete(folder);
        return found;
    }
}
