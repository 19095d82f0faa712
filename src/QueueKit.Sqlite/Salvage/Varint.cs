namespace QueueKit.Sqlite.Salvage;

/// <summary>SQLite's numbers of one to nine bytes: seven bits in each, the highest first; all eight in the ninth.</summary>
internal static class Varint
{
    /// <summary>Reads one; returns its length, 0 if it is cut off.</summary>
    public static int Read(ReadOnlySpan<byte> bytes, out long value)
    {
        value = 0;
        for (int i = 0; i < 9 && i < bytes.Length; i++)
        {
            if (i == 8)
            {
                value = value << 8 | bytes[i];
                return 9;
            }
            value = value << 7 | (bytes[i] & 0x7Fu);
            if (bytes[i] < 0x80)
                return i + 1;
        }
        return 0;
    }
}
