using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using QueueKit;

namespace WorkQueue;

/// <summary>The work queue itself: one producer sends a message per file, consumers compete for them and fill the index.</summary>
/// <remarks>
/// A delivery may repeat: its consumer failed after the work, or its lease ran out. The index holds each file once all the same,
/// since it is keyed by path and the first result wins.
/// </remarks>
internal sealed class FileIndexer(IndexRun run, FileTree tree, WorkQueueOptions options)
{
    private static readonly TimeSpan RefusedPause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(20);

    private readonly ConcurrentDictionary<string, FileFacts> _index = new(run.Found, StringComparer.Ordinal);
    private readonly Sabotage _sabotage = new(options.FailRate, options.Seed, tree.Files.Count);
    private readonly Stopwatch _clock = new();
    private long _bytes = run.Found.Values.Sum(static facts => facts.Bytes);
    private int _failedOnPurpose;
    private int _repeatsAbsorbed;
    private int _lateAcks;
    private volatile bool _allSent;

    public IReadOnlyDictionary<string, FileFacts> Index => _index;

    public int Files => tree.Files.Count;

    public int Indexed => _index.Count;

    public long Bytes => Interlocked.Read(ref _bytes);

    public TimeSpan Elapsed => _clock.Elapsed;

    /// <summary>Deliveries that <see cref="Sabotage"/> chose.</summary>
    public int FailedOnPurpose => _failedOnPurpose;

    /// <summary>Deliveries of a file that was in the index already.</summary>
    public int RepeatsAbsorbed => _repeatsAbsorbed;

    /// <summary>Acks that came after the lease was lost, and changed nothing.</summary>
    public int LateAcks => _lateAcks;

    /// <summary>Files that an earlier start had done.</summary>
    public int Resumed { get; } = run.Found.Count;

    public QueueSnapshot GetSnapshot() => run.Files.GetSnapshot();

    /// <summary>Returns when every file that was sent is settled: acked, dropped or dead-lettered.</summary>
    public async Task RunAsync(CancellationToken ct)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(ct);
        _clock.Start();
        List<Task> tasks = [Task.Run(() => SendAllAsync(stop.Token), ct)];
        for (int i = 0; i < options.Consumers; i++)
            tasks.Add(Task.Run(() => ConsumeAsync(stop.Token), ct));
        await foreach (Task ended in Task.WhenEach(tasks))
        {
            // Nobody waits for one that is gone.
            if (!ended.IsCompletedSuccessfully)
                await stop.CancelAsync();
        }
        _clock.Stop();
        await Task.WhenAll(tasks);
    }

    private async Task SendAllAsync(CancellationToken ct)
    {
        // In ordinal order, so the bookmark of an earlier start says what has been sent.
        IEnumerable<string> rest = tree.Files.SkipWhile(path => string.CompareOrdinal(path, run.LastSent) <= 0);
        foreach (string[] paths in rest.Chunk(options.SendBatch))
            await SendPatientlyAsync(paths, ct);
        _allSent = true;
    }

    // Under Reject it is for the sender to decide what a refusal means. Here every file counts: pause, and try again.
    private async Task SendPatientlyAsync(string[] paths, CancellationToken ct)
    {
        while (true)
        {
            try
            {
                await run.SendAsync(paths, options.Folder, ct);
                return;
            }
            catch (QueueFullException)
            {
                await Task.Delay(RefusedPause, ct);
            }
        }
    }

    private async Task ConsumeAsync(CancellationToken ct)
    {
        while (true)
        {
            if (await run.Files.ReceiveAsync(LookInterval, ct) is { } delivery)
                await HandleAsync(delivery, ct);
            else if (_allSent && run.Files.GetSnapshot().Messages == 0)
                return;
        }
    }

    // <consumer>
    private async Task HandleAsync(Delivery delivery, CancellationToken ct)
    {
        string path = Encoding.UTF8.GetString(delivery.Message.Body.Span);
        Mishap mishap = ChooseMishap(path, delivery);
        try
        {
            ThrowIf(mishap == Mishap.ThrowBeforeWork);

            // A redelivered file may be in the index already. Whoever adds it first wins; the repeat changes nothing.
            if (delivery.IsRedelivered && _index.TryGetValue(path, out FileFacts? facts))
                Interlocked.Increment(ref _repeatsAbsorbed);
            else
                facts = Add(path, await ReadAsync(path, delivery, ct));

            ThrowIf(mishap == Mishap.ThrowAfterWork);
            if (mishap == Mishap.StallAfterWork)
                await Task.Delay(options.Lease * 1.5, ct);

            await run.CompleteAsync(delivery, path, facts); // the ack and the result, in one transaction
        }
        catch (LeaseLostException)
        {
            Interlocked.Increment(ref _lateAcks); // too late: the file is another consumer's now
        }
        catch (OperationCanceledException) when (ct.IsCancellationRequested)
        {
            delivery.Release(); // not its fault: no attempt is counted
            throw;
        }
        catch (Exception error) when (IsPermanent(error))
        {
            delivery.Reject("unreadable", error.Message); // to the dead letters at once
        }
        catch (Exception error)
        {
            delivery.Nack(error: error); // again after a pause, to the dead letters after the last attempt
        }
    }
    // </consumer>

    private FileFacts Add(string path, FileFacts facts)
    {
        if (!_index.TryAdd(path, facts))
            return _index[path];
        Interlocked.Add(ref _bytes, facts.Bytes);
        return facts;
    }

    private async Task<FileFacts> ReadAsync(string path, Delivery delivery, CancellationToken ct)
    {
        long renewed = Stopwatch.GetTimestamp();
        FileFacts facts = await FileFacts.ReadAsync(tree.FullPath(path), KeepLease, ct);
        if (options.Pace > TimeSpan.Zero)
            await Task.Delay(options.Pace, ct);
        return facts;

        // A large file takes longer than the lease: whoever pulls its messages prolongs the lease itself.
        void KeepLease()
        {
            if (Stopwatch.GetElapsedTime(renewed) < options.Lease / 3)
                return;
            delivery.ExtendLease();
            renewed = Stopwatch.GetTimestamp();
        }
    }

    private Mishap ChooseMishap(string path, Delivery delivery)
    {
        Mishap mishap = _sabotage.Choose(path, delivery.Attempt);
        if (mishap != Mishap.None)
            Interlocked.Increment(ref _failedOnPurpose);
        return mishap;
    }

    private static void ThrowIf(bool condition)
    {
        if (condition)
            throw new SabotageException();
    }

    private static bool IsPermanent(Exception error) =>
        error is UnauthorizedAccessException or FileNotFoundException or DirectoryNotFoundException or PathTooLongException or TimeoutException;
}
