using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;
using QueueKit.Stores;

namespace QueueKit.Sqlite.Salvage;

/// <summary>What can be read of a store's table, page by page and past SQLite, which gives up where a page makes no sense.</summary>
/// <remarks>
/// The tree is walked first. If every page of the file is in it, holds the rest of a record, or is free, that is all. If not, a part of the tree
/// could not be reached, and the pages that look as if they were of it are read as well: every record has a checksum over its key and content, so
/// nothing is taken for a record that is none. What stands on free pages has been deleted.
/// </remarks>
internal sealed class SalvagedTable : IDisposable
{
    private const uint SchemaPage = 1, RootPage = 2;
    private const int PageBytes = StoreSchema.PageBytes;

    private readonly string _path;
    private readonly SafeFileHandle _data;
    private readonly SafeFileHandle? _log;
    private readonly Dictionary<uint, long> _inLog = [];
    private readonly List<string> _findings;
    private readonly PageUse[] _uses;
    // In the order of the walk, which is about that of the keys.
    private readonly List<uint> _tree = [];
    private bool _isDamaged;

    private enum PageUse : byte
    {
        Unknown = 0,
        Free,
        Tree,
        MoreOfARecord,
    }

    /// <summary>Looks at all pages.</summary>
    /// <param name="paths">The store's files; nobody has them open.</param>
    /// <param name="findings">What is damaged, in sentences.</param>
    public SalvagedTable(StorePaths paths, List<string> findings)
    {
        _path = paths.Data;
        _findings = findings;
        _data = File.OpenHandle(paths.Data);
        try
        {
            if (File.Exists(paths.Log))
            {
                _log = File.OpenHandle(paths.Log);
                _inLog = PageLog.Read(_log, paths.Log, findings);
            }
            _isDamaged = findings.Count > 0;
            long pages = Math.Max(RandomAccess.GetLength(_data) / PageBytes, _inLog.Keys.DefaultIfEmpty().Max());
            _uses = new PageUse[checked((int)pages) + 1];
            MarkFree();
            Walk();
            FindTheRest();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Of the records that are not what was written, those whose keys are known.</summary>
    public List<StoreKey> LostKeys { get; } = [];

    /// <summary>Reads every record that is what was written.</summary>
    public IEnumerable<StoreRecord> ReadRecords()
    {
        // What was damaged may be there twice, as it was before a page was divided and after.
        HashSet<StoreKey>? seen = _isDamaged ? [] : null;
        var records = new List<StoreRecord>();
        foreach (uint page in _tree)
        {
            records.Clear();
            ReadRecords(page, records);
            foreach (StoreRecord record in records)
            {
                if (seen is null || seen.Add(record.Key))
                    yield return record;
            }
        }
        if (seen is not null)
            LostKeys.RemoveAll(seen.Contains);
    }

    public void Dispose()
    {
        _data.Dispose();
        _log?.Dispose();
    }

    // Trunk pages name the next one and pages that hold nothing.
    private void MarkFree()
    {
        byte[] page = new byte[PageBytes];
        if (!TryReadPage(SchemaPage, page) || !page.AsSpan().StartsWith("SQLite format 3\0"u8))
        {
            Damaged(SchemaPage);
            return;
        }
        for (uint trunk = Word(page, 32); trunk != 0; trunk = Word(page, 0))
        {
            if (!TryUse(trunk, PageUse.Free) || !TryReadPage(trunk, page) || Word(page, 4) > (PageBytes / 4) - 2)
            {
                Say($"The list of free pages of '{_path}' is damaged: what was acknowledged may be back, if commits are missing or not.");
                return;
            }
            for (uint i = 0; i < Word(page, 4); i++)
                _ = TryUse(Word(page, 8 + (4 * (int)i)), PageUse.Free);
        }
    }

    private void Walk()
    {
        byte[] page = new byte[PageBytes];
        var next = new Stack<uint>([RootPage]);
        var children = new List<uint>();
        while (next.TryPop(out uint number))
        {
            children.Clear();
            if (!TryUse(number, PageUse.Tree) || !TryReadPage(number, page) || !TryRead(number, page, children))
            {
                Damaged(number);
                // What it says of others is not to be believed, but what it holds may be right.
                if (number < _uses.Length && _uses[number] == PageUse.Tree)
                    _tree.Add(number);
                continue;
            }
            _tree.Add(number);
            // The smallest keys first.
            for (int i = children.Count - 1; i >= 0; i--)
                next.Push(children[i]);
        }
    }

    private void FindTheRest()
    {
        byte[] page = new byte[PageBytes];
        var children = new List<uint>();
        for (uint number = RootPage; number < _uses.Length; number++)
        {
            if (_uses[number] != PageUse.Unknown || !TryReadPage(number, page) || !TreePage.TryRead(page, out _))
                continue;
            _isDamaged = true;
            _uses[number] = PageUse.Tree;
            _ = TryRead(number, page, children);
            _tree.Add(number);
        }
    }

    // Whether the page is what was written, as far as that can be told without its records; where they go on, that is noted.
    private bool TryRead(uint number, byte[] bytes, List<uint> children)
    {
        if (!TreePage.TryRead(bytes, out TreePage page))
            return false;
        int cellBytes = 0;
        for (int i = 0; i < page.Cells; i++)
        {
            if (!page.TryReadCell(i, out TreePage.Cell cell))
                return false;
            cellBytes += cell.Bytes;
            if (page.IsInterior)
                children.Add(cell.Child);
            if (cell.Next != 0)
                MarkMore(number, cell);
        }
        if (page.IsInterior)
            children.Add(page.RightmostChild);
        return page.IsAccountedFor(cellBytes);
    }

    private void MarkMore(uint from, TreePage.Cell cell)
    {
        Span<byte> link = stackalloc byte[4];
        int left = cell.Total - cell.Beginning.Length;
        for (uint more = cell.Next; left > 0; left -= PageBytes - 4)
        {
            if (!TryUse(more, PageUse.MoreOfARecord) || !TryReadPage(more, link))
            {
                Damaged(from);
                return;
            }
            more = BinaryPrimitives.ReadUInt32BigEndian(link);
        }
    }

    private void ReadRecords(uint number, List<StoreRecord> records)
    {
        byte[] bytes = new byte[PageBytes];
        if (!TryReadPage(number, bytes) || !TreePage.TryRead(bytes, out TreePage page))
            return;
        StoreKey? before = null, lost = null;
        for (int i = 0; i < page.Cells; i++)
        {
            if (!page.TryReadCell(i, out TreePage.Cell cell))
            {
                NotARecord(number);
                continue;
            }
            (bool hasKey, bool isRight) = RecordBytes.TryRead(ReadAll(cell), out StoreRecord record);
            if (isRight)
            {
                // A key that stands between its neighbours is believed, though the record is not right.
                if (lost is { } key && (before is null || before < key) && key < record.Key)
                    LostKeys.Add(key);
                else if (lost is not null)
                    NotARecord(number);
                lost = null;
                before = record.Key;
                records.Add(record);
                continue;
            }
            if (lost is not null || !hasKey)
                NotARecord(number);
            lost = hasKey ? record.Key : null;
        }
        if (lost is { } last)
        {
            if (before is { } previous && (previous with { Sequence = last.Sequence }) == last && last.Sequence > previous.Sequence && last.Sequence - previous.Sequence < 1_000_000)
                LostKeys.Add(last);
            else
                NotARecord(number);
        }
    }

    private byte[] ReadAll(TreePage.Cell cell)
    {
        byte[] row = new byte[Math.Min(cell.Total, RecordRow.MaxBytes + 1024)];
        cell.Beginning[..Math.Min(row.Length, cell.Beginning.Length)].CopyTo(row);
        byte[] page = new byte[PageBytes];
        int done = cell.Beginning.Length;
        for (uint more = cell.Next; done < row.Length; more = Word(page, 0))
        {
            if (more == 0 || !TryReadPage(more, page))
                return row[..done];
            int length = Math.Min(PageBytes - 4, row.Length - done);
            page.AsSpan(4, length).CopyTo(row.AsSpan(done));
            done += length;
        }
        return row;
    }

    private bool TryReadPage(uint number, Span<byte> into)
    {
        if (number == 0 || number >= _uses.Length)
            return false;
        if (_inLog.TryGetValue(number, out long place))
            return RandomAccess.Read(_log!, into, place) == into.Length;
        return RandomAccess.Read(_data, into, (long)(number - 1) * PageBytes) == into.Length;
    }

    // Each page has one use.
    private bool TryUse(uint number, PageUse use)
    {
        if (number < RootPage || number >= _uses.Length || _uses[number] != PageUse.Unknown)
        {
            _isDamaged = true;
            return false;
        }
        _uses[number] = use;
        return true;
    }

    private void Damaged(uint page) => Say($"Page {page} of '{_path}' is not what was written.");

    private void NotARecord(uint page) => Say($"A record on page {page} of '{_path}' cannot be read, not even its key.");

    private void Say(string finding)
    {
        _isDamaged = true;
        if (!_findings.Contains(finding))
            _findings.Add(finding);
    }

    private static uint Word(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes[offset..]);
}
