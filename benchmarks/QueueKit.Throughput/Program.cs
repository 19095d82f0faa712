using QueueKit.Throughput;
using QueueKit.Throughput.Scenarios;

// A command is a set of scenarios; a scenario is one file that yields comparisons.
Dictionary<string, Func<string?, IEnumerable<Comparison>>> commands = new(StringComparer.Ordinal)
{
    ["limits"] = static _ => [.. MemoryScenario.Comparisons(), .. PipelineScenario.Comparisons()],
    ["durable"] = DurableScenario.Comparisons,
    ["handlers"] = static _ => HandlerScenario.Comparisons(),
    ["telemetry"] = static _ => TelemetryScenario.Comparisons(),
};

// What has to be measured in a process of its own.
Dictionary<string, Func<string[], Task>> jobs = new(StringComparer.Ordinal)
{
    ["idle declare"] = IdleJobs.DeclareAsync,
    ["idle open"] = IdleJobs.OpenAsync,
    ["idle transient"] = IdleJobs.TransientAsync,
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

List<Comparison> comparisons = [.. commands[line.Command](line.Store).Where(comparison => line.Only is null || comparison.Name.Contains(line.Only, StringComparison.OrdinalIgnoreCase))];
if (comparisons.Count == 0)
{
    Console.Error.WriteLine($"No variant of '{line.Command}' contains '{line.Only}'. Its variants: {string.Join(", ", commands[line.Command](line.Store).Select(c => c.Name))}.");
    return 2;
}
if (line.SelfCheck)
    comparisons = [.. comparisons.Select(comparison => comparison.AgainstItself())];

List<Result> results = await Display.RunAsync(comparisons, TimeSpan.FromSeconds(line.Seconds));
DurableScenario.CleanUp();
ResultTable.Write(results);
if (line.JsonFile is not null)
    ResultJson.Write(results, line.JsonFile);
return 0;
