using QueueKit.LiteDB.Files;

namespace QueueKit.LiteDB;

/// <summary>Data file and log of an open store, and the order in which they change.</summary>
/// <remarks>
/// What the disk is assumed to do: a sector of 512 bytes is written whole or not at all; a flush that succeeds has put everything before it on the disk;
/// what has not been flushed may be there or not, sector by sector, in any order; a rename is there or not.
/// <list type="number">
/// <item>A commit: the transaction is appended to the log under one checksum, then the log is flushed.</item>
/// <item>A checkpoint: flush the log; copy its pages into the data file, most of them ahead and beside commits; flush that; say "Emptying" and flush; cut the log, write its new first page and flush, or put one that was made ahead in its place; say "Live" and flush.</item>
/// <item>After a crash in the midst of it: up to "Emptying" the log is whole and everything is copied again; from then on the log is worth nothing.</item>
/// <item>Closing: a checkpoint, then "Closed" and a flush, then the log is deleted. So a store that was closed is one file.</item>
/// </list>
/// </remarks>
internal sealed class StoreFiles : IDisposable
{
    private readonly IStoreFileSystem _files;
    private readonly StorePaths _paths;
    private long _dataLength;

    private StoreFiles(IStoreFileSystem files, StorePaths paths, DataFile data, LogFile log)
    {
        _files = files;
        _paths = paths;
        Data = data;
        Log = log;
        data.Source = log;
        log.Emptied = EmptyLog;
        Ahead = new AdvanceCopy(log, data);
        Next = new NextLog(files, paths);
        Next.Delete();
        _dataLength = data.Length;
    }

    public DataFile Data { get; }

    public LogFile Log { get; }

    /// <summary>What is copied before a checkpoint.</summary>
    public AdvanceCopy Ahead { get; }

    /// <summary>What is made ready before a checkpoint.</summary>
    public NextLog Next { get; }

    /// <summary>The state of the log after the next checkpoint.</summary>
    public StoreState NextState => new(Data.State.StoreId, Data.State.Generation + 1, StorePhase.Live);

    /// <summary>What the data file will grow by with the next checkpoint.</summary>
    public long PendingGrowth => Math.Max(0, (Log.LargestPageId + 1L) * PageFormat.Size - _dataLength);

    /// <summary>Opens the files of a store that exists; nothing is changed before everything is known to be right.</summary>
    public static StoreFiles Open(IStoreFileSystem files, StorePaths paths, int aheadBytes)
    {
        IStoreFile data = files.Open(paths.Data);
        IStoreFile? log = null;
        try
        {
            byte[] header = ReadHeader(data, paths.Data);
            StoreState state = PageFormat.ReadState(header);
            LogScan? scan = null;
            if (files.Exists(paths.Log))
            {
                log = files.Open(paths.Log);
                scan = ReadLog(log, state, paths);
            }
            else if (state.Phase == StorePhase.Live)
            {
                throw StoreErrors.LogMissing(paths);
            }
            RefuseTruncated(data, header, scan, paths.Data);

            try
            {
                return MakeReady(files, paths, new DataFile(paths.Data, data, state, header), ref log, scan, aheadBytes);
            }
            catch (Exception error) when (error is IOException or UnauthorizedAccessException)
            {
                throw StoreErrors.FailedToOpen(paths.Data, error);
            }
        }
        catch
        {
            data.Dispose();
            log?.Dispose();
            throw;
        }
    }

    /// <summary>Says that the data file holds everything and needs no log. To be called after a checkpoint that left the log empty.</summary>
    public void Close()
    {
        Data.Enter(new StoreState(Data.State.StoreId, Data.State.Generation + 1, StorePhase.Closed));
        Log.Dispose();
        _files.Delete(_paths.Log);
        Next.Delete();
    }

    public void Dispose()
    {
        Data.Dispose();
        Log.Dispose();
        Next.Close();
    }

    // The log is worth nothing from the first step to the last: a crash in between leads to MakeReady.
    private void EmptyLog()
    {
        StoreState state = BeginLog(Data);
        if (!Next.TryTakeOver(state, Log))
            Log.Restart(state);
        Data.Enter(state with { Phase = StorePhase.Live });
        _dataLength = Data.Length;
    }

    private static StoreState BeginLog(DataFile data)
    {
        var state = new StoreState(data.State.StoreId, data.State.Generation + 1, StorePhase.Emptying);
        data.Enter(state);
        return state;
    }

    private static StoreFiles MakeReady(IStoreFileSystem files, StorePaths paths, DataFile data, ref IStoreFile? logFile, LogScan? scan, int aheadBytes)
    {
        if (data.State.Phase == StorePhase.Live)
        {
            // A process that died may have written without a flush; from here on everything in the log is on the disk.
            logFile!.Sync();
            return new StoreFiles(files, paths, data, new LogFile(paths.Log, logFile, data.State, scan, aheadBytes));
        }
        StoreState state = BeginLog(data);
        if (logFile is null)
        {
            logFile = files.Create(paths.Log);
            files.SyncDirectory(paths.Log);
        }
        var log = new LogFile(paths.Log, logFile, state, scan: null, aheadBytes);
        log.Restart(state);
        data.Enter(state with { Phase = StorePhase.Live });
        return new StoreFiles(files, paths, data, log);
    }

    /// <summary>Reads the header page of a data file and refuses what is not a store, newer or damaged.</summary>
    public static byte[] ReadHeader(IStoreFile data, string path)
    {
        byte[] header = new byte[PageFormat.Size];
        int read = data.Read(0, header);
        if (read == 0)
            throw StoreErrors.NotAStore(path, "it is empty");
        if (!PageFormat.IsLiteHeader(header) && !PageFormat.HasMark(header))
            throw StoreErrors.NotAStore(path, "it is no LiteDB file");
        if (!PageFormat.HasMark(header))
            throw StoreErrors.NotAStore(path, "it is a LiteDB file of another program");
        if (read < header.Length)
            throw StoreErrors.Damaged(path, $"'{path}' is cut off after {read} bytes");
        if (PageFormat.Unseal(header, 0) is { } damage)
            throw StoreErrors.Damaged(path, $"the first page of '{path}' is not what was written: {damage}");
        if (PageFormat.ReadVersion(header) is var version and not PageFormat.Version)
            throw StoreErrors.TooNew(path, version);
        return header;
    }

    private static LogScan? ReadLog(IStoreFile log, StoreState state, StorePaths paths)
    {
        byte[] first = new byte[PageFormat.Size];
        int read = log.Read(0, first);
        bool isOurs = PageFormat.TryReadLogHeader(first, out Guid storeId, out long generation, out ushort version) && read == first.Length;
        if (isOurs && version != PageFormat.Version)
            throw StoreErrors.TooNew(paths.Log, version);
        if (isOurs && storeId != state.StoreId)
            throw StoreErrors.WrongLog(paths, "it is the log of another store");
        if (isOurs && generation > state.Generation)
            throw StoreErrors.WrongLog(paths, "it is newer than the data file, which must be an old copy");
        // While it is being emptied a log may be anything; it is not needed.
        if (state.Phase == StorePhase.Emptying)
            return null;
        if (!isOurs)
        {
            if (state.Phase == StorePhase.Closed)
                throw read == 0 ? StoreErrors.WrongLog(paths, "it is empty, and the store was closed without one: delete it") : StoreErrors.WrongLog(paths, "it was written by another program");
            throw StoreErrors.Damaged(paths.Log, $"the first page of '{paths.Log}' is not what was written");
        }
        // Closed, and the log was deleted; a power cut has brought it back.
        if (state.Phase == StorePhase.Closed)
            return null;
        if (generation < state.Generation)
            throw StoreErrors.WrongLog(paths, "it is older than the data file, and commits since then are missing");
        LogScan scan = LogScan.Read(log, state);
        if (scan.DamagedPage is { } page)
            throw StoreErrors.Damaged(paths.Log, $"page {page} of '{paths.Log}' or one of the next is not what was written, and what stands behind it had been confirmed");
        return scan;
    }

    // Every page that the newest header page counts is in the file or in the log.
    private static void RefuseTruncated(IStoreFile data, byte[] header, LogScan? scan, string path)
    {
        var inLog = new HashSet<uint>(scan?.Pages.Select(page => page.PageId) ?? []);
        uint last = Math.Max(scan?.LastPageId ?? 0, PageFormat.LastPageId(header));
        for (long page = data.Length / PageFormat.Size; page <= last; page++)
        {
            if (!inLog.Contains((uint)page))
                throw StoreErrors.Damaged(path, $"'{path}' is cut off: its page {page} of {last} is missing");
        }
    }
}
