using System.Globalization;

namespace QueueKit.Faults;

/// <summary>What the command line asks for.</summary>
internal sealed record FaultOptions(string Level, int Runs, int Seed, string Store, string? Json)
{
    public const string Help = """
        Injects faults and checks what QueueKit promises.

          dotnet run -c Release --project tests/QueueKit.Faults -- LEVEL [OPTIONS]

          LEVEL        kill      a child process sends, receives and acks; it is killed (SIGKILL) at a
                                 random moment and started again. The truth is kept in the parent:
                                 what counts is what it has read from the child before the kill.
                       outbox    the same with a child that sends in transactions of an application's
                                 SQLite database: every row committed there has its message, once,
                                 and no message is without its row.
          --runs N     how many faults (default: 100)
          --seed S     repeats the random choices of an earlier run (default: random, printed)
          --store NAME litedb (default), rocksdb, sqlite
          --json FILE  writes the result as an array of rows

        Exit code 1 on any violation.
        """;

    private static readonly string[] s_levels = ["kill", "outbox"];
    private static readonly string[] s_stores = ["litedb", "rocksdb", "sqlite"];

    /// <exception cref="FormatException">The command line cannot be followed; the message says why.</exception>
    public static FaultOptions Parse(IReadOnlyList<string> args)
    {
        string level = args[0];
        if (!s_levels.Contains(level))
            throw new FormatException($"There is no level '{level}'.");
        // The one place where chance comes in; from here on it is the seed's.
        var options = new FaultOptions(level, 100, Environment.ProcessId * 7919 % 1_000_000, s_stores[0], null);
        for (int i = 1; i < args.Count; i += 2)
        {
            string value = i + 1 < args.Count ? args[i + 1] : throw new FormatException($"{args[i]} needs a value.");
            options = args[i] switch
            {
                "--runs" => options with { Runs = Number(args[i], value, 1) },
                "--seed" => options with { Seed = Number(args[i], value, 0) },
                "--store" when s_stores.Contains(value) => options with { Store = value },
                "--store" => throw new FormatException($"There is no store '{value}': {string.Join(", ", s_stores)}."),
                "--json" => options with { Json = value },
                _ => throw new FormatException($"There is no option {args[i]}."),
            };
        }
        return options;
    }

    private static int Number(string name, string text, int min) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= min
            ? value
            : throw new FormatException($"{name} is '{text}'; it must be a whole number, at least {min}.");
}
