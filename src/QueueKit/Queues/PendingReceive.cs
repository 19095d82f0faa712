using System.Threading.Tasks.Sources;
using QueueKit.Collections;
using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>A receive that waits in line. Completed by the queue under its lock with a delivery, nothing, or an error; wakes its owner as a work item.</summary>
/// <remarks>A single receive rents one; a receiver and each place of a handler have one of their own.</remarks>
internal sealed class PendingReceive : WorkItem, IValueTaskSource<Delivery?>, IValueTaskSource<bool>, IDeadlineTarget
{
    private static readonly SharedSpares<PendingReceive> s_spares = new();

    [ThreadStatic]
    private static PendingReceive? t_spare;

    private Completion<InFlightDelivery?> _core;
    private CancellationTokenRegistration _registration;
    private QueueReceiver? _receiver;
    private QueueConductor? _queue;
    private InFlightDelivery? _delivery;
    private Exception? _error;
    private bool _isRented;
    private long _armedAt = long.MaxValue;
    // Set while the timer knows it.
    private DeadlineTimer? _timer;

    public PendingReceive() => Consumer = new Consumer(null);

    /// <param name="consumer">For whom.</param>
    /// <param name="receiver">Who keeps what is delivered until it is asked for it, if not the awaiter.</param>
    public PendingReceive(Consumer consumer, QueueReceiver? receiver = null)
    {
        Consumer = consumer;
        _receiver = receiver;
    }

    public Consumer Consumer { get; }

    public PendingReceive? PreviousWaiting { get; set; }

    public PendingReceive? NextWaiting { get; set; }

    /// <summary>Whether it stands in line. Guarded by the queue's lock.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>Whether it waits only for a page of the backlog that is being read.</summary>
    public bool IsLook { get; set; }

    /// <summary>When it gives up.</summary>
    public long Deadline { get; private set; }

    /// <summary>Whether it belongs to a receiver, which hears of an end by false.</summary>
    public bool IsSignal => _receiver is not null;

    public CancellationToken Cancellation { get; private set; }

    long IDeadlineTarget.ArmedAt { get => Volatile.Read(ref _armedAt); set => Volatile.Write(ref _armedAt, value); }

    public ValueTask<Delivery?> AsDelivery => new(this, _core.Version);

    public ValueTask<bool> AsSignal => new(this, _core.Version);

    public static PendingReceive Rent()
    {
        PendingReceive receive = Spare();
        receive._isRented = true;
        return receive;
    }

    /// <summary>Starts a wait. Under the lock; whoever does this puts it in line.</summary>
    public void Begin(QueueConductor queue, long deadline, CancellationToken ct)
    {
        _queue = queue;
        _core.Reset();
        IsWaiting = true;
        Deadline = deadline;
        Cancellation = ct;
    }

    /// <summary>Listens to the token and the clock. Off the lock, because a token may call back at once.</summary>
    public void Watch(DeadlineTimer timer)
    {
        if (Cancellation.CanBeCanceled)
            _registration = Cancellation.UnsafeRegister(static self => ((PendingReceive)self!).Cancelled(), this);
        if (Deadline == long.MaxValue)
            return;
        _timer = timer;
        timer.Arm(this, Deadline);
    }

    /// <summary>Ends the wait; under the lock. The caller adds the receive to its wake list.</summary>
    public void Complete(InFlightDelivery? delivery, Exception? error = null)
    {
        IsWaiting = false;
        _delivery = delivery;
        _error = error;
    }

    /// <summary>Ends the wait and has it woken.</summary>
    public void Complete(InFlightDelivery? delivery, Exception? error, ref Aftermath aftermath)
    {
        Complete(delivery, error);
        aftermath.Wakes.Add(this);
    }

    void IDeadlineTarget.OnDeadline(long now) => _queue?.Waits.GiveUpReceive(this, now);

    Delivery? IValueTaskSource<Delivery?>.GetResult(short token) => Finish(token);

    bool IValueTaskSource<bool>.GetResult(short token)
    {
        InFlightDelivery? delivery = Finish(token);
        if (delivery is not null)
            _receiver!.Keep(delivery);
        return delivery is not null;
    }

    ValueTaskSourceStatus IValueTaskSource<Delivery?>.GetStatus(short token) => _core.GetStatus(token);

    ValueTaskSourceStatus IValueTaskSource<bool>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<Delivery?>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags, this);

    void IValueTaskSource<bool>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags, this);

    protected override void Run()
    {
        if (_error is not null)
            _core.SetException(_error);
        else
            _core.SetResult(_delivery);
    }

    private void Cancelled() => _queue!.Waits.CancelReceive(this);

    private InFlightDelivery? Finish(short token)
    {
        // A second use of the value task fails here and touches nothing: the version is checked first.
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
            throw new InvalidOperationException("The receive is not complete. A ValueTask is awaited once, and not asked for its result before.");
        // Waits for a callback that is under way: afterwards nobody else knows this object.
        _registration.Dispose();
        _registration = default;
        try
        {
            InFlightDelivery? delivery = _core.GetResult(token);
            // A single receive has it in hand now. A lease lost on the way was free of charge; the delivery's own settle will say so.
            if (_receiver is null)
                delivery?.TryStart(delivery.Queue.Clock.Now);
            return delivery;
        }
        finally
        {
            _delivery = null;
            _error = null;
            Cancellation = default;
            IsLook = false;
            // From now on the value task is another one's: a second await of this one is told so.
            _core.Reset();
            if (_isRented)
            {
                _isRented = false;
                _queue = null;
                Consumer.Identity = Consumer;
                // One that the timer calls, or is about to, is left to the collector.
                if (_timer is null || _timer.Disarm(this))
                {
                    _timer = null;
                    Spare(this);
                }
            }
        }
    }

    private static PendingReceive Spare()
    {
        if (t_spare is not { } spare)
            return s_spares.TryTake(out PendingReceive? shared) ? shared : new PendingReceive();
        t_spare = null;
        return spare;
    }

    private static void Spare(PendingReceive used)
    {
        if (t_spare is null)
            t_spare = used;
        else
            s_spares.Give(used);
    }
}
