using System.Text.Json;
using QueueKit;

namespace WorkQueue;

/// <summary>A run as the broker keeps it, in three queues: the files still to do, what has been found out, and how far the producer has come.</summary>
/// <remarks>
/// Every step is one transaction over two of them: the producer sends files and moves its bookmark, a consumer acks a file and sends what it found.
/// On a durable store a run can therefore be killed anywhere: the next start finds each file either still to do or done, and goes on.
/// </remarks>
internal sealed class IndexRun : IAsyncDisposable
{
    private const int ResultsAtOnce = 1_000;

    private readonly MessageBroker _broker;
    private readonly MessageQueue _bookmarks;

    private IndexRun(MessageBroker broker, MessageQueue files, MessageQueue results, MessageQueue bookmarks)
    {
        _broker = broker;
        Files = files;
        Results = results;
        _bookmarks = bookmarks;
    }

    /// <summary>One message for each file that is still to do: its path.</summary>
    public MessageQueue Files { get; }

    /// <summary>One message for each file that is done: what it holds.</summary>
    public MessageQueue Results { get; }

    public MessageBroker Broker => _broker;

    /// <summary>What an earlier start has found out.</summary>
    public Dictionary<string, FileFacts> Found { get; } = new(StringComparer.Ordinal);

    /// <summary>The last file that the producer has sent; null for none.</summary>
    public string? LastSent { get; private set; }

    /// <summary>Whether an earlier start has left work.</summary>
    public bool IsResumed { get; private set; }

    /// <exception cref="UsageException">The data folder holds an unfinished run over another folder.</exception>
    public static async Task<IndexRun> OpenAsync(WorkQueueOptions options, CancellationToken ct)
    {
        MessageBroker broker = await MessageBroker.OpenAsync(options.ToBrokerOptions(), ct);
        try
        {
            var run = new IndexRun(
                broker,
                await broker.DeclareQueueAsync("files", options.ToQueueOptions(), ct),
                await broker.DeclareQueueAsync("results", new QueueOptions { MaxMessages = null, MaxBytes = null }, ct),
                await broker.DeclareQueueAsync("bookmarks", new QueueOptions { MaxAttempts = null }, ct));
            await run.RestoreAsync(options.Folder, ct);
            return run;
        }
        catch
        {
            await broker.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends files and moves the bookmark behind them, all or nothing.</summary>
    public async Task SendAsync(IReadOnlyList<string> paths, string folder, CancellationToken ct)
    {
        Delivery bookmark = await _bookmarks.ReceiveAsync(ct);
        await using BrokerTransaction transaction = _broker.BeginTransaction();
        transaction.Settle(bookmark, Settlement.Ack);
        transaction.Send(_bookmarks, ToMessage(new Bookmark(folder, paths[^1])));
        foreach (string path in paths)
            transaction.Send(Files, new Message(System.Text.Encoding.UTF8.GetBytes(path)));
        try
        {
            await transaction.CommitAsync(ct);
        }
        catch
        {
            bookmark.Release();
            throw;
        }
    }

    /// <summary>Acks a file and keeps what it holds, both or neither.</summary>
    /// <exception cref="LeaseLostException">The file has gone to another consumer: nothing was kept.</exception>
    public async Task CompleteAsync(Delivery delivery, string path, FileFacts facts)
    {
        await using BrokerTransaction transaction = _broker.BeginTransaction();
        if (transaction.Settle(delivery, Settlement.Ack) == SettleResult.LeaseLost)
            throw new LeaseLostException();
        transaction.Send(Results, ToMessage(new Result(path, facts)));
        await transaction.CommitAsync(CancellationToken.None);
    }

    /// <summary>The run is over and its report written: the next start begins anew.</summary>
    public async Task FinishAsync(IndexReport report)
    {
        foreach (Delivery letter in report.DeadLetters)
            await letter.AckAsync();
        await _bookmarks.PurgeAsync();
        await Files.PurgeAsync();
        await Results.PurgeAsync();
    }

    public ValueTask DisposeAsync() => _broker.DisposeAsync();

    private async Task RestoreAsync(string folder, CancellationToken ct)
    {
        if (await _bookmarks.ReceiveAsync(TimeSpan.Zero, ct) is not { } bookmark)
        {
            await _bookmarks.SendAsync(ToMessage(new Bookmark(folder, null)), ct);
            return;
        }
        Bookmark last = FromMessage<Bookmark>(bookmark.Message);
        bookmark.Release();
        if (last.Folder != folder)
            throw new UsageException($"The data folder holds an unfinished run over '{last.Folder}'. Finish it (give that folder), choose another --data, or delete the data folder.");
        LastSent = last.LastSent;

        // A look at all of them; each goes back at once.
        List<Delivery> seen = [];
        while (await Results.ReceiveBatchAsync(ResultsAtOnce, TimeSpan.Zero, ct) is { Count: > 0 } some)
            seen.AddRange(some);
        foreach (Delivery delivery in seen)
        {
            Result result = FromMessage<Result>(delivery.Message);
            Found[result.Path] = result.Facts;
            delivery.Release();
        }
        IsResumed = LastSent is not null;
    }

    private static Message ToMessage<T>(T value) => new(JsonSerializer.SerializeToUtf8Bytes(value)) { ContentType = "application/json" };

    private static T FromMessage<T>(Message message) => JsonSerializer.Deserialize<T>(message.Body.Span)!;

    private sealed record Bookmark(string Folder, string? LastSent);

    private sealed record Result(string Path, FileFacts Facts);
}
