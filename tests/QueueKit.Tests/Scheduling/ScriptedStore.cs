using System.Collections.Concurrent;
using QueueKit.Stores;

namespace QueueKit.Tests.Scheduling;

/// <summary>A store that remembers what it was asked to commit and does what a test's script says.</summary>
internal sealed class ScriptedStore(bool commitBlocks) : IMessageStore
{
    // A bound that turns a hang into a failure; nothing is timed by it.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private readonly SemaphoreSlim _entered = new(0);
    private readonly SemaphoreSlim _released = new(0);
    private volatile bool _stalls;
    private int _committing;

    /// <summary>Every commit that was asked for, whatever became of it.</summary>
    public ConcurrentQueue<CommitCall> Calls { get; } = new();

    /// <summary>What a commit throws; null for none.</summary>
    public Func<CommitCall, Exception?> Script { get; set; } = _ => null;

    public int MaxRecordBytes => 1 << 20;

    public bool CommitBlocks => commitBlocks;

    public int Disposals { get; private set; }

    /// <summary>The numbers of the works in each commit that succeeded.</summary>
    public long[][] Committed => [.. Calls.Where(call => call.Error is null).Select(call => call.Works)];

    /// <summary>From now on every commit waits for <see cref="ReleaseOne"/> or <see cref="StopStalling"/>.</summary>
    public void Stall() => _stalls = true;

    /// <summary>Waits until a commit has arrived and is stalled.</summary>
    public void AwaitStalled() => Assert.That(_entered.Wait(s_bound), Is.True, "No commit has come.");

    public void ReleaseOne() => _released.Release();

    public void StopStalling()
    {
        _stalls = false;
        _released.Release();
    }

    public void Commit(StoreBatch batch, FlushLevel level)
    {
        Assert.That(Interlocked.Increment(ref _committing), Is.EqualTo(1), "One commit at a time.");
        if (_stalls)
        {
            _entered.Release();
            Assert.That(_released.Wait(s_bound), Is.True, "Nobody has released the commit.");
        }
        Assert.That(batch.Operations[^1].Key.Kind, Is.EqualTo(StoreKind.Delta), "The commit's number is its last record.");
        var works = new List<long>();
        foreach (StoreOperation operation in batch.Operations[..^1])
        {
            if (operation.Key.Kind == StoreKind.Message)
                works.Add(operation.Key.Order);
        }
        StoreOperation record = batch.Operations[^1];
        var call = new CommitCall([.. works], level, CommitRecord.Read(new StoreRecord(record.Key, record.Head, record.Body), new LaneCounters()), Thread.CurrentThread.Name, Thread.CurrentThread.IsThreadPoolThread);
        call.Error = Script(call);
        Calls.Enqueue(call);
        Interlocked.Decrement(ref _committing);
        if (call.Error is not null)
            throw call.Error;
    }

    public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page) =>
        throw new NotSupportedException("A pipeline reads nothing.");

    public ValueTask DisposeAsync()
    {
        Disposals++;
        return default;
    }
}

/// <summary>A commit that a <see cref="ScriptedStore"/> was asked for.</summary>
internal sealed record CommitCall(long[] Works, FlushLevel Level, CommitRecord Record, string? ThreadName, bool OnPool)
{
    public Exception? Error { get; set; }
}
