namespace QueueKit.LiteDB;

/// <summary>A file as LiteDB sees it: pages, read and written one at a time at a position.</summary>
/// <remarks>
/// LiteDB takes an <see cref="IOException"/> as its sign to close; any other exception makes it roll back, which writes. So these streams
/// throw nothing else, except where LiteDB is to be kept from writing.
/// </remarks>
internal abstract class LiteStream : Stream
{
    public sealed override bool CanRead => true;

    public sealed override bool CanWrite => true;

    public sealed override bool CanSeek => true;

    public sealed override long Position { get; set; }

    public sealed override long Seek(long offset, SeekOrigin origin) => Position = origin switch
    {
        SeekOrigin.Begin => offset,
        SeekOrigin.Current => Position + offset,
        _ => Length + offset,
    };

    public sealed override int Read(byte[] buffer, int offset, int count)
    {
        ReadPage(PageAt(count), buffer.AsSpan(offset, count));
        Position += count;
        return count;
    }

    public sealed override void Write(byte[] buffer, int offset, int count)
    {
        WritePage(PageAt(count), buffer.AsSpan(offset, count));
        Position += count;
    }

    protected abstract void ReadPage(long page, Span<byte> into);

    protected abstract void WritePage(long page, ReadOnlySpan<byte> bytes);

    private long PageAt(int count) => count == PageFormat.Size && Position % PageFormat.Size == 0
        ? Position / PageFormat.Size
        : throw new IOException($"LiteDB asked for {count} bytes at {Position}, which is not a page.");
}

/// <summary>A page is not what was written: thrown by the streams through LiteDB, and told to callers as <see cref="StoreFault.Unreadable"/>.</summary>
internal sealed class DamagedPageException(string path, string message) : IOException(message)
{
    public string Path => path;
}
