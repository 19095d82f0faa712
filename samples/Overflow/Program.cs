using Overflow;
using QueueKit;
using Spectre.Console;

// The same overload for each policy: ten messages come while the consumers do four.
var overload = new Overload(Messages: 2_000, BodyBytes: 1_024, Burst: 10, Consumers: 4, Moment: TimeSpan.FromMilliseconds(1));
const int limit = 100;

string introduction =
    $"{overload.Burst} messages of {overload.BodyBytes:N0} bytes come every {overload.Moment.TotalMilliseconds:0} ms, {overload.Consumers} consumers "
    + $"spend {overload.Moment.TotalMilliseconds:0} ms on each, and the queue has room for {limit:N0}.";
string[] columns = ["Policy", "Sent", "Accepted", "Dropped", "Refused", "Waited", "Peak depth", "Memory"];
List<string[]> rows = [];
List<string> notes = ["Memory: the most bytes in the queue, as its snapshots showed them while the producer ran."];

foreach (OverflowPolicy policy in Enum.GetValues<OverflowPolicy>())
    await AddRowAsync(policy.ToString(), new QueueOptions { Overflow = policy, MaxMessages = limit });
await AddRowAsync("(no limit)", new QueueOptions { MaxMessages = null, MaxBytes = null });

if (Console.IsOutputRedirected)
    WritePlain();
else
    WriteTable();

async Task AddRowAsync(string name, QueueOptions options)
{
    try
    {
        OverloadResult result = await overload.RunAsync(options);
        QueueCounts counts = result.End.Counts;
        rows.Add([
            name, $"{result.Sent:N0}", $"{counts.Accepted:N0}", $"{counts.Dropped + counts.DroppedNewest:N0}", $"{counts.Refused:N0}", $"{counts.Waited:N0}",
            $"{result.End.PeakMessages:N0}", $"{result.PeakBytes / 1024.0:N0} KiB"]);
    }
    catch (QueueDeclarationException refused)
    {
        rows.Add([name + " *", .. Enumerable.Repeat("-", columns.Length - 1)]);
        notes.Add($"* {name} needs a durable store that can hold what spills; declaring it without one is refused: \"{refused.Message}\"");
    }
}

void WriteTable()
{
    AnsiConsole.MarkupLineInterpolated($"{introduction}");
    var table = new Table().SimpleBorder().BorderColor(Color.Grey37);
    foreach (string column in columns)
        table.AddColumn(new TableColumn(column) { Alignment = column == "Policy" ? Justify.Left : Justify.Right, NoWrap = true, Padding = new Padding(0, 0) });
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
