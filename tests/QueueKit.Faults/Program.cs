using QueueKit.Faults;
using QueueKit.Faults.Kill;
using QueueKit.Faults.Outbox;

// A level is one kind of fault; the children are what the levels start and kill.
if (args is ["child", ..])
    return await KillChild.RunAsync(ChildOptions.Parse(args));
if (args is ["outbox-child", ..])
    return await OutboxChild.RunAsync(ChildOptions.Parse(args));

if (args is [] or ["--help" or "-h" or "help"])
{
    Console.WriteLine(FaultOptions.Help);
    return args.Length == 0 ? 2 : 0;
}

FaultOptions options;
try
{
    options = FaultOptions.Parse(args);
}
catch (FormatException mistake)
{
    Console.Error.WriteLine(mistake.Message);
    Console.Error.WriteLine(FaultOptions.Help);
    return 2;
}

FaultReport report = options.Level switch
{
    "kill" => await KillLevel.RunAsync(options),
    "outbox" => await OutboxLevel.RunAsync(options),
    _ => throw new InvalidOperationException($"Level '{options.Level}' is not built."),
};
report.Write(options.Json);
return report.Violations.Count == 0 ? 0 : 1;
