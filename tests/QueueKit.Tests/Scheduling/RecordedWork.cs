using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Tests.Scheduling;

/// <summary>A commit work that writes one record, takes some numbers and remembers what it is told.</summary>
internal sealed class RecordedWork : CommitWork
{
    private readonly int _sequences;
    private readonly byte[] _body;

    public RecordedWork(long number, WorkTarget target, FlushLevel level = FlushLevel.Written, int sequences = 1, byte[]? body = null, bool onlyDeletes = false)
    {
        Number = number;
        Level = level;
        Recorder = target;
        _sequences = sequences;
        _body = body ?? [];
        OnlyDeletes = onlyDeletes;
    }

    public long Number { get; }

    public WorkTarget Recorder { get; }

    /// <summary>The first number it was given, by the latest write.</summary>
    public long FirstSequence { get; private set; }

    public int Writes { get; private set; }

    public override ICommitTarget Target => Recorder;

    public override bool OnlyDeletes { get; }

    /// <summary>Completes with null once committed, or with the error it was told; faults if it is told twice.</summary>
    public TaskCompletionSource<StoreException?> Outcome { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool WasRefused { get; private set; }

    public Action? OnFailed { get; init; }

    public override void WriteTo(StoreBatch batch, ref long sequence)
    {
        Writes++;
        FirstSequence = sequence + 1;
        sequence += _sequences;
        batch.Put(new StoreKey(StoreKind.Message, 1, 0, 0, Number, FirstSequence), _body);
    }

    public override void Refused(StoreException reason)
    {
        WasRefused = true;
        Outcome.SetResult(reason);
    }

    public override void Failed(StoreException reason)
    {
        OnFailed?.Invoke();
        Outcome.SetResult(reason);
    }

    protected override void Run() { }
}

/// <summary>Remembers which works were applied, and which together.</summary>
internal sealed class WorkTarget(string name = "") : ICommitTarget
{
    private readonly List<string> _runs = [];

    /// <summary>Where runs of several targets are to be seen in their order.</summary>
    public List<string> Runs { get => SharedRuns ?? _runs; }

    public List<string>? SharedRuns { get; init; }

    public Action<RecordedWork>? OnCommitted { get; set; }

    public void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes)
    {
        var numbers = new List<long>();
        foreach (CommitWork work in run)
            numbers.Add(((RecordedWork)work).Number);
        lock (Runs)
            Runs.Add($"{name}{string.Join(' ', numbers)}");
        foreach (CommitWork work in run)
        {
            OnCommitted?.Invoke((RecordedWork)work);
            ((RecordedWork)work).Outcome.SetResult(null);
        }
    }
}
