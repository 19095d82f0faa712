namespace QueueKit.LiteDB;

/// <summary>Copies the log's pages into the data file ahead of a checkpoint, a slice at a time and beside the commits, so that the checkpoint itself has little left to do.</summary>
/// <remarks>
/// A page in the log is never changed, and while it is there nobody reads that page of the data file: so both files are used beside the store's lock.
/// A slice is chosen under the lock (<see cref="TryBegin"/>), when all of it is on the disk; copied and flushed without (<see cref="Run"/>); and
/// taken note of under the lock again (<see cref="End"/>). A crash at any moment is one in the midst of a checkpoint: the log is whole, and is copied again.
/// The first page stays for the checkpoint, because the state of the store is in it.
/// </remarks>
internal sealed class AdvanceCopy(LogFile log, DataFile data)
{
    // A commit beside it waits for the disk to write so much at most: 1 MiB.
    private const int SlicePages = 128;
    // So much is left to the checkpoint in any case.
    private const int RestPages = 32;

    private readonly List<(int Place, LogPage Page)> _slice = [];
    private readonly byte[] _page = new byte[PageFormat.Size];
    // Whether the last slice was all that there was: what has come since then will not get less.
    private bool _wasAll;

    /// <summary>Chooses the next slice; false if little is left to copy.</summary>
    public bool TryBegin()
    {
        _slice.Clear();
        log.AddUncopied(_slice);
        if (_wasAll || _slice.Count <= RestPages)
        {
            _wasAll = false;
            return false;
        }
        _wasAll = _slice.Count <= SlicePages;
        _slice.Sort(static (left, right) => left.Page.PageId.CompareTo(right.Page.PageId));
        if (_slice.Count > SlicePages)
            _slice.RemoveRange(SlicePages, _slice.Count - SlicePages);
        return true;
    }

    /// <summary>Copies and flushes the slice.</summary>
    /// <exception cref="IOException">It failed, or a page is damaged.</exception>
    public void Run()
    {
        foreach ((int place, LogPage page) in _slice)
        {
            log.ReadPublished(place, page, _page);
            data.Copy(page.PageId, _page);
        }
        data.Flush();
    }

    /// <summary>The slice is in the data file.</summary>
    public void End()
    {
        foreach ((int place, _) in _slice)
            log.Copied.Add(place);
    }
}
