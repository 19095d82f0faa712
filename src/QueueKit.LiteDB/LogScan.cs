using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>A page of the log whose transaction is whole.</summary>
/// <param name="PageId">Which page it is a version of.</param>
/// <param name="Checksum">Its checksum, to be verified whenever it is read.</param>
/// <param name="Transaction">The number that LiteDB knows its transaction by.</param>
internal readonly record struct LogPage(uint PageId, uint Checksum, uint Transaction);

/// <summary>What a log holds: the whole transactions from its beginning on.</summary>
internal sealed class LogScan
{
    // Read in pieces of this size, so that a log that is not in the page cache comes in at the speed of the disk.
    private const int PiecePages = 128;

    private readonly IStoreFile _file;
    private readonly StoreState _state;
    private readonly byte[] _piece;
    private readonly long _pagesInFile;
    private long _pieceStart = -1;

    private LogScan(IStoreFile file, StoreState state)
    {
        _file = file;
        _state = state;
        _pagesInFile = file.Length / PageFormat.Size;
        _piece = new byte[Math.Min(PiecePages, _pagesInFile) * PageFormat.Size];
    }

    /// <summary>The pages of all whole transactions, in order.</summary>
    public List<LogPage> Pages { get; } = [];

    /// <summary>The checksums of the transactions.</summary>
    public HashSet<uint> Stamps { get; } = [];

    /// <summary>Where the next transaction goes, in bytes.</summary>
    public long End => (1 + Pages.Count) * (long)PageFormat.Size;

    /// <summary>The last page of the data file, if a header page in the log says so.</summary>
    public uint LastPageId { get; private set; }

    /// <summary>Whether something lies behind the end that is not zeros: what a power cut has left of commits that nobody was told of.</summary>
    public bool HasRemains { get; private set; }

    /// <summary>A page inside of what had been on the disk for certain that is not what was written; null if there is none.</summary>
    public long? DamagedPage { get; private set; }

    // Where the transaction begins that proves the damage.
    private long _behindDamage;

    /// <summary>Reads the log of a store.</summary>
    /// <remarks>
    /// The first transaction that is not whole ends the log: that is how a power cut leaves the last commits. Unless a later one is whole and says that
    /// everything before it had been flushed: then the disk has damaged what it had promised to keep.
    /// </remarks>
    public static LogScan Read(IStoreFile file, StoreState state)
    {
        var scan = new LogScan(file, state);
        long next = 1;
        uint transactions = 0;
        while (scan.TryReadTransaction(next, out long after, out uint stamp, out _))
        {
            // LiteDB is shown numbers that start over, so that those it gives out next are new ones.
            transactions++;
            for (long page = next; page < after; page++)
            {
                ReadOnlySpan<byte> bytes = scan.Page(page);
                scan.Pages.Add(new LogPage(PageFormat.PageId(bytes), PageFormat.Checksum(bytes), transactions));
                if (PageFormat.PageId(bytes) == 0)
                    scan.LastPageId = PageFormat.LastPageId(bytes);
            }
            scan.Stamps.Add(stamp);
            next = after;
        }
        scan.LookBehind(next);
        return scan;
    }

    /// <summary>For repairs: the newest whole version of each page, by its place in the file, from before and behind every damage.</summary>
    /// <param name="file">The log.</param>
    /// <param name="state">Which log it is.</param>
    /// <param name="damage">What was passed over.</param>
    public static Dictionary<uint, long> Salvage(IStoreFile file, StoreState state, List<string> damage)
    {
        var newest = new Dictionary<uint, long>();
        var scan = new LogScan(file, state);
        long next = 1;
        while (true)
        {
            while (scan.TryReadTransaction(next, out long after, out _, out _))
            {
                for (long page = next; page < after; page++)
                    newest[PageFormat.PageId(scan.Page(page))] = page;
                next = after;
            }
            scan.DamagedPage = null;
            scan.LookBehind(next);
            if (scan.DamagedPage is null)
                return newest;
            damage.Add($"The log is damaged between its pages {next} and {scan._behindDamage - 1}: the commits there are lost, and what they deleted may be back.");
            next = scan._behindDamage;
        }
    }

    private void LookBehind(long end)
    {
        HasRemains = _file.Length % PageFormat.Size != 0;
        uint previous = 0;
        for (long page = end; page < _pagesInFile; page++)
        {
            ReadOnlySpan<byte> bytes = Page(page);
            HasRemains = HasRemains || bytes.ContainsAnyExcept((byte)0);
            uint transaction = PageFormat.IsBlank(bytes) ? 0 : PageFormat.Transaction(bytes);
            // Where the number changes, a transaction may begin.
            if (transaction != previous && page > end && TryReadTransaction(page, out _, out _, out bool followsSyncedLog) && followsSyncedLog)
            {
                DamagedPage = end;
                _behindDamage = page;
                return;
            }
            previous = transaction;
        }
    }

    private bool TryReadTransaction(long first, out long after, out uint stamp, out bool followsSyncedLog)
    {
        stamp = 0;
        if (!TryFindEnd(first, out after, out followsSyncedLog))
            return false;
        uint checksum = PageFormat.LogSeed(_state.StoreId, _state.Generation, first);
        for (long page = first; page < after; page++)
        {
            ReadOnlySpan<byte> bytes = Page(page);
            stamp = PageFormat.Transaction(bytes);
            checksum = Crc32C.Append(checksum, PageFormat.Checksum(bytes));
        }
        return checksum == stamp;
    }

    // Pages of one number up to one that is confirmed; whether they are whole is another question.
    private bool TryFindEnd(long first, out long after, out bool followsSyncedLog)
    {
        uint number = 0;
        followsSyncedLog = false;
        for (after = first; after < _pagesInFile; after++)
        {
            ReadOnlySpan<byte> page = Page(after);
            if (PageFormat.IsBlank(page) || (after > first && PageFormat.Transaction(page) != number))
                return false;
            number = PageFormat.Transaction(page);
            if (!PageFormat.IsConfirmed(page))
                continue;
            followsSyncedLog = PageFormat.FollowsSyncedLog(page);
            after++;
            return true;
        }
        return false;
    }

    // Valid until the next call.
    private ReadOnlySpan<byte> Page(long page)
    {
        if (_pieceStart < 0 || page < _pieceStart || page >= _pieceStart + _piece.Length / PageFormat.Size)
        {
            _pieceStart = page;
            int read = _file.Read(page * PageFormat.Size, _piece);
            _piece.AsSpan(read).Clear();
        }
        return _piece.AsSpan((int)(page - _pieceStart) * PageFormat.Size, PageFormat.Size);
    }
}
