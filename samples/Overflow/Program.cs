using Overflow;
using QueueKit;
using Spectre.Console;

// The same overload for each policy: a producer that never pauses, consumers that need a moment for every message.
var overload = new Overload(Messages: 2_000, BodyBytes: 1_024, Limit: 100, Consumers: 4, Work: TimeSpan.FromMilliseconds(1));

string introduction = $"{overload.Messages:N0} messages of {overload.BodyBytes:N0} bytes, sent without a pause to a queue for {overload.Limit:N0}; {overload.Consumers} consumers with {overload.Work.TotalMilliseconds:0} ms of work each.";
string[] columns = ["Policy", "Sent", "Accepted", "Dropped", "Refused", "Waited", "Peak depth", "Memory", "Consumed"];
List<string[]> rows = [];
List<string> notes = ["Memory: the most bytes in the queue, as its snapshots showed them while the producer ran."];

foreach (OverflowPolicy policy in Enum.GetValues<OverflowPolicy>())
{
    try
    {
        OverloadResult result = await overload.RunAsync(policy);
        QueueCounts counts = result.End.Counts;
        rows.Add([
            policy.ToString(), $"{result.Sent:N0}", $"{counts.Accepted:N0}", $"{counts.Dropped + counts.DroppedNewest:N0}", $"{counts.Refused:N0}", $"{counts.Waited:N0}",
            $"{result.End.PeakMessages:N0}", $"{result.PeakBytes / 1024.0:N0} KiB", $"{counts.Acked:N0}"]);
    }
    catch (QueueDeclarationException refused)
    {
        rows.Add([policy + " *", .. Enumerable.Repeat("-", columns.Length - 1)]);
        notes.Add($"* {policy} needs a durable store that can hold what spills. Declaring it without one is refused: {refused.Message}");
    }
}

if (Console.IsOutputRedirected)
    WritePlain();
else
    WriteTable();

void WriteTable()
{
    AnsiConsole.MarkupLineInterpolated($"{introduction}\n");
    var table = new Table().RoundedBorder().BorderColor(Color.Grey37);
    foreach (string column in columns)
        table.AddColumn(new TableColumn(column) { Alignment = column == "Policy" ? Justify.Left : Justify.Right, NoWrap = true });
    foreach (string[] row in rows)
        table.AddRow(row.Select(Markup.Escape).ToArray());
    AnsiConsole.Write(table);
    foreach (string note in notes)
        AnsiConsole.MarkupLineInterpolated($"[grey]{note}[/]");
}

void WritePlain()
{
    Console.WriteLine(introduction);
    Console.WriteLine();
    int[] widths = [.. columns.Select((column, i) => Math.Max(column.Length, rows.Max(row => row[i].Length)))];
    foreach (string[] row in rows.Prepend(columns))
        Console.WriteLine(string.Join("  ", row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))));
    Console.WriteLine();
    foreach (string note in notes)
        Console.WriteLine(note);
}
