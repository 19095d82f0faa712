namespace QueueKit.Sqlite;

/// <summary>The files of a store, named as SQLite names them: <c>queue.db</c>, <c>queue.db-wal</c>, <c>queue.db-shm</c>.</summary>
internal sealed class StorePaths
{
    public StorePaths(string data)
    {
        Data = Path.GetFullPath(data);
        Log = LogOf(Data);
        Index = IndexOf(Data);
        New = Data + "-new";
        Repairing = Data + "-repairing";
        Repaired = Data + "-repaired";
    }

    public string Data { get; }

    /// <summary>What was committed since the last checkpoint: SQLite's write-ahead log.</summary>
    public string Log { get; }

    /// <summary>SQLite's index of the log, shared by all connections; worth nothing when none is open.</summary>
    public string Index { get; }

    public string Folder => Path.GetDirectoryName(Data)!;

    /// <summary>A database in the making; it gets its name when it is complete.</summary>
    public string New { get; }

    /// <summary>What a repair is making.</summary>
    public string Repairing { get; }

    /// <summary>What a repair has made: a whole store, which takes the place of the database.</summary>
    public string Repaired { get; }

    /// <summary>What a repair has set aside.</summary>
    public string Damaged(int number) => $"{Data}-damaged-{number}";

    public static string LogOf(string data) => data + "-wal";

    public static string IndexOf(string data) => data + "-shm";
}
