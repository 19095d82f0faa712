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
List<string> notes =
[
    "Memory: the most bytes of messages in memory, as the queue's snapshots showed them while the producer ran.",
    "Buffer keeps what exceeds the room in a durable store, here LiteDB: its producer waits for the disk instead of for room.",
];

foreach (OverflowPolicy policy in Enum.GetValues<OverflowPolicy>())
    await AddRowAsync(policy.ToString(), new QueueOptions { Overflow = policy, MaxMessages = limit }, isDurable: policy == OverflowPolicy.Buffer);
await AddRowAsync("(no limit)", new QueueOptions { MaxMessages = null, MaxBytes = null }, isDurable: false);

if (Console.IsOutputRedirected)
    WritePlain();
else
    WriteTable();

async Task AddRowAsync(string name, QueueOptions options, bool isDurable)
{
    DirectoryInfo folder = Directory.CreateTempSubdirectory("queuekit-overflow-");
    OverloadResult result = await overload.RunAsync(options, isDurable ? Path.Combine(folder.FullName, "queue.db") : null);
    folder.Delete(recursive: true);
    QueueCounts counts = result.End.Counts;
    rows.Add([
        name, $"{result.Sent:N0}", $"{counts.Accepted:N0}", $"{counts.Dropped + counts.DroppedNewest:N0}", $"{counts.Refused:N0}", $"{counts.Waited:N0}",
        $"{result.End.PeakMessages:N0}", $"{result.PeakBytes / 1024.0:N0} KiB"]);
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
