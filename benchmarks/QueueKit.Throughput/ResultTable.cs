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
                Speed(comparison, result.PerSecond),
                Speed(comparison, result.ReferencePerSecond),
                $"[bold]{Number(result.Ratio, "0.000")}[/]",
                $"{Number(result.Interval.Low, "0.000")}–{Number(result.Interval.High, "0.000")}",
                $"{Number(result.MiddleHalf.Low, "0.00")}–{Number(result.MiddleHalf.High, "0.00")}",
                Target(comparison),
                Number(result.BytesPerMessage, "0.0") + (comparison.TargetBytes is { } bytes ? $" (≤ {Number(bytes, "0")})" : ""),
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
        int pairs = results.Min(static result => result.Pairs);
        Console.WriteLine($"Ratios are medians of at least {pairs} interleaved pairs of rounds; bytes are beside the caller's own message. Compare ratios, not rates, across machines.");
        if (results.Where(static result => result.ForeignLoad > DisturbingLoad).ToList() is { Count: > 0 } disturbed)
            Console.WriteLine($"Disturbed: other programs took {string.Join(", ", disturbed.Select(static result => $"{result.ForeignLoad:P0} of the processors during {result.Comparison.Name}"))}. Measure these again when the machine is quiet.");
    }

    public static string Rate(double perSecond) => perSecond >= 1e6 ? Number(perSecond / 1e6, "0.00") + " M/s" : Number(perSecond / 1e3, "0.0") + " k/s";

    // What is done once is read as a time.
    private static string Speed(Comparison comparison, double perSecond) =>
        comparison.Allowance is null ? Rate(perSecond) : Number(1e3 / perSecond, "0.0") + " ms";

    private static string Target(Comparison comparison) => comparison switch
    {
        { TargetRatio: null } => "",
        { TargetRatio: { } ratio, Allowance: { } allowance } => $"≤ {Number(1 / ratio, "0.#")} x + {Number(allowance.TotalSeconds, "0.0")} s",
        { TargetRatio: { } ratio } => $"≥ {Number(ratio, "0.0#")}",
    };

    private static string Variants(IGrouping<string, Result> group) =>
        $"{group.First().Comparison.Scenario} {string.Join(", ", group.Select(static result => result.Comparison.Variant))}";

    private static string Number(double value, string format) => value.ToString(format, CultureInfo.InvariantCulture);
}
