using QueueKit;

namespace WorkQueue;

/// <summary>How a run ended: what is in the index, and what is not and why.</summary>
internal sealed record IndexReport
{
    public required IReadOnlyList<KeyValuePair<string, FileFacts>> Rows { get; init; }
    public required IReadOnlyList<Unread> Unread { get; init; }
    /// <summary>The dead letters behind them, to be acked when the report is written.</summary>
    public required IReadOnlyList<Delivery> DeadLetters { get; init; }
    /// <summary>The files whose messages the queue dropped.</summary>
    public required IReadOnlyList<string> Dropped { get; init; }

    public bool IsComplete => Unread.Count == 0 && Dropped.Count == 0;

    public static async Task<IndexReport> CreateAsync(IndexRun run, FileTree tree, FileIndexer indexer)
    {
        List<Unread> unread = [.. tree.UnreadableFolders.Select(folder => new Unread(folder.Path + "/", folder.Reason))];
        List<Delivery> letters = await ReadDeadLettersAsync(run);
        foreach (Delivery letter in letters)
        {
            string path = System.Text.Encoding.UTF8.GetString(letter.Message.Body.Span);
            DeadLetterInfo info = letter.DeadLetter!;
            // A dead letter may still have done its work, if every ack of it came too late.
            if (!indexer.Index.ContainsKey(path))
                unread.Add(new Unread(path, info.Details ?? info.LastError ?? info.Description));
        }
        HashSet<string> accountedFor = [.. indexer.Index.Keys, .. unread.Select(entry => entry.Path)];
        return new IndexReport
        {
            Rows = [.. indexer.Index.OrderBy(row => row.Key, StringComparer.Ordinal)],
            DeadLetters = letters,
            Unread = [.. unread.OrderBy(entry => entry.Path, StringComparer.Ordinal)],
            Dropped = [.. tree.Files.Where(path => !accountedFor.Contains(path))],
        };
    }

    private static async Task<List<Delivery>> ReadDeadLettersAsync(IndexRun run)
    {
        List<Delivery> letters = [];
        if (!run.Broker.TryGetQueue(run.Files.Name + QueueOptions.DeadLetterSuffix, out MessageQueue? deadLetters))
            return letters;
        while (await deadLetters.ReceiveAsync(TimeSpan.Zero) is { } letter)
            letters.Add(letter);
        return letters;
    }
}

/// <summary>A file or folder that could not be read, and why.</summary>
internal sealed record Unread(string Path, string Reason);
