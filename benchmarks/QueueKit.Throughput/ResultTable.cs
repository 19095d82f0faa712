using System.Globalization;
using Spectre.Console;

namespace QueueKit.Throughput;

/// <summary>The results for people.</summary>
internal static class ResultTable
{
    // Output that is redirected has no width of its own; the table must not be folded to 80 columns there.
    private const int RedirectedWidth = 160;

    // Above this the two sides no longer have the processors to themselves.
    private const double DisturbingLoad = 0.1;

    public static void Write(IReadOnlyList<Result> results)
    {
        if (Console.IsOutputRedirected)
            AnsiConsole.Profile.Width = RedirectedWidth;
        bool batches = results.Any(static result => result.MeanBatch is not null || result.ReferenceMeanBatch is not null);

        Table table = new Table().Border(TableBorder.Rounded);
        table.AddColumn("scenario").AddColumn("variant");
        foreach (string heading in (string[])["queue", "reference", "ratio", "95 %", "middle half", "target", "bytes/msg"])
            table.AddColumn(new TableColumn(heading).RightAligned());
        if (batches)
            table.AddColumn(new TableColumn("mean batch\n(reference)").RightAligned());
        table.AddColumn("");

        string? scenario = null;
        foreach (Result result in results)
        {
            Comparison comparison = result.Comparison;
            if (scenario is not null && scenario != comparison.Scenario)
                table.AddEmptyRow();
            List<string> cells =
            [
                scenario == comparison.Scenario ? "" : Markup.Escape(comparison.Scenario),
                Markup.Escape(comparison.Variant),
                Amount(comparison, result.PerSecond),
                result.ReferencePerSecond == 0 && comparison.Once is not null ? "" : Amount(comparison, result.ReferencePerSecond),
                result.Ratio == 0 ? "" : $"[bold]{Number(result.Ratio, "0.000")}[/]",
                comparison.Once is not null ? "" : $"{Number(result.Interval.Low, "0.000")}–{Number(result.Interval.High, "0.000")}",
                comparison.Once is not null ? "" : $"{Number(result.MiddleHalf.Low, "0.00")}–{Number(result.MiddleHalf.High, "0.00")}",
                Target(comparison, result.ReferencePerSecond),
                result.BytesPerMessage == 0 && comparison.Once is not null ? "" : Number(result.BytesPerMessage, "0.0") + (comparison.TargetBytes is { } bytes ? $" (≤ {Number(bytes, "0")})" : ""),
            ];
            if (batches)
                cells.Add(result.MeanBatch is { } batch ? $"{Number(batch, "0.0")} ({Number(result.ReferenceMeanBatch ?? 0, "0.0")})" : "");
            cells.Add(result.IsMet switch { true => "[green]met[/]", false => "[red]not met[/]", null => "" });
            table.AddRow([.. cells]);
            scenario = comparison.Scenario;
        }
        AnsiConsole.Write(table);

        foreach (IGrouping<string, Result> group in results.GroupBy(static result => $"{result.Comparison.Queue.Description}, beside {result.Comparison.Reference.Description}"))
            Console.WriteLine($"{Variants(group)}: {group.Key}.");
        if (results.Where(static result => result.Comparison.Once is null).Select(static result => result.Pairs).ToList() is { Count: > 0 } pairs)
            Console.WriteLine($"Ratios are medians of at least {pairs.Min()} interleaved pairs of rounds; bytes are beside the caller's own message.");
        Console.WriteLine("Compare ratios, not rates, across machines.");
        if (results.Where(static result => result.ForeignLoad > DisturbingLoad).ToList() is { Count: > 0 } disturbed)
            Console.WriteLine($"Disturbed: other programs took {string.Join(", ", disturbed.Select(static result => $"{result.ForeignLoad:P0} of the processors during {result.Comparison.Name}"))}. Measure these again when the machine is quiet.");
    }

    /// <summary>A figure of a comparison, with its unit.</summary>
    public static string Amount(Comparison comparison, double value) => comparison.Unit switch
    {
        Unit.Milliseconds => Number(value, "0.0") + " ms",
        Unit.Bytes => Number(value / (1024 * 1024), "0.0") + " MiB",
        Unit.Count => Number(value, "0.#"),
        _ => Speed(comparison, value),
    };

    public static string Rate(double perSecond) => perSecond >= 1e6 ? Number(perSecond / 1e6, "0.00") + " M/s" : Number(perSecond / 1e3, "0.0") + " k/s";

    // What is done once is read as a time.
    private static string Speed(Comparison comparison, double perSecond) =>
        comparison.Allowance is null ? Rate(perSecond) : Number(1e3 / perSecond, "0.0") + " ms";

    private static string Target(Comparison comparison, double reference) => comparison switch
    {
        _ when comparison.LimitBeside(reference) is { } limit => limit == double.MaxValue ? "" : $"≤ {Amount(comparison, limit)}",
        { TargetRatio: null } => "",
        { TargetRatio: { } ratio, Allowance: { } allowance } => $"≤ {Number(1 / ratio, "0.#")} x + {Number(allowance.TotalSeconds, "0.0")} s",
        { TargetRatio: { } ratio } => $"≥ {Number(ratio, "0.0#")}",
    };

    private static string Variants(IGrouping<string, Result> group) =>
        $"{group.First().Comparison.Scenario} {string.Join(", ", group.Select(static result => result.Comparison.Variant))}";

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
