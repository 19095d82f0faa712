using System.Diagnostics;
using System.Globalization;
using OrdersWithSqlite;
using Spectre.Console;

const string help = """
    A shop takes orders in a SQLite database of its own and books them out of the stock, with a queue in between,
    in a process that crashes again and again on purpose. At the end every order has taken effect, once.

      dotnet run --project samples/OrdersWithSqlite -- [OPTIONS]

      --orders N    how many orders (default: 300)
      --crashes N   about how many crashes (default: 12)
      --seed S      repeats the choices of an earlier run (default: random, printed)
      --data DIR    where the databases lie (default: a temporary folder)
    """;

if (args is ["shop", var data, var number, var rate, var chance])
{
    // The process that crashes.
    var random = new Random(int.Parse(chance, CultureInfo.InvariantCulture));
    await new Shop(data, new Mishaps(random, double.Parse(rate, CultureInfo.InvariantCulture))).RunAsync(int.Parse(number, CultureInfo.InvariantCulture), random);
    return 0;
}

int orders = 300, crashes = 12, seed = Environment.ProcessId * 7919 % 1_000_000;
string? folder = null;
for (int i = 0; i < args.Length; i += 2)
{
    string? value = i + 1 < args.Length ? args[i + 1] : null;
    bool isRight = args[i] switch
    {
        "--orders" => int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out orders) && orders > 0,
        "--crashes" => int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out crashes),
        "--seed" => int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out seed),
        "--data" => (folder = value) is not null,
        _ => false,
    };
    if (!isRight)
    {
        Console.WriteLine(help);
        return args[i] is "--help" or "-h" ? 0 : 2;
    }
}

bool isTemporary = folder is null;
folder = isTemporary ? Directory.CreateTempSubdirectory("queuekit-orders-").FullName : Directory.CreateDirectory(folder!).FullName;
Console.WriteLine($"{orders:N0} orders in {Path.Combine(folder, "shop.db")}, the queue in {Path.Combine(folder, "queue.db")}, seed {seed}");
// Three moments an order at which it may happen.
double crashRate = crashes / (3.0 * orders);
var happened = new Dictionary<string, int>();
var lives = new Random(seed);
while (await LiveAsync(lives.Next()) is { } line)
    happened[line] = happened.GetValueOrDefault(line) + 1;

var database = new Database(Path.Combine(folder, "shop.db"));
IReadOnlyList<Line> lines = database.Compare();
bool isProven = lines.All(static line => line.IsRight) && lines.Sum(static line => line.Orders) >= orders;
foreach ((string what, int times) in happened.Where(static line => line.Key.Length > 0).OrderBy(static line => line.Key, StringComparer.Ordinal))
    Console.WriteLine($"{times,4} times  {what}");
if (Console.IsOutputRedirected)
    WritePlain();
else
    WriteTable();
Console.WriteLine(isProven
    ? $"{lines.Sum(static line => line.Orders):N0} orders, each took effect once; {database.CountOutbox():N0} rows left in the outbox"
    : "Orders and bookings differ: this must not happen.");
if (isTemporary)
    Directory.Delete(folder, recursive: true);
return isProven ? 0 : 1;

// One life of the shop: null when it has done its work, otherwise empty; what it tells is counted.
async Task<string?> LiveAsync(int chance)
{
    string own = Environment.ProcessPath!;
    string[] arguments = ["shop", folder!, orders.ToString(CultureInfo.InvariantCulture), crashRate.ToString(CultureInfo.InvariantCulture), chance.ToString(CultureInfo.InvariantCulture)];
    var info = Path.GetFileNameWithoutExtension(own) == "dotnet" ? new ProcessStartInfo(own, [typeof(Shop).Assembly.Location, .. arguments]) : new ProcessStartInfo(own, arguments);
    info.RedirectStandardOutput = true;
    using Process shop = Process.Start(info)!;
    bool hasCrashed = false;
    while (await shop.StandardOutput.ReadLineAsync() is { } said)
    {
        happened[said] = happened.GetValueOrDefault(said) + 1;
        hasCrashed |= said.StartsWith("crash:", StringComparison.Ordinal);
    }
    await shop.WaitForExitAsync();
    return shop.ExitCode == 0 ? null : hasCrashed ? "" : throw new InvalidOperationException($"The shop ended with {shop.ExitCode}, and not on purpose.");
}

void WriteTable()
{
    var table = new Table().SimpleBorder().BorderColor(Color.Grey37);
    foreach (string column in Columns())
        table.AddColumn(new TableColumn(column) { Alignment = column == "Product" ? Justify.Left : Justify.Right });
    foreach (string[] row in Rows())
        table.AddRow(row.Select(Markup.Escape).ToArray());
    AnsiConsole.Write(table);
}

void WritePlain()
{
    string[][] rows = [Columns(), .. Rows()];
    int[] widths = [.. rows[0].Select((_, column) => rows.Max(row => row[column].Length))];
    Console.WriteLine();
    foreach (string[] row in rows)
        Console.WriteLine(string.Join("  ", row.Select((cell, i) => i == 0 ? cell.PadRight(widths[i]) : cell.PadLeft(widths[i]))));
    Console.WriteLine();
}

string[] Columns() => ["Product", "Orders", "Bookings", "Pieces ordered", "Pieces booked", ""];

IEnumerable<string[]> Rows() => lines.Select(static line => (string[])
    [line.Product, $"{line.Orders:N0}", $"{line.Bookings:N0}", $"{line.OrderedPieces:N0}", $"{line.BookedPieces:N0}", line.IsRight ? "the same" : "DIFFERENT"]);
