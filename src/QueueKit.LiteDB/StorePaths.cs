namespace QueueKit.LiteDB;

/// <summary>The files of a store, named as LiteDB's tools expect them: <c>queue.db</c>, <c>queue-log.db</c>.</summary>
internal sealed class StorePaths
{
    public StorePaths(string data)
    {
        Data = Path.GetFullPath(data);
        Log = Beside("-log");
        NextLog = Beside("-log-next");
        OldLog = Beside("-log-old");
        New = Beside("-new");
        Lock = Data + ".lock";
        LiteBackup = Beside("-backup");
        Repaired = Beside("-repaired");
        Repairing = Beside("-repairing");
    }

    public string Data { get; }

    public string Log { get; }

    /// <summary>A log in the making, which takes the place of the log when that has been copied.</summary>
    public string NextLog { get; }

    /// <summary>A log that has been copied; the next one is made of it.</summary>
    public string OldLog { get; }

    /// <summary>A data file in the making; it gets its name when it is complete.</summary>
    public string New { get; }

    public string Lock { get; }

    /// <summary>What LiteDB's own rebuild leaves if it dies between its two renames, and the data file is gone.</summary>
    public string LiteBackup { get; }

    /// <summary>What a repair has made: a whole store, which takes the place of the data file.</summary>
    public string Repaired { get; }

    /// <summary>What a repair is making.</summary>
    public string Repairing { get; }

    /// <summary>A file beside the data file: <c>queue</c> + suffix + <c>.db</c>.</summary>
    public string Beside(string suffix) =>
        Path.Combine(Path.GetDirectoryName(Data)!, Path.GetFileNameWithoutExtension(Data) + suffix + Path.GetExtension(Data));
}
