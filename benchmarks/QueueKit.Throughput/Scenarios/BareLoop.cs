using System.Collections.Concurrent;
using System.Threading.Channels;
using System.Threading.Tasks.Sources;

namespace QueueKit.Throughput.Scenarios;

/// <summary>The least that confirms sends in groups: gathers whatever has arrived, stores nothing, and completes each sender with a work item of its own.</summary>
/// <remarks>In a steady state it allocates nothing, and no continuation of a sender runs on the loop.</remarks>
internal sealed class BareLoop
{
    private readonly Channel<Confirmation> _arrived = Channel.CreateUnbounded<Confirmation>(new UnboundedChannelOptions { SingleReader = true });
    private readonly ConcurrentQueue<Confirmation> _spare = new();
    private readonly List<Confirmation> _batch = [];

    [ThreadStatic]
    private static Confirmation? t_spare;

    /// <summary>How many were confirmed.</summary>
    public long Messages { get; private set; }

    /// <summary>In how many gathers.</summary>
    public long Gathers { get; private set; }

    /// <summary>Completes with the message's number once it was gathered.</summary>
    public ValueTask<long> SendAsync(Message message)
    {
        Confirmation confirmation = Rent();
        confirmation.Message = message;
        ValueTask<long> confirmed = confirmation.Confirmed;
        _arrived.Writer.TryWrite(confirmation);
        return confirmed;
    }

    public void Complete() => _arrived.Writer.Complete();

    public async Task RunAsync()
    {
        while (await _arrived.Reader.WaitToReadAsync())
        {
            while (_arrived.Reader.TryRead(out Confirmation? confirmation))
                _batch.Add(confirmation);
            if (_batch.Count == 0)
                continue;
            Gathers++;
            foreach (Confirmation confirmation in _batch)
                confirmation.Complete(++Messages);
            _batch.Clear();
        }
    }

    // One for each thread, which often completes one send and begins the next; the rest are shared.
    private Confirmation Rent()
    {
        if (t_spare is { } spare && ReferenceEquals(spare.Owner, this))
        {
            t_spare = null;
            return spare;
        }
        return _spare.TryDequeue(out Confirmation? shared) ? shared : new Confirmation(this);
    }

    private void Return(Confirmation confirmation)
    {
        if (t_spare is { } spare && ReferenceEquals(spare.Owner, this))
            _spare.Enqueue(confirmation);
        else
            t_spare = confirmation;
    }

    private sealed class Confirmation(BareLoop owner) : IValueTaskSource<long>, IThreadPoolWorkItem
    {
        private ManualResetValueTaskSourceCore<long> _core;
        private long _number;

        public BareLoop Owner => owner;

        public Message? Message { get; set; }

        public ValueTask<long> Confirmed => new(this, _core.Version);

        public void Complete(long number)
        {
            _number = number;
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        }

        void IThreadPoolWorkItem.Execute() => _core.SetResult(_number);

        long IValueTaskSource<long>.GetResult(short token)
        {
            long number = _core.GetResult(token);
            _core.Reset();
            Message = null;
            owner.Return(this);
            return number;
        }

        ValueTaskSourceStatus IValueTaskSource<long>.GetStatus(short token) => _core.GetStatus(token);

        void IValueTaskSource<long>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _core.OnCompleted(continuation, state, token, flags);
    }
}
