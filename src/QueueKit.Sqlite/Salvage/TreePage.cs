using System.Buffers.Binary;

namespace QueueKit.Sqlite.Salvage;

/// <summary>A page of the tree that the table is, read past SQLite.</summary>
/// <remarks>
/// <code>
/// 0      1             3       5                 7           8                            12
/// | kind | first free  | cells | content begins  | fragments | rightmost child (interior) | offsets of the cells … |   … | cells |
///
/// cell   | left child (interior) | length, varint | the record, or its beginning | next page with more of it |
/// record | length of its header, varint | a type for each column, varints | the columns |
/// </code>
/// All numbers are big-endian. Cells are in the order of their keys, interior pages have records, too.
/// </remarks>
internal readonly ref struct TreePage
{
    private const byte Interior = 2, Leaf = 10;

    private readonly ReadOnlySpan<byte> _page;

    private TreePage(ReadOnlySpan<byte> page)
    {
        _page = page;
        Cells = BinaryPrimitives.ReadUInt16BigEndian(page[3..]);
    }

    public int Cells { get; }

    public bool IsInterior => _page[0] == Interior;

    public uint RightmostChild => BinaryPrimitives.ReadUInt32BigEndian(_page[8..]);

    private int CellsAt => IsInterior ? 12 : 8;

    /// <summary>False if it is no such page, or cannot be one.</summary>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out TreePage page)
    {
        page = default;
        if (bytes[0] is not (Interior or Leaf))
            return false;
        page = new TreePage(bytes);
        return page.CellsAt + (2 * page.Cells) <= bytes.Length;
    }

    /// <summary>Takes a cell apart; false if it cannot be one.</summary>
    public bool TryReadCell(int number, out Cell cell)
    {
        cell = default;
        int at = BinaryPrimitives.ReadUInt16BigEndian(_page[(CellsAt + (2 * number))..]);
        int start = at + (IsInterior ? 4 : 0);
        if (at < CellsAt + (2 * Cells) || start >= _page.Length)
            return false;
        uint child = IsInterior ? BinaryPrimitives.ReadUInt32BigEndian(_page[at..]) : 0;
        int length = Varint.Read(_page[start..], out long total);
        if (length == 0 || total is < 0 or > int.MaxValue)
            return false;
        int here = LengthHere((int)total, _page.Length);
        bool goesOn = here < total;
        int from = start + length;
        if (from + here + (goesOn ? 4 : 0) > _page.Length)
            return false;
        int end = from + here + (goesOn ? 4 : 0);
        cell = new Cell(child, (int)total, _page.Slice(from, here), goesOn ? BinaryPrimitives.ReadUInt32BigEndian(_page[(from + here)..]) : 0, Math.Max(4, end - at));
        return true;
    }

    /// <summary>Whether the page is full with its cells and what it says is free: if not, its number of cells or a cell's place is wrong.</summary>
    public bool IsAccountedFor(int cellBytes)
    {
        int begin = BinaryPrimitives.ReadUInt16BigEndian(_page[5..]), free = _page[7];
        int at = BinaryPrimitives.ReadUInt16BigEndian(_page[1..]);
        while (at != 0)
        {
            if (at < begin || at + 4 > _page.Length)
                return false;
            free += BinaryPrimitives.ReadUInt16BigEndian(_page[(at + 2)..]);
            int next = BinaryPrimitives.ReadUInt16BigEndian(_page[at..]);
            if (next != 0 && next <= at)
                return false;
            at = next;
        }
        return begin >= CellsAt + (2 * Cells) && begin + cellBytes + free == _page.Length;
    }

    // What of a record stands in its cell; the rest is on pages of its own.
    private static int LengthHere(int total, int pageBytes)
    {
        int most = ((pageBytes - 12) * 64 / 255) - 23, least = ((pageBytes - 12) * 32 / 255) - 23;
        if (total <= most)
            return total;
        int fits = least + ((total - least) % (pageBytes - 4));
        return fits <= most ? fits : least;
    }

    /// <summary>A cell.</summary>
    public readonly ref struct Cell(uint child, int total, ReadOnlySpan<byte> beginning, uint next, int bytes)
    {
        /// <summary>How much of the page the cell takes.</summary>
        public int Bytes => bytes;

        /// <summary>The page with the smaller keys; 0 in a leaf.</summary>
        public uint Child => child;

        /// <summary>The length of the record.</summary>
        public int Total => total;

        public ReadOnlySpan<byte> Beginning { get; } = beginning;

        /// <summary>The page where the record goes on; 0 if it does not.</summary>
        public uint Next => next;
    }
}
