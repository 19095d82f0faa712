using System.Globalization;
using DurableStores;
using Spectre.Console;

// The same program is the one that watches and, started again by it, the one that works and is killed.
if (args is ["work", var kind, var path, var first, var last])
    return await Worker.RunAsync(Enum.Parse<StoreKind>(kind), path, int.Parse(first, CultureInfo.InvariantCulture), int.Parse(last, CultureInfo.InvariantCulture));

int messages = args is ["--messages", var count] && int.TryParse(count, CultureInfo.InvariantCulture, out int number) && number is >= 100 and <= 10_000_000 ? number : 20_000;
if (args is not ([] or ["--messages", _]))
{
    Console.Error.WriteLine("Usage: DurableStores [--messages N], with N from 100 to 10,000,000. Default: 20,000.");
    return 2;
}

string introduction =
    $"{messages:N0} messages of {Worker.BodyBytes:N0} bytes go through a queue on each store, {Worker.BatchMessages} to a commit, every commit flushed. "
    + $"The process that works is killed {Trial.Kills} times (SIGKILL) and started again.";
string[] columns = ["Store", "Sent", "Confirmed", "Handled", "Redelivered", "Lost", "Time", "At a kill", "At the end"];
List<string> notes =
[
    "Sent: with those that were sent again because nobody had confirmed them when the process was killed. Confirmed, handled: as the parent process has read it from a pipe.",
    "Redelivered: handed out again because a consumer had them when the process was killed. Lost: confirmed, and handled by nobody. Sizes: on the disk, at most at a kill and after the last close.",
];
List<string[]> rows = [];
long lost = 0;
foreach (StoreKind store in Enum.GetValues<StoreKind>())
{
    TrialResult result = await Trial.RunAsync(store, messages);
    lost += result.Lost;
    rows.Add([
        store.ToString(), $"{result.Sent:N0}", $"{result.Confirmed:N0}", $"{result.Handled:N0}", $"{result.Redelivered:N0}", $"{result.Lost:N0}",
        $"{result.Time.TotalSeconds:N1} s", $"{result.BytesAtAKill / 1024.0:N0} KiB", $"{result.BytesAtTheEnd / 1024.0:N0} KiB"]);
}

if (Console.IsOutputRedirected)
    WritePlain();
else
    WriteTable();
return lost == 0 ? 0 : 1;

void WriteTable()
{
    AnsiConsole.MarkupLineInterpolated($"{introduction}");
    var table = new Table().SimpleBorder().BorderColor(Color.Grey37);
    foreach (string column in columns)
        table.AddColumn(new TableColumn(column) { Alignment = column == "Store" ? Justify.Left : Justify.Right, NoWrap = true, Padding = new Padding(0, 0) });
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
