using QueueKit.Throughput;
using QueueKit.Throughput.Scenarios;

// A command is a set of scenarios; a scenario is one file that yields comparisons.
Dictionary<string, Func<CommandLine?, IEnumerable<Comparison>>> commands = new(StringComparer.Ordinal)
{
    ["limits"] = static _ => [.. MemoryScenario.Comparisons(), .. PipelineScenario.Comparisons()],
    ["durable"] = static line => DurableScenario.Comparisons(line?.Store, line?.Body),
    ["handlers"] = static _ => HandlerScenario.Comparisons(),
    ["telemetry"] = static _ => TelemetryScenario.Comparisons(),
    ["idle"] = static line => IdleScenario.Comparisons(line?.Store),
    ["backlog"] = static line => BacklogScenario.Comparisons(line?.Store, line?.Messages),
    ["growth"] = static line => GrowthScenario.Comparisons(line?.Store, line?.Messages),
};

// What has to be measured in a process of its own.
Dictionary<string, Func<string[], Task>> jobs = new(StringComparer.Ordinal)
{
    ["idle declare"] = IdleJobs.DeclareAsync,
    ["idle open"] = IdleJobs.OpenAsync,
    ["idle transient"] = IdleJobs.TransientAsync,
    ["backlog fill"] = BacklogJobs.FillAsync,
    ["backlog drain"] = BacklogJobs.DrainAsync,
    ["backlog flow"] = BacklogJobs.FlowAsync,
    ["backlog open"] = BacklogJobs.OpenAsync,
    ["growth"] = GrowthJobs.RunAsync,
};

if (args is [ChildProcess.Argument, var job, .. var arguments])
{
    await jobs[job](arguments);
    return 0;
}

if (args is ["--help" or "-h" or "help"])
{
    Console.WriteLine(CommandLine.Usage);
    return 0;
}

if (!CommandLine.TryParse(args, commands.Keys, out CommandLine? line, out string? mistake))
{
    Console.Error.WriteLine(mistake);
    Console.Error.WriteLine();
    Console.Error.WriteLine(CommandLine.Usage);
    return 2;
}

List<Comparison> comparisons = [.. commands[line.Command](line).Where(comparison => line.Only is null || comparison.Name.Contains(line.Only, StringComparison.OrdinalIgnoreCase))];
if (comparisons.Count == 0)
{
    Console.Error.WriteLine($"No variant of '{line.Command}' contains '{line.Only}'. Its variants: {string.Join(", ", commands[line.Command](line).Select(c => c.Name))}.");
    return 2;
}
if (line.SelfCheck)
    comparisons = [.. comparisons.Select(comparison => comparison.AgainstItself())];

List<Result> results = await Display.RunAsync(comparisons, TimeSpan.FromSeconds(line.Seconds));
DurableScenario.CleanUp();
ScratchFolder.CleanUp();
ResultTable.Write(results);
if (line.JsonFile is not null)
    ResultJson.Write(results, line.JsonFile);
return 0;
