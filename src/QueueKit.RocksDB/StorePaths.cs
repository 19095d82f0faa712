namespace QueueKit.RocksDB;

/// <summary>The folder of a store, and what lies beside it.</summary>
internal sealed class StorePaths
{
    public StorePaths(string folder)
    {
        Folder = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder));
        Parent = Path.GetDirectoryName(Folder) ?? throw new ArgumentException($"'{folder}' is the root of a disk. Name a folder in it.", nameof(folder));
    }

    /// <summary>The database.</summary>
    public string Folder { get; }

    /// <summary>Where it lies.</summary>
    public string Parent { get; }

    /// <summary>The file that makes a folder a database: it names the one that lists all others.</summary>
    public string Current => Path.Combine(Folder, "CURRENT");

    /// <summary>A database in the making; it gets its name when it is complete.</summary>
    public string New => Folder + "-new";

    /// <summary>What a repair reads, if RocksDB must make something readable of it first.</summary>
    public string Salvaged => Folder + "-salvaged";

    /// <summary>What a repair is making.</summary>
    public string Repairing => Folder + "-repairing";

    /// <summary>What a repair has made: a whole store, which takes the place of the database.</summary>
    public string Repaired => Folder + "-repaired";

    /// <summary>The first free name for what a repair sets aside.</summary>
    public string FindDamaged() => Enumerable.Range(1, int.MaxValue).Select(number => $"{Folder}-damaged-{number}").First(static path => !Directory.Exists(path) && !File.Exists(path));

    /// <summary>Whether there is a database.</summary>
    public bool Exists => File.Exists(Current);

    /// <summary>RocksDB's logs: what was committed and is in no table yet.</summary>
    public IEnumerable<FileInfo> Logs() => new DirectoryInfo(Folder).EnumerateFiles("*.log");

    /// <summary>What is in the folder; nothing if there is none.</summary>
    public IEnumerable<string> Names() => Directory.Exists(Folder) ? Directory.EnumerateFileSystemEntries(Folder).Select(static path => Path.GetFileName(path)) : [];

    /// <summary>Whether a name is one that RocksDB gives to what it cannot do without.</summary>
    public static bool IsOfDatabase(string name) =>
        name.StartsWith("MANIFEST-", StringComparison.Ordinal) || Path.GetExtension(name) is ".sst" or ".blob" or ".log";
}
