using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using QueueKit.Throughput.Scenarios;

namespace QueueKit.Throughput;

/// <summary>What the program was asked to do.</summary>
internal sealed record CommandLine(string Command)
{
    public const double DefaultSeconds = 12;

    public const string Usage = """
        usage: QueueKit.Throughput limits|durable|handlers|telemetry|idle|backlog|growth [--seconds N] [--only TEXT] [--store NAME] [--messages N] [--body N] [--json FILE]

        limits         the engine beside the least that could do the same work (scenarios memory and pipeline)
        durable        flushed queues on each store beside a bare loop that commits groups with the same engine
        handlers       typed handlers in a host beside a bare receive loop, and beside MassTransit, Rebus and Wolverine in memory
        telemetry      transient queues with telemetry beside the same without
        idle           100,000 idle queues: memory, threads, processor, opening them again; many busy queues beside one
        backlog        a backlog that outgrows memory: memory, deliveries, opening it after a close and after a kill
        growth         files on the disk after a backlog is gone, and under one message that stays while others come and go

        --seconds N    time for each variant, warm-up included; 1 to 3600, default 12
        --only TEXT    only the variants whose "scenario variant" contains TEXT, for example "memory async"
        --store NAME   only this store: litedb, rocksdb or sqlite; goes with "durable", "idle", "backlog" and "growth"
        --messages N   of "backlog" and "growth": so many messages, 200,000 to 100,000,000; default 10,000,000 on RocksDB ("backlog"), otherwise 1,000,000
        --body N       of "durable": bytes of a body; default 100 and, with 256 and 2048 tasks, also 1,024
        --json FILE    also write the rows to FILE, as an array
        """;

    public double Seconds { get; private set; } = DefaultSeconds;

    public string? Only { get; private set; }

    public string? Store { get; private set; }

    public long? Messages { get; private set; }

    public int? Body { get; private set; }

    public string? JsonFile { get; private set; }

    /// <summary>Measures each reference against itself: the ratios then show how far this machine can be trusted.</summary>
    public bool SelfCheck { get; private set; }

    public static bool TryParse(
        string[] args, IReadOnlyCollection<string> commands, [NotNullWhen(true)] out CommandLine? line, [NotNullWhen(false)] out string? mistake)
    {
        line = null;
        if (args is [])
            return Fail("Say what to measure.", out mistake);
        if (!commands.Contains(args[0]))
            return Fail($"There is no command '{args[0]}'.", out mistake);

        var result = new CommandLine(args[0]);
        for (int i = 1; i < args.Length; i++)
        {
            string option = args[i];
            string? value = i + 1 < args.Length ? args[i + 1] : null;
            switch (option)
            {
                case "--self-check":
                    result.SelfCheck = true;
                    continue;
                case "--seconds" or "--only" or "--store" or "--messages" or "--body" or "--json" when value is null:
                    return Fail($"{option} needs a value.", out mistake);
                case "--seconds":
                    if (!double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double seconds) || seconds is not (>= 1 and <= 3600))
                        return Fail($"--seconds is '{value}'; it must be a number from 1 to 3600.", out mistake);
                    result.Seconds = seconds;
                    break;
                case "--only":
                    result.Only = value;
                    break;
                case "--store":
                    if (args[0] is not ("durable" or "idle" or "backlog" or "growth") || DurableEngine.All.All(engine => engine.Name != value))
                        return Fail($"--store is '{value}'; it goes with 'durable', 'idle', 'backlog' and 'growth', and can be {string.Join(" or ", DurableEngine.All.Select(static engine => engine.Name))}.", out mistake);
                    result.Store = value;
                    break;
                case "--messages":
                    if (args[0] is not ("backlog" or "growth") || !long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long messages) || messages is not (>= 200_000 and <= 100_000_000))
                        return Fail($"--messages is '{value}'; it goes with 'backlog' and 'growth', and must be a number from 200000 to 100000000.", out mistake);
                    result.Messages = messages;
                    break;
                case "--body":
                    if (args[0] != "durable" || !int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out int body) || body is not (>= 1 and <= 65_536))
                        return Fail($"--body is '{value}'; it goes with 'durable', and must be a number from 1 to 65536.", out mistake);
                    result.Body = body;
                    break;
                case "--json":
                    // Looked at before minutes of measuring, not after.
                    if (value is "" || Path.GetDirectoryName(Path.GetFullPath(value!)) is not { } folder || !Directory.Exists(folder))
                        return Fail($"--json is '{value}'; its folder does not exist.", out mistake);
                    result.JsonFile = value;
                    break;
                default:
                    return Fail($"There is no option '{option}'.", out mistake);
            }
            i++;
        }
        line = result;
        mistake = null;
        return true;
    }

    private static bool Fail(string text, out string mistake)
    {
        mistake = text;
        return false;
    }
}
