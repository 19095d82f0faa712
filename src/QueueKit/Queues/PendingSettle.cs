using System.Threading.Tasks.Sources;
using QueueKit.Collections;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>How a message leaves a durable queue for good.</summary>
internal enum Departure
{
    /// <summary>Acked.</summary>
    Acked,
    /// <summary>Deleted before it is handed to a consumer that wants it at most once.</summary>
    HandedOver,
    /// <summary>Given up, and not kept.</summary>
    Discarded,
}

/// <summary>A deletion on its way: of an acked, discarded or at-most-once message. Awaited by <see cref="Delivery.AckAsync"/>, else it recycles itself.</summary>
internal sealed class PendingSettle : CommitWork, IValueTaskSource<SettleResult>
{
    private static readonly SharedSpares<PendingSettle> s_spares = new();

    [ThreadStatic]
    private static PendingSettle? t_spare;

    private Completion<SettleResult> _core;
    private QueueConductor? _queue;
    private Exception? _error;
    private bool _isAwaited;

    public QueuedMessage Message { get; private set; }

    public Departure Departure { get; private set; }

    /// <summary>The witness's slot that is free when this is committed; 0 for none.</summary>
    public int Slot { get; private set; }

    /// <summary>Of an at-most-once delivery: it, and who waits for it.</summary>
    public InFlightDelivery? Delivery { get; private set; }

    /// <inheritdoc cref="Delivery"/>
    public PendingReceive? Receive { get; private set; }

    public override ICommitTarget Target => _queue!.Commits;

    public override bool OnlyDeletes => true;

    public ValueTask<SettleResult> AsValueTask => new(this, _core.Version);

    public static PendingSettle Rent(QueueConductor queue, FlushLevel level, in QueuedMessage message, Departure departure, bool isAwaited = false, int slot = 0)
    {
        PendingSettle settle = Spare();
        settle._queue = queue;
        settle.Level = level;
        settle.Message = message;
        settle.Departure = departure;
        settle._isAwaited = isAwaited;
        settle.Slot = slot;
        return settle;
    }

    public PendingSettle For(InFlightDelivery delivery, PendingReceive receive)
    {
        Delivery = delivery;
        Receive = receive;
        return this;
    }

    // A queue that is gone took its messages with it, and their counts.
    public override void WriteTo(StoreBatch batch, ref long sequence)
    {
        if (!_queue!.Commits.IsGone)
            StoredMessage.WriteRemoval(batch, _queue.Id, Message);
    }

    /// <summary>It is done, or it failed; on the commit thread. The caller adds it to its wake list.</summary>
    public void Complete(Exception? error) => _error = error;

    public override void Refused(StoreException reason) => _queue!.Commits.NotCommitted(this, reason);

    public override void Failed(StoreException reason) => _queue!.Commits.NotCommitted(this, reason);

    SettleResult IValueTaskSource<SettleResult>.GetResult(short token)
    {
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
            throw new InvalidOperationException("The settle is not complete. A ValueTask is awaited once, and not asked for its result before.");
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            Recycle();
        }
    }

    ValueTaskSourceStatus IValueTaskSource<SettleResult>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<SettleResult>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags, this);

    /// <summary>Whether somebody awaits it and must be woken; otherwise it is recycled here and now.</summary>
    public bool NeedsWake()
    {
        if (_isAwaited)
            return true;
        Recycle();
        return false;
    }

    protected override void Run()
    {
        if (_error is not null)
            _core.SetException(_error);
        else
            _core.SetResult(SettleResult.Settled);
    }

    private void Recycle()
    {
        _core.Reset();
        _error = null;
        Message = default;
        Delivery = null;
        Receive = null;
        _queue = null;
        Spare(this);
    }

    private static PendingSettle Spare()
    {
        if (t_spare is not { } spare)
            return s_spares.TryTake(out PendingSettle? shared) ? shared : new PendingSettle();
        t_spare = null;
        return spare;
    }

    private static void Spare(PendingSettle used)
    {
        if (t_spare is null)
            t_spare = used;
        else
            s_spares.Give(used);
    }
}
