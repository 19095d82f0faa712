using System.Collections.Concurrent;
using System.Threading.Tasks.Sources;
using LiteDB;
using LiteDB.Engine;
using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The least that makes documents durable in groups over the same files: gathers whatever has arrived, one LiteDB transaction and one flush for all of it, and completes each caller with a work item of its own.</summary>
internal sealed class BareLiteDB : IDisposable
{
    private readonly ConcurrentQueue<Confirmation> _arrived = new();
    private readonly ManualResetEventSlim _signal = new();
    private readonly ConcurrentQueue<Confirmation> _spare = new();
    private readonly List<Confirmation> _batch = [];
    private readonly List<BsonDocument> _documents = [];
    private readonly List<BsonValue> _deleted = [];
    private readonly IDisposable _lock;
    private readonly StoreFiles _files;
    private readonly LiteEngine _engine;
    private readonly Thread _thread;
    private long _number;
    private volatile bool _isClosing;

    public BareLiteDB(string folder)
    {
        var paths = new StorePaths(Path.Combine(folder, "bare.db"));
        DiskFileSystem disk = DiskFileSystem.Instance;
        _lock = StoreOpening.Lock(disk, paths);
        _files = StoreOpening.Open(disk, paths, new LiteDBStoreOptions());
        _engine = LiteEngines.Open(_files.Data, _files.Log);
        _thread = new Thread(Run) { IsBackground = true, Name = "Bare commit" };
        _thread.Start();
    }

    /// <summary>How many operations were confirmed.</summary>
    public long Operations { get; private set; }

    /// <summary>In how many commits.</summary>
    public long Commits { get; private set; }

    /// <summary>Completes with the document's number once it is on the disk.</summary>
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
        _engine.Dispose();
        _files.Dispose();
        _lock.Dispose();
    }

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
            Commit();
            Operations += _batch.Count;
            Commits++;
            foreach (Confirmation confirmation in _batch)
                confirmation.Complete();
            _batch.Clear();
        }
    }

    private void Commit()
    {
        _documents.Clear();
        _deleted.Clear();
        foreach (Confirmation confirmation in _batch)
        {
            if (confirmation.Body is { } body)
                _documents.Add(new BsonDocument { ["_id"] = KeyOf(confirmation.Number = ++_number), ["b"] = body });
            else
                _deleted.Add(KeyOf(confirmation.Number));
        }
        // As the store does: LiteDB would otherwise hand each group to a thread of its own and back.
        InlineScheduler.Run(Apply);
        _files.Log.WaitForTransaction();
        _files.Log.Publish();
        _files.Log.Sync();
    }

    private bool Apply()
    {
        _engine.BeginTrans();
        if (_documents.Count > 0)
            _engine.Insert(LiteEngines.Records, _documents, BsonAutoId.ObjectId);
        if (_deleted.Count > 0)
            _engine.Delete(LiteEngines.Records, _deleted);
        return _engine.Commit();
    }

    // As long as a store's own keys.
    private static BsonValue KeyOf(long number)
    {
        byte[] key = new byte[StoreKey.ByteLength];
        new StoreKey(StoreKind.Message, 1, 9, 0, 0, number).WriteTo(key);
        return new BsonValue(key);
    }

    private Confirmation Rent() => _spare.TryDequeue(out Confirmation? spare) ? spare : new Confirmation(this);

    private sealed class Confirmation(BareLiteDB owner) : IValueTaskSource<long>, IThreadPoolWorkItem
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
