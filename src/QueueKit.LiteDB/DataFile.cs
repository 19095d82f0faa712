using QueueKit.LiteDB.Files;

namespace QueueKit.LiteDB;

/// <summary>LiteDB's data file, with a checksum in every page: whatever the disk has changed is found when it is read, before LiteDB follows it.</summary>
/// <remarks>
/// Written to by checkpoints only, one page at its place; a page torn by a power cut is whole in the log, which is read in its stead and copied again.
/// The header page also says which log belongs to the file (<see cref="StoreState"/>). All that ever changes in it stands in its first sector.
/// </remarks>
internal sealed class DataFile : LiteStream, IDisposable
{
    private const int SectorSize = 512;

    private readonly IStoreFile _file;
    private readonly string _path;
    // The header page as LiteDB has written it last, with our state in it.
    private readonly byte[] _header;
    private readonly byte[] _page = new byte[PageFormat.Size];

    /// <summary>A file whose header page has been read and found right; or one that LiteDB is to fill.</summary>
    public DataFile(string path, IStoreFile file, in StoreState state, byte[]? header = null)
    {
        _path = path;
        _file = file;
        _header = header ?? new byte[PageFormat.Size];
        State = state;
    }

    public StoreState State { get; private set; }

    /// <summary>While LiteDB may write: in a checkpoint, and while the file is made. Otherwise it would only be to mark the file as damaged.</summary>
    public bool IsWritable { get; set; }

    /// <summary>Where a checkpoint reads what it writes: only the newest version of each page goes into the file. Null: everything does.</summary>
    public LogFile? Source { get; set; }

    public override long Length => _file.Length / PageFormat.Size * PageFormat.Size;

    /// <summary>Says durably which log belongs to the file.</summary>
    public void Enter(in StoreState state)
    {
        WriteHeaderSector(state);
        _file.Sync();
        State = state;
    }

    public override void Flush() => _file.Sync();

    /// <summary>Puts a page of the log in its place, ahead of the checkpoint; <paramref name="bytes"/> are changed. Beside anything but a checkpoint.</summary>
    public void Copy(uint page, Span<byte> bytes)
    {
        PageFormat.Unconfirm(bytes);
        PageFormat.Seal(bytes);
        _file.Write(page * (long)PageFormat.Size, bytes);
    }

    /// <summary>Copies the file as it is, and checks every page that is not also in the log. Beside anything but a checkpoint.</summary>
    public void CopyTo(IStoreFile target, HashSet<uint> inLog, CancellationToken ct)
    {
        byte[] page = new byte[PageFormat.Size];
        for (long number = 0, pages = Length / PageFormat.Size; number < pages; number++)
        {
            ct.ThrowIfCancellationRequested();
            if (_file.Read(number * PageFormat.Size, page) < page.Length)
                throw new DamagedPageException(_path, $"'{_path}' ends before its page {number}");
            target.Write(number * PageFormat.Size, page);
            if ((number == 0 || !inLog.Contains((uint)number)) && PageFormat.Unseal(page, (uint)number) is { } damage)
                throw new DamagedPageException(_path, $"page {number} of '{_path}' is not what was written: {damage}");
        }
    }

    public override void SetLength(long value) => throw new IOException($"LiteDB wants to cut '{_path}' at {value}, which it has no reason to.");

    protected override void ReadPage(long page, Span<byte> into)
    {
        if (_file.Read(page * PageFormat.Size, into) < into.Length)
            throw new DamagedPageException(_path, $"'{_path}' ends before its page {page}");
        if (PageFormat.Unseal(into, (uint)page) is { } damage)
            throw new DamagedPageException(_path, $"page {page} of '{_path}' is not what was written: {damage}");
    }

    protected override void WritePage(long page, ReadOnlySpan<byte> bytes)
    {
        if (!IsWritable)
            throw new InvalidOperationException("LiteDB wants to write to the data file, and this is not a checkpoint.");
        if (Source is { } log && !log.MustBeCopied(log.LastRead))
            return;
        bytes.CopyTo(_page);
        if (page == 0)
        {
            bytes.CopyTo(_header);
            PageFormat.WriteState(_page, State);
        }
        PageFormat.Seal(_page);
        _file.Write(page * PageFormat.Size, _page);
    }

    protected override void Dispose(bool disposing)
    {
        _file.Dispose();
        base.Dispose(disposing);
    }

    private void WriteHeaderSector(in StoreState state)
    {
        _header.CopyTo(_page, 0);
        PageFormat.WriteState(_page, state);
        PageFormat.Seal(_page);
        _file.Write(0, _page.AsSpan(0, SectorSize));
    }
}
