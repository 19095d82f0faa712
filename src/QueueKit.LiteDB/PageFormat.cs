using System.Buffers.Binary;
using System.Runtime.InteropServices;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>LiteDB's pages, and the places in them that LiteDB leaves free and this store uses.</summary>
/// <remarks>
/// What is written is a LiteDB file like any other to LiteDB and its tools. Only what they do not look at is ours:
/// <code>
/// every page    0         4      5      9      13     14             18          19           31       32            8192
///               | page id | type | prev | next | slot | transaction  | confirmed | counters   | unused | content … |
///
/// in the data file   transaction: LiteDB clears it at a checkpoint and never reads it. Here: the page's checksum.
/// in the log file    transaction: any number that its pages share and no other transaction in the log has. Here: the transaction's checksum (LogFile).
///                    confirmed:   0 or not. Here: 1, and 2 added to it if everything before the transaction was on the disk when it was written.
///                    unused:      a number that keeps two transactions' checksums apart.
///
/// header page   109        112        120      122     123   124          132         148        191
/// (data file)   | reserved | QueueKit | format | state | 0   | generation | store id  | reserved |
///
/// first page    0             16         24       26    32           40         56    60            8192
/// (log file)    | sixteen 0   | QueueKit | format | 0   | generation | store id | crc | zeros       |
/// </code>
/// LiteDB skips a page of its log whose first sixteen bytes are zero: the log's own first page, and the zeros written ahead of the end.
/// </remarks>
internal static class PageFormat
{
    public const int Size = 8192;
    /// <summary>The newest format that this version reads, and the one it writes.</summary>
    public const ushort Version = 1;

    private const int TransactionAt = 14, ConfirmedAt = 18, UnusedAt = 31, InfoAt = 32, LastPageAt = 64, MarkAt = 112, LogMarkAt = 16, LogCrcAt = 56;
    private const uint LiteClearedTransaction = uint.MaxValue;

    private static ReadOnlySpan<byte> Mark => "QueueKit"u8;

    private static ReadOnlySpan<byte> LiteInfo => "** This is a LiteDB file **\u0008"u8;

    public static uint PageId(ReadOnlySpan<byte> page) => BinaryPrimitives.ReadUInt32LittleEndian(page);

    public static byte PageType(ReadOnlySpan<byte> page) => page[4];

    public static uint Transaction(ReadOnlySpan<byte> page) => BinaryPrimitives.ReadUInt32LittleEndian(page[TransactionAt..]);

    public static void SetTransaction(Span<byte> page, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(page[TransactionAt..], value);

    public static bool IsConfirmed(ReadOnlySpan<byte> page) => page[ConfirmedAt] != 0;

    public static bool FollowsSyncedLog(ReadOnlySpan<byte> page) => (page[ConfirmedAt] & 2) != 0;

    public static void Confirm(Span<byte> page, bool followsSyncedLog, byte unused)
    {
        page[ConfirmedAt] = (byte)(followsSyncedLog ? 3 : 1);
        page[UnusedAt] = unused;
    }

    /// <summary>Clears what only the log has.</summary>
    public static void Unconfirm(Span<byte> page) => page[ConfirmedAt] = page[UnusedAt] = 0;

    /// <summary>The last page of the data file, as its header page says.</summary>
    public static uint LastPageId(ReadOnlySpan<byte> headerPage) => BinaryPrimitives.ReadUInt32LittleEndian(headerPage[LastPageAt..]);

    /// <summary>Whether LiteDB takes a page of its log for one that was never written.</summary>
    public static bool IsBlank(ReadOnlySpan<byte> page) => MemoryMarshal.Read<UInt128>(page) == 0;

    /// <summary>The checksum of everything in a page but the place where it is kept.</summary>
    public static uint Checksum(ReadOnlySpan<byte> page) =>
        Crc32C.Append(Crc32C.Append(uint.MaxValue, page[..TransactionAt]), page[ConfirmedAt..Size]);

    // The data file

    public static void Seal(Span<byte> page) => SetTransaction(page, Checksum(page));

    /// <summary>What is wrong with a page of the data file; null if nothing is, and then it is as LiteDB wrote it.</summary>
    public static string? Unseal(Span<byte> page, uint pageId)
    {
        uint stored = Transaction(page);
        if (stored != Checksum(page))
            return stored == LiteClearedTransaction ? "it was written by another program" : "its checksum does not match";
        if (PageId(page) != pageId)
            return $"it is page {PageId(page)}";
        SetTransaction(page, LiteClearedTransaction);
        return null;
    }

    /// <summary>Whether a page of the data file is as LiteDB left it, without a checksum of ours.</summary>
    public static bool IsUnsealed(ReadOnlySpan<byte> page) => Transaction(page) == LiteClearedTransaction;

    public static bool IsLiteHeader(ReadOnlySpan<byte> page) => page.Slice(InfoAt, LiteInfo.Length).SequenceEqual(LiteInfo);

    public static bool HasMark(ReadOnlySpan<byte> headerPage) => headerPage.Slice(MarkAt, Mark.Length).SequenceEqual(Mark);

    public static void WriteState(Span<byte> headerPage, in StoreState state)
    {
        Span<byte> at = headerPage[MarkAt..];
        Mark.CopyTo(at);
        BinaryPrimitives.WriteUInt16LittleEndian(at[8..], Version);
        at[10] = (byte)state.Phase;
        at[11] = 0;
        BinaryPrimitives.WriteInt64LittleEndian(at[12..], state.Generation);
        state.StoreId.TryWriteBytes(at[20..]);
    }

    public static ushort ReadVersion(ReadOnlySpan<byte> headerPage) => BinaryPrimitives.ReadUInt16LittleEndian(headerPage[(MarkAt + 8)..]);

    public static StoreState ReadState(ReadOnlySpan<byte> headerPage) => new(
        new Guid(headerPage.Slice(MarkAt + 20, 16)),
        BinaryPrimitives.ReadInt64LittleEndian(headerPage[(MarkAt + 12)..]),
        (StorePhase)headerPage[MarkAt + 10]);

    // The log file

    public static byte[] LogHeader(Guid storeId, long generation)
    {
        byte[] page = new byte[Size];
        Span<byte> at = page.AsSpan(LogMarkAt);
        Mark.CopyTo(at);
        BinaryPrimitives.WriteUInt16LittleEndian(at[8..], Version);
        BinaryPrimitives.WriteInt64LittleEndian(at[16..], generation);
        storeId.TryWriteBytes(at[24..]);
        BinaryPrimitives.WriteUInt32LittleEndian(page.AsSpan(LogCrcAt), Crc32C.Append(uint.MaxValue, page.AsSpan(0, LogCrcAt)));
        return page;
    }

    /// <summary>Reads the log's first page; false if it is damaged or nothing of ours.</summary>
    public static bool TryReadLogHeader(ReadOnlySpan<byte> page, out Guid storeId, out long generation, out ushort version)
    {
        ReadOnlySpan<byte> at = page[LogMarkAt..];
        version = BinaryPrimitives.ReadUInt16LittleEndian(at[8..]);
        generation = BinaryPrimitives.ReadInt64LittleEndian(at[16..]);
        storeId = new Guid(at.Slice(24, 16));
        return IsBlank(page) && at[..8].SequenceEqual(Mark)
            && BinaryPrimitives.ReadUInt32LittleEndian(page[LogCrcAt..]) == Crc32C.Append(uint.MaxValue, page[..LogCrcAt]);
    }

    /// <summary>Where the checksum of a transaction begins: bound to the store, to this filling of its log, and to the place in it.</summary>
    public static uint LogSeed(Guid storeId, long generation, long firstPage)
    {
        Span<byte> id = stackalloc byte[16];
        storeId.TryWriteBytes(id);
        return Crc32C.Append(Crc32C.Append(Crc32C.Append(uint.MaxValue, id), (ulong)generation), (ulong)firstPage);
    }
}

/// <summary>What the header page of the data file says about data file and log together.</summary>
/// <param name="StoreId">Which store it is; the log says the same.</param>
/// <param name="Generation">Counts the fillings of the log. The log of generation n holds what has been committed since the checkpoint that began n.</param>
/// <param name="Phase">Whether the log counts.</param>
internal readonly record struct StoreState(Guid StoreId, long Generation, StorePhase Phase);

/// <summary>Whether the log counts. Each step is one sector, written and synced.</summary>
/// <remarks>
/// <code>
///            open: the log is made new                the log is ready
///   Closed ─────────────────────────▶ Emptying(g+1) ─────────────────▶ Live(g+1)
///     ▲                                    ▲                              │
///     │ close, after a checkpoint          └──── checkpoint, once the ────┤
///     └──────────────────────────────────────── data file is synced ──────┘
/// </code>
/// </remarks>
internal enum StorePhase : byte
{
    /// <summary>Never in a file.</summary>
    None = 0,
    /// <summary>Everything is in the data file; a log is not needed.</summary>
    Closed,
    /// <summary>Everything is in the data file; the log is being emptied, and whatever it holds is obsolete.</summary>
    Emptying,
    /// <summary>The log of this generation belongs to the data: without it, commits are missing.</summary>
    Live,
}
