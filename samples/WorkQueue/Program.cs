using System.Runtime.InteropServices;
using QueueKit;
using Spectre.Console;
using WorkQueue;

const int complete = 0, someUnread = 1, badUsage = 2, someDropped = 3, interrupted = 130;

using var stop = new CancellationTokenSource();
string data = "";
using PosixSignalRegistration ctrlC = PosixSignalRegistration.Create(PosixSignal.SIGINT, StopCleanly);
try
{
    if (WorkQueueOptions.Parse(args) is not { } options)
    {
        Console.WriteLine(WorkQueueOptions.Help);
        return complete;
    }
    data = options.Data;
    return await IndexAsync(options, stop.Token);
}
catch (Exception error) when (error is UsageException or QueueDeclarationException or StoreException)
{
    Console.Error.WriteLine(error.Message);
    if (error is StoreException && data.Length > 0)
        Console.Error.WriteLine($"The store is in '{data}'. To begin anew, delete that folder or choose another with --data.");
    Console.Error.WriteLine("All options: dotnet run --project samples/WorkQueue -- --help");
    return badUsage;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    Terminal.WriteLine("");
    Terminal.WriteLine("[yellow]Stopped[/] before the index was complete. Nothing was written; with a durable store, start again to go on.");
    return interrupted;
}

static async Task<int> IndexAsync(WorkQueueOptions options, CancellationToken ct)
{
    if (options.Output is not null)
        CsvFile.Probe(options.Output);
    await using IndexRun run = await IndexRun.OpenAsync(options, ct);
    FileTree tree = FileTree.List(options.Folder, options.Output);
    Terminal.WriteLine($"Indexing [bold]{Markup.Escape(tree.Root)}[/]");
    Terminal.WriteLine($"[grey]{Describe(options)}[/]");
    if (options.FailRate > 0)
        Terminal.WriteLine($"[grey]{options.FailRate * 100:0.##} % of deliveries fail on purpose, seed {options.Seed}[/]");
    if (run.IsResumed)
        Terminal.WriteLine($"[yellow]Going on[/] where an earlier start stopped: {Figures.Plural(run.Found.Count, "file")} done, {Figures.Count(run.Files.GetSnapshot().Messages)} in the queue");
    if (Terminal.IsLive)
        Terminal.WriteLine("");

    var indexer = new FileIndexer(run, tree, options);
    Task indexing = indexer.RunAsync(ct);
    await (Terminal.IsLive ? new LiveView(indexer, options).ShowAsync(indexing) : PlainView.ShowAsync(indexer, indexing));
    await indexing;

    IndexReport report = await IndexReport.CreateAsync(run, tree, indexer);
    if (options.Output is not null)
        await CsvFile.WriteAsync(options.Output, report.Rows);
    await run.FinishAsync(report);
    new Summary(indexer, report, options).Write();
    return report switch
    {
        { Dropped.Count: > 0 } => someDropped,
        { Unread.Count: > 0 } => someUnread,
        _ => complete,
    };
}

static string Describe(WorkQueueOptions options) =>
    $"{Figures.Plural(options.Consumers, "consumer")}, {options.Overflow.ToString().ToLowerInvariant()} at {Figures.Plural(options.Capacity, "message")}, lease {Figures.Duration(options.Lease)}, {(options.Store == StoreKind.Memory ? "in memory" : $"kept in {options.Data}")}";

void StopCleanly(PosixSignalContext context)
{
    // A second signal ends the process at once.
    context.Cancel = !stop.IsCancellationRequested;
    stop.Cancel();
}
