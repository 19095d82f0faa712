using QueueKit;
using Spectre.Console;

namespace WorkQueue;

/// <summary>The last words of a run, the same with and without a terminal but for the colours.</summary>
internal sealed class Summary(FileIndexer indexer, IndexReport report, WorkQueueOptions options)
{
    private const int Listed = 10;

    public void Write()
    {
        Terminal.WriteLine("");
        WriteFigures();
        WriteList("[red]Could not be read:[/]", report.Unread, unread => $"{unread.Path}: {unread.Reason}");
        WriteList("[red]Dropped by the queue and not in the index:[/]", report.Dropped, path => path);
        WriteVerdict();
    }

    private void WriteFigures()
    {
        QueueCounts counts = indexer.GetSnapshot().Counts;
        TimeSpan elapsed = indexer.Elapsed;
        Line("files", Figures.Count(report.Rows.Count), $"of {Figures.Count(indexer.Files)}, {Figures.PerSecond(report.Rows.Count - indexer.Resumed, elapsed):N0}/s in {Figures.Duration(elapsed)}");
        Line("resumed", Figures.Count(indexer.Resumed), "files that an earlier start had done");
        Line("bytes", Figures.Count(indexer.Bytes), $"{Figures.Bytes(Figures.PerSecond(indexer.Bytes, elapsed))}/s");
        Line("lines", Figures.Count(report.Rows.Sum(row => row.Value.Lines)));
        Line("words", Figures.Count(report.Rows.Sum(row => row.Value.Words)));
        Line("redelivered", Figures.Count(counts.Redelivered), $"{Figures.Plural(counts.Nacked, "nack")}, {Figures.Plural(counts.LeasesLost, "lost lease")}, {Figures.Plural(indexer.LateAcks, "late ack")}");
        Line("absorbed", Figures.Count(indexer.RepeatsAbsorbed), "repeats of files that were in the index already");
        Line("dead", Figures.Count(counts.DeadLettered));
        switch (options.Overflow)
        {
            case OverflowPolicy.Backpressure:
                Line("waited", Figures.Count(counts.Waited), "sends that waited for room");
                break;
            case OverflowPolicy.Reject:
                Line("refused", Figures.Count(counts.Refused), "sends, each tried again after a pause");
                break;
            default:
                Line("dropped", Figures.Count(counts.Dropped + counts.DroppedNewest), "messages that found no room or made room");
                break;
        }
        if (options.FailRate > 0)
            Line("sabotaged", Figures.Count(indexer.FailedOnPurpose), $"failures on purpose; again with --seed {options.Seed}");
    }

    private static void Line(string label, string figure, string? remark = null) =>
        Terminal.WriteLine($"  {label,-12}[bold]{figure,16}[/]" + (remark is null || figure == "0" ? "" : $"  [grey]{Markup.Escape(remark)}[/]"));

    private static void WriteList<T>(string title, IReadOnlyList<T> items, Func<T, string> describe)
    {
        if (items.Count == 0)
            return;
        Terminal.WriteLine("");
        Terminal.WriteLine(title);
        foreach (T item in items.Take(Listed))
            Terminal.WriteLine($"  {Markup.Escape(describe(item))}");
        if (items.Count > Listed)
            Terminal.WriteLine($"  and {Figures.Count(items.Count - Listed)} more");
    }

    private void WriteVerdict()
    {
        Terminal.WriteLine("");
        Terminal.WriteLine(report switch
        {
            { Dropped.Count: > 0 } => $"[red]Incomplete:[/] {Figures.Plural(report.Dropped.Count, "file was", "files were")} dropped, as --overflow {options.Overflow.ToString().ToLowerInvariant()} allows.",
            { Unread.Count: > 0 } => $"[yellow]Done, but[/] {Figures.Plural(report.Unread.Count, "entry", "entries")} could not be read.",
            _ => "[green]Complete:[/] every file is in the index exactly once.",
        });
        if (options.Output is not null)
            Terminal.WriteLine($"Written: {Markup.Escape(options.Output)}");
        if (Terminal.IsLive && indexer.Elapsed < TimeSpan.FromSeconds(2) && options is { FailRate: 0, Pace.Ticks: 0 })
            Terminal.WriteLine("[grey]Too quick to watch? Try --pace 50ms, --fail-rate 0.3 or a larger folder.[/]");
    }
}
