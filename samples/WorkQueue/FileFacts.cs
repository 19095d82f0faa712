using System.Buffers;
using System.Security.Cryptography;

namespace WorkQueue;

/// <summary>What the index says of a file.</summary>
/// <param name="Bytes">Its length.</param>
/// <param name="Lines">The number of '\n', plus one if the last line is neither empty nor terminated.</param>
/// <param name="Words">The number of maximal runs of bytes that are not ASCII white space.</param>
/// <param name="Sha256">The SHA-256 of its bytes, in lower-case hexadecimal digits.</param>
internal sealed record FileFacts(long Bytes, long Lines, long Words, string Sha256)
{
    private const int BlockSize = 64 * 1024;

    /// <summary>Reads the file once, from front to back, and calls <paramref name="afterBlock"/> after each block: a sign of life.</summary>
    public static async Task<FileFacts> ReadAsync(string path, Action afterBlock, CancellationToken ct)
    {
        using FileStream file = await OpenAsync(path, ct);
        using var sha256 = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(BlockSize);
        try
        {
            var text = new TextCounter();
            long bytes = 0;
            while (await file.ReadAsync(buffer, ct) is > 0 and var length)
            {
                sha256.AppendData(buffer, 0, length);
                text.Add(buffer.AsSpan(0, length));
                bytes += length;
                afterBlock();
            }
            return new FileFacts(bytes, text.Lines, text.Words, Convert.ToHexStringLower(sha256.GetHashAndReset()));
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private static async Task<FileStream> OpenAsync(string path, CancellationToken ct)
    {
        FileStream Open() => new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0, FileOptions.Asynchronous | FileOptions.SequentialScan);
        if (new FileInfo(path).Length > 0)
            return Open();
        try
        {
            // A named pipe has no length, and opening one waits for its writer: perhaps for ever.
            return await Task.Run(Open, ct).WaitAsync(TimeSpan.FromSeconds(1), ct);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException("Opening it takes too long: it may be a named pipe.");
        }
    }

    private struct TextCounter
    {
        private long _newlines;
        private bool _inWord;
        private bool _inLine;

        public long Words { get; private set; }

        public readonly long Lines => _newlines + (_inLine ? 1 : 0);

        public void Add(ReadOnlySpan<byte> block)
        {
            foreach (byte b in block)
            {
                if (b == '\n')
                    _newlines++;
                bool isSpace = b is (byte)' ' or (>= (byte)'\t' and <= (byte)'\r');
                if (!isSpace && !_inWord)
                    Words++;
                _inWord = !isSpace;
            }
            _inLine = block[^1] != '\n';
        }
    }
}
