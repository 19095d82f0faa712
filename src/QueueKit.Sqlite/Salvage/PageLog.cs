using System.Buffers.Binary;
using Microsoft.Win32.SafeHandles;

namespace QueueKit.Sqlite.Salvage;

/// <summary>SQLite's write-ahead log, read past SQLite: where it stops at the first frame that is not what was written, this goes on behind it.</summary>
/// <remarks>
/// <code>
/// header  | magic | version | page size | number | salt 1 | salt 2 | checksum 1 | 2 |                       32 bytes, big-endian
/// frame   | page | pages of the database, in the last frame of a commit | salts | checksums |               24 bytes, then the page
/// </code>
/// A checksum goes on from that of the frame before, which is on record: so behind a damaged frame the next but one can be told to be right again.
/// Frames with other salts are what an earlier use of the file has left.
/// </remarks>
internal static class PageLog
{
    private const int HeaderBytes = 32, FrameHeaderBytes = 24;
    private const uint Magic = 0x377f0682;

    /// <summary>Finds out which frame holds the newest version of each page.</summary>
    /// <param name="log">The file.</param>
    /// <param name="path">Its name, for the findings.</param>
    /// <param name="findings">What is damaged, in sentences.</param>
    /// <returns>By page: where in the file.</returns>
    public static Dictionary<uint, long> Read(SafeFileHandle log, string path, List<string> findings)
    {
        var pages = new Dictionary<uint, long>();
        long length = RandomAccess.GetLength(log);
        byte[] header = new byte[HeaderBytes];
        if (length == 0)
            return pages;
        if (RandomAccess.Read(log, header, 0) < HeaderBytes || (Word(header, 0) & ~1u) != Magic || Word(header, 8) != StoreSchema.PageBytes)
        {
            findings.Add($"The beginning of '{path}' is not what was written: commits since the last checkpoint are missing.");
            return pages;
        }
        bool isBigEndian = (Word(header, 0) & 1) != 0;
        (uint, uint) sum = Add(header.AsSpan(0, 24), (0, 0), isBigEndian);
        bool isHeaderRight = sum == (Word(header, 24), Word(header, 28));
        if (!isHeaderRight)
            findings.Add($"The beginning of '{path}' is not what was written.");

        byte[] frame = new byte[FrameHeaderBytes + StoreSchema.PageBytes];
        var waiting = new List<(uint Page, long Offset)>();
        long damagedAt = isHeaderRight ? -1 : 0, number = 0;
        sum = (Word(header, 24), Word(header, 28));
        for (long offset = HeaderBytes; offset + frame.Length <= length; offset += frame.Length, number++)
        {
            if (RandomAccess.Read(log, frame, offset) < frame.Length)
                break;
            (uint, uint) stored = (Word(frame, 16), Word(frame, 20));
            bool isOfThisUse = frame.AsSpan(8, 8).SequenceEqual(header.AsSpan(16, 8));
            bool isRight = isOfThisUse && Add(frame.AsSpan(FrameHeaderBytes), Add(frame.AsSpan(0, 8), sum, isBigEndian), isBigEndian) == stored;
            sum = stored;
            if (!isRight)
            {
                if (damagedAt < 0)
                    damagedAt = number;
                continue;
            }
            waiting.Add((Word(frame, 0), offset + FrameHeaderBytes));
            if (Word(frame, 4) == 0)
                continue;
            // The end of a commit. Of one that is damaged what is right is taken all the same: every record is checked by itself.
            foreach ((uint page, long place) in waiting)
                pages[page] = place;
            waiting.Clear();
            if (damagedAt >= 0)
                findings.Add($"'{path}' is damaged between its frames {damagedAt} and {number}: commits that were there are missing, or a part of them is. What was sent in them is lost if it is not here, and what was acknowledged in them may be back.");
            damagedAt = -1;
        }
        return pages;
    }

    private static (uint, uint) Add(ReadOnlySpan<byte> bytes, (uint First, uint Second) sum, bool isBigEndian)
    {
        for (; bytes.Length >= 8; bytes = bytes[8..])
        {
            sum.First += (isBigEndian ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes)) + sum.Second;
            sum.Second += (isBigEndian ? BinaryPrimitives.ReadUInt32BigEndian(bytes[4..]) : BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..])) + sum.First;
        }
        return sum;
    }

    private static uint Word(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32BigEndian(bytes[offset..]);
}
