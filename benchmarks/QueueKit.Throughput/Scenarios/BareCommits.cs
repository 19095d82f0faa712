using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The least that makes records durable in groups: gathers whatever has arrived, commits all of it at once, and completes each caller with a work item of its own. An engine adds the commit.</summary>
internal abstract class BareCommits : IDisposable
{
    private readonly ConcurrentQueue<Confirmation> _arrived = new();
    private readonly ManualResetEventSlim _signal = new();
    private readonly ConcurrentQueue<Confirmation> _spare = new();
    private readonly List<Confirmation> _batch = [];
    private readonly Thread _thread;
    private long _number;
    private volatile bool _isClosing;

    protected BareCommits() => _thread = new Thread(Run) { IsBackground = true, Name = "Bare commit" };

    /// <summary>How many operations were confirmed.</summary>
    public long Operations { get; private set; }

    /// <summary>In how many commits.</summary>
    public long Commits { get; private set; }

    /// <summary>Begins to take operations.</summary>
    public BareCommits Start()
    {
        _thread.Start();
        return this;
    }

    /// <summary>Completes with the record's number once it is on the disk.</summary>
    public ValueTask<long> InsertAsync(byte[] body)
    {
        Confirmation confirmation = Rent();
        confirmation.Body = body;
        return Begin(confirmation);
    }

    /// <summary>Completes once the deletion is on the disk.</summary>
    public ValueTask<long> DeleteAsync(long number)
    {
        Confirmation confirmation = Rent();
        confirmation.Number = number;
        return Begin(confirmation);
    }

    public void Dispose()
    {
        _isClosing = true;
        _signal.Set();
        _thread.Join();
        _signal.Dispose();
        Close();
    }

    /// <summary>Adds an insertion to the commit, before any deletion.</summary>
    protected abstract void Insert(long number, byte[] body);

    /// <summary>Adds a deletion to the commit.</summary>
    protected abstract void Delete(long number);

    /// <summary>Commits what was added, flushed.</summary>
    protected abstract void Commit();

    /// <summary>Closes the engine.</summary>
    protected abstract void Close();

    private ValueTask<long> Begin(Confirmation confirmation)
    {
        ValueTask<long> confirmed = confirmation.Confirmed;
        _arrived.Enqueue(confirmation);
        _signal.Set();
        return confirmed;
    }

    private void Run()
    {
        while (!_isClosing)
        {
            _signal.Wait();
            _signal.Reset();
            while (_arrived.TryDequeue(out Confirmation? confirmation))
                _batch.Add(confirmation);
            if (_batch.Count == 0)
                continue;
            CommitBatch();
            Operations += _batch.Count;
            Commits++;
            foreach (Confirmation confirmation in _batch)
                confirmation.Complete();
            _batch.Clear();
        }
    }

    private void CommitBatch()
    {
        foreach (Confirmation confirmation in _batch)
        {
            if (confirmation.Body is { } body)
                Insert(confirmation.Number = ++_number, body);
        }
        foreach (Confirmation confirmation in _batch)
        {
            if (confirmation.Body is null)
                Delete(confirmation.Number);
        }
        Commit();
    }

    private Confirmation Rent() => _spare.TryDequeue(out Confirmation? spare) ? spare : new Confirmation(this);

    private sealed class Confirmation(BareCommits owner) : IValueTaskSource<long>, IThreadPoolWorkItem
    {
        private ManualResetValueTaskSourceCore<long> _core;

        public long Number { get; set; }

        public byte[]? Body { get; set; }

        public ValueTask<long> Confirmed => new(this, _core.Version);

        public void Complete() => ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);

        void IThreadPoolWorkItem.Execute() => _core.SetResult(Number);

        long IValueTaskSource<long>.GetResult(short token)
        {
            long number = _core.GetResult(token);
            _core.Reset();
            Body = null;
            owner._spare.Enqueue(this);
            return number;
        }

        ValueTaskSourceStatus IValueTaskSource<long>.GetStatus(short token) => _core.GetStatus(token);

        void IValueTaskSource<long>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);
    }
}
