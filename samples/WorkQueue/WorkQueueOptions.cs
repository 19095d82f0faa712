using System.Globalization;
using QueueKit;

namespace WorkQueue;

/// <summary>A command line that cannot be followed; the message says why.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Where queues are kept.</summary>
internal enum StoreKind
{
    /// <summary>In this process only.</summary>
    Memory = 0,
    /// <summary>In a LiteDB file.</summary>
    LiteDB,
    /// <summary>In a RocksDB database.</summary>
    RocksDB,
    /// <summary>In a SQLite database.</summary>
    Sqlite,
}

/// <summary>What the command line asks for.</summary>
internal sealed record WorkQueueOptions
{
    public const string Help = """
        Indexes a folder: a producer sends one message per file, competing consumers hash it
        (SHA-256) and count its lines and words.

          dotnet run --project samples/WorkQueue -- [OPTIONS] [FOLDER]

          FOLDER             what to index (default: the repository that contains this sample)
          --consumers N      how many consumers compete, 1 to 1000 (default: one per processor,
                             at least 2)
          --capacity N       the most messages in the queue, in flight included (default: 1024)
          --overflow POLICY  what happens when it is full (default: backpressure)
                               backpressure  the producer waits
                               reject        the producer is refused, pauses and tries again
                               dropoldest    the oldest ready file makes room: it is not indexed
                               dropnewest    the new file is dropped: it is not indexed
                               buffer        what exceeds the capacity waits in the store
          --lease DURATION   how long a delivery is a consumer's own, for example 500ms, 30s
                             (default: 30s, with --fail-rate 500ms)
          --fail-rate SHARE  how many deliveries fail on purpose, 0 to 1: the consumer throws
                             before or after its work, or stalls past its lease (one in ten,
                             but no more than about 25). Only the first 3 attempts of a file
                             can fail so: every file gets through
          --seed N           repeats the failures of an earlier run (default: random, printed)
          --store KIND       where the queues are kept: litedb, a file that survives a crash
                             (default), sqlite, one that any tool can read, rocksdb, a folder
                             of files, or memory
          --data DIR         the folder of those files (default: one of its own for each folder
                             that is indexed, among your application data). An unfinished run
                             that it holds is resumed
          --pace DURATION    spend at least this long on each file, to watch the queue at work
          --output FILE      writes path,sha256,lines,words as CSV, one line per file after a
                             header, sorted by path
          --help             this text

        Folders called .git, .artifacts, bin and obj are skipped, symbolic links are not followed,
        and neither is the output file indexed. A line ends with \n; an unterminated last line
        counts too. A word is a run of bytes other than ASCII white space.

        Exit codes: 0 complete; 1 some files could not be read (they are listed); 2 the command
        line is wrong or the store cannot be opened; 3 incomplete, because files were dropped;
        130 stopped with Ctrl-C: start again to go on.
        """;

    public required string Folder { get; init; }
    public int Consumers { get; init; } = Math.Max(2, Environment.ProcessorCount);
    public int Capacity { get; init; } = 1024;
    public OverflowPolicy Overflow { get; init; } = OverflowPolicy.Backpressure;
    public TimeSpan Lease { get; init; }
    public double FailRate { get; init; }
    public int Seed { get; init; }
    public TimeSpan Pace { get; init; }

    /// <summary>Where the queues are kept.</summary>
    public StoreKind Store { get; init; } = StoreKind.LiteDB;

    /// <summary>The folder of the store.</summary>
    public string Data { get; init; } = "";

    /// <summary>How many files the producer sends at once: few enough to leave the consumers something to do, and one where each can be dropped or refused alone.</summary>
    public int SendBatch => Overflow is OverflowPolicy.Backpressure or OverflowPolicy.Buffer ? Math.Clamp(Capacity / 4, 1, 64) : 1;

    public string? Output { get; init; }

    /// <summary>Null if the command line asks for the help text.</summary>
    /// <exception cref="UsageException">The command line is wrong.</exception>
    public static WorkQueueOptions? Parse(IReadOnlyList<string> args)
    {
        string? folder = null;
        TimeSpan? lease = null;
        int? seed = null;
        var options = new WorkQueueOptions { Folder = "" };
        for (var rest = new Queue<string>(args); rest.TryDequeue(out string? arg);)
        {
            (string name, string? attached) = Split(arg);
            string Value() => (attached ?? (rest.TryDequeue(out string? next) ? next : null)) is { Length: > 0 } value ? value : throw new UsageException($"{name} needs a value.");
            switch (name)
            {
                case "--help" or "-h" or "-?":
                    return null;
                case "--consumers":
                    options = options with { Consumers = ParseInt(name, Value(), 1, 1000) };
                    break;
                case "--capacity":
                    options = options with { Capacity = ParseInt(name, Value(), 1, int.MaxValue) };
                    break;
                case "--overflow":
                    options = options with { Overflow = ParsePolicy(Value()) };
                    break;
                case "--lease":
                    lease = ParseDuration(name, Value());
                    break;
                case "--fail-rate":
                    options = options with { FailRate = ParseShare(name, Value()) };
                    break;
                case "--seed":
                    seed = ParseInt(name, Value(), 0, int.MaxValue);
                    break;
                case "--store":
                    options = options with { Store = ParseStore(Value()) };
                    break;
                case "--data":
                    options = options with { Data = Path.GetFullPath(Value()) };
                    break;
                case "--pace":
                    options = options with { Pace = ParseDuration(name, Value()) };
                    break;
                case "--output":
                    options = options with { Output = Path.GetFullPath(Value()) };
                    break;
                case "--" when rest.Count == 0:
                    break;
                case "--":
                    folder = Single(folder, rest.Dequeue());
                    break;
                case ['-', ..]:
                    throw new UsageException($"There is no option {name}.");
                default:
                    folder = Single(folder, arg);
                    break;
            }
        }
        lease ??= options.FailRate > 0 ? TimeSpan.FromMilliseconds(500) : TimeSpan.FromSeconds(30);
        if (options.Pace >= lease)
            throw new UsageException("--pace must be shorter than --lease: nobody could finish a file in time.");
        if (options.Store == StoreKind.Memory && options.Data.Length > 0)
            throw new UsageException("--data is where a durable store is kept, and --store memory is none. Leave one of them out.");
        folder = ResolveFolder(folder);
        return options with
        {
            Folder = folder,
            Data = options.Data.Length > 0 ? options.Data : DefaultData(folder),
            Lease = lease.Value,
            Seed = seed ?? Random.Shared.Next(1_000_000),
        };
    }

    /// <summary>How the queue of files is declared.</summary>
    public QueueOptions ToQueueOptions() => new()
    {
        Overflow = Overflow,
        MaxMessages = Capacity,
        LeaseDuration = Lease,
        MaxLeaseDuration = Lease > TimeSpan.FromHours(1) ? Lease : TimeSpan.FromHours(1),
        // A file that fails is worth another look at once, and a few more than usual: three may fail on purpose.
        RetryDelay = RetryDelay.Exponential(TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(250)),
        MaxAttempts = 8,
    };

    /// <summary>How the broker is opened.</summary>
    public MessageBrokerOptions ToBrokerOptions()
    {
        // <store>
        var options = new MessageBrokerOptions();
        if (Store != StoreKind.Memory)
            Directory.CreateDirectory(Data);
        if (Store == StoreKind.LiteDB)
            options.UseLiteDB(Path.Combine(Data, "queue.db")); // from the package QueueKit.LiteDB
        if (Store == StoreKind.RocksDB)
            options.UseRocksDB(Path.Combine(Data, "queue")); // from the package QueueKit.RocksDB
        if (Store == StoreKind.Sqlite)
            options.UseSqlite(Path.Combine(Data, "queue.sqlite")); // from the package QueueKit.Sqlite
        // </store>
        return options;
    }

    // One for each folder that is indexed, so that runs over several do not meet.
    private static string DefaultData(string folder)
    {
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(System.Text.Encoding.UTF8.GetBytes(folder)))[..12];
        string applications = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData, Environment.SpecialFolderOption.Create);
        return Path.Combine(applications.Length > 0 ? applications : Path.GetTempPath(), "QueueKit", "WorkQueue", hash);
    }

    private static StoreKind ParseStore(string text) => text switch
    {
        "memory" => StoreKind.Memory,
        "litedb" => StoreKind.LiteDB,
        "rocksdb" => StoreKind.RocksDB,
        "sqlite" => StoreKind.Sqlite,
        _ => throw new UsageException($"--store is '{text}'; it must be litedb, sqlite, rocksdb or memory."),
    };

    private static (string Name, string? Value) Split(string arg) =>
        arg.StartsWith("--", StringComparison.Ordinal) && arg.IndexOf('=') is > 0 and var at ? (arg[..at], arg[(at + 1)..]) : (arg, null);

    private static string Single(string? folder, string another) =>
        folder is null ? another : throw new UsageException($"One folder at a time: '{folder}' or '{another}'?");

    private static string ResolveFolder(string? folder)
    {
        if (folder == "")
            throw new UsageException("The folder's name is empty; leave it out to index the repository.");
        folder = Path.GetFullPath(folder ?? FindRepository() ?? Environment.CurrentDirectory);
        if (File.Exists(folder))
            throw new UsageException($"'{folder}' is a file; give the folder to index.");
        if (!Directory.Exists(folder))
            throw new UsageException($"There is no folder '{folder}'.");
        return folder;
    }

    private static string? FindRepository()
    {
        foreach (string start in (string[])[Environment.CurrentDirectory, AppContext.BaseDirectory])
        {
            for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
            {
                if (File.Exists(Path.Combine(folder.FullName, "QueueKit.sln")))
                    return folder.FullName;
            }
        }
        return null;
    }

    private static int ParseInt(string name, string text, int min, int max) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int value) && value >= min && value <= max
            ? value
            : throw new UsageException(max == int.MaxValue
                ? $"{name} is '{text}'; it must be a whole number, at least {min}."
                : $"{name} is '{text}'; it must be a whole number from {min} to {max}.");

    private static double ParseShare(string name, string text) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double value) && value is >= 0 and <= 1
            ? value
            : throw new UsageException($"{name} is '{text}'; it must be a share from 0 to 1, for example 0.3.");

    private static OverflowPolicy ParsePolicy(string text)
    {
        foreach (OverflowPolicy policy in Enum.GetValues<OverflowPolicy>())
        {
            if (string.Equals(policy.ToString(), text, StringComparison.OrdinalIgnoreCase))
                return policy;
        }
        throw new UsageException($"--overflow is '{text}'; it must be backpressure, reject, dropoldest, dropnewest or buffer.");
    }

    private static TimeSpan ParseDuration(string name, string text)
    {
        foreach ((string unit, double milliseconds) in (ReadOnlySpan<(string, double)>)[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)])
        {
            if (text.EndsWith(unit, StringComparison.Ordinal)
                && double.TryParse(text.AsSpan(0, text.Length - unit.Length), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double number)
                && number * milliseconds is >= 1 and <= 24 * 3_600_000)
            {
                return TimeSpan.FromMilliseconds(number * milliseconds);
            }
        }
        throw new UsageException($"{name} is '{text}'; it must be a duration from 1ms to 24h, for example 500ms, 1.5s or 2m.");
    }
}
