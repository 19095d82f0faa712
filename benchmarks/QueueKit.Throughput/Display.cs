using System.Diagnostics;
using Spectre.Console;

namespace QueueKit.Throughput;

/// <summary>Measures one comparison after another and shows how far it is.</summary>
internal static class Display
{
    private static readonly TimeSpan s_refreshInterval = TimeSpan.FromMilliseconds(200);

    public static async Task<List<Result>> RunAsync(IReadOnlyList<Comparison> comparisons, TimeSpan budget)
    {
        List<Result> results = [];
        if (Console.IsOutputRedirected || !AnsiConsole.Profile.Capabilities.Interactive)
        {
            Console.WriteLine($"{comparisons.Count} variants, about {budget.TotalSeconds * comparisons.Count / 60:0.0} minutes");
            foreach (Comparison comparison in comparisons)
            {
                Result result = await Measurement.RunAsync(comparison, budget, static _ => { });
                results.Add(result);
                Console.WriteLine($"{results.Count}/{comparisons.Count} {comparison.Name}: {ResultTable.Amount(comparison, result.PerSecond)} beside {ResultTable.Amount(comparison, result.ReferencePerSecond)}, ratio {result.Ratio:0.00}{(result.IsMet == false ? ", not met" : "")}");
            }
            return results;
        }

        // A display that refreshed itself would take time and memory from what is measured: it moves between the rounds only.
        await AnsiConsole.Progress()
            .AutoRefresh(false)
            .AutoClear(true)
            .Columns(new TaskDescriptionColumn { Alignment = Justify.Left }, new ProgressBarColumn(), new PercentageColumn(), new ElapsedTimeColumn())
            .StartAsync(async context =>
            {
                ProgressTask progress = context.AddTask(Markup.Escape(comparisons[0].Name), maxValue: comparisons.Count);
                long shownAt = 0;
                foreach (Comparison comparison in comparisons)
                {
                    progress.Description = Markup.Escape($"{comparison.Name} ({results.Count + 1} of {comparisons.Count})");
                    int before = results.Count;
                    results.Add(await Measurement.RunAsync(comparison, budget, done =>
                    {
                        progress.Value = before + done;
                        if (shownAt != 0 && Stopwatch.GetElapsedTime(shownAt) < s_refreshInterval)
                            return;
                        context.Refresh();
                        shownAt = Stopwatch.GetTimestamp();
                    }));
                }
            });
        return results;
    }
}
