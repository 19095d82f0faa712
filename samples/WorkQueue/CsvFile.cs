using System.Buffers;

namespace WorkQueue;

/// <summary>The index as CSV, quoted as in RFC 4180.</summary>
internal static class CsvFile
{
    private static readonly SearchValues<char> NeedsQuotes = SearchValues.Create(",\"\r\n");

    /// <summary>Whether the file can be written, asked before the work and not after it.</summary>
    public static void Probe(string path)
    {
        try
        {
            bool isNew = !File.Exists(path);
            File.Open(path, FileMode.OpenOrCreate, FileAccess.Write).Dispose();
            if (isNew)
                File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"--output cannot be written: {error.Message}");
        }
    }

    public static async Task WriteAsync(string path, IEnumerable<KeyValuePair<string, FileFacts>> rows)
    {
        await using var csv = new StreamWriter(path) { NewLine = "\n" };
        await csv.WriteLineAsync("path,sha256,lines,words");
        foreach ((string file, FileFacts facts) in rows)
            await csv.WriteLineAsync($"{Quote(file)},{facts.Sha256},{facts.Lines},{facts.Words}");
    }

    private static string Quote(string field) =>
        field.AsSpan().ContainsAny(NeedsQuotes) ? $"\"{field.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : field;
}
