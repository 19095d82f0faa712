using QueueKit.Diagnostics;
using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>A handler and its places: as many loops as it may run at once, each of which takes a message when it is free and settles it when the handler has returned.</summary>
internal sealed class HandlerConsumer : MessageConsumer
{
    // The place inside which the current code runs, so that a stop from inside a handler does not wait for that handler.
    private static readonly AsyncLocal<Place?> s_current = new();

    private readonly QueueConductor _queue;
    private readonly BrokerContext _broker;
    private readonly Func<Delivery, CancellationToken, ValueTask> _handler;
    private readonly Consumer _consumer;
    private readonly bool _continuesTraces;
    private readonly Place[] _places;
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    // For the broker's own waits, which nobody else's continuations may hold up.
    private readonly TaskCompletionSource _end = new();
    private readonly Action<HandlerConsumer> _ended;
    private int _running;
    private int _state = (int)ConsumerState.Running;
    private Exception? _fault;

    public HandlerConsumer(QueueConductor queue, BrokerContext broker, Func<Delivery, CancellationToken, ValueTask> handler, ConsumeOptions options, Action<HandlerConsumer> ended)
    {
        _queue = queue;
        _broker = broker;
        _handler = handler;
        _ended = ended;
        _continuesTraces = options.ContinueTrace;
        _consumer = new Consumer(queue)
        {
            OwnLeaseTicks = options.LeaseDuration?.Ticks ?? 0,
            AtMostOnce = options.AtMostOnce,
            RenewsLeases = true,
            ForHandlers = true,
        };
        _places = new Place[options.Concurrency];
        for (int i = 0; i < _places.Length; i++)
            _places[i] = new Place(this);
        _running = _places.Length;
    }

    public override ConsumerState State => (ConsumerState)Volatile.Read(ref _state);

    public override Task Completion => _completion.Task;

    private bool IsStopping => State != ConsumerState.Running;

    public void Start()
    {
        foreach (Place place in _places)
            _broker.Scheduler.Schedule(place);
    }

    public override async ValueTask StopAsync(CancellationToken ct = default)
    {
        BeginStop();
        s_current.Value?.Excuse(this);
        Task end = _end.Task;
        if (!end.IsCompleted && ct.CanBeCanceled)
        {
            var deadline = new TaskCompletionSource();
            using (ct.UnsafeRegister(static source => ((TaskCompletionSource)source!).TrySetResult(), deadline))
                await Task.WhenAny(end, deadline.Task).CountedOn(_broker.Scheduler);
            if (!end.IsCompleted)
                Abandon();
        }
        // How it ended is Completion's to tell; a stop has done its work either way.
        await end.CountedOn(_broker.Scheduler);
    }

    public override async ValueTask DisposeAsync()
    {
        using var deadline = new CancellationTokenSource(_broker.Options.DrainTimeout, _broker.Options.TimeProvider);
        await StopAsync(deadline.Token).AsTask().CountedOn(_broker.Scheduler);
    }

    /// <summary>Called from inside a handler: whatever closes now does not wait for that handler.</summary>
    public static void ExcuseCurrent() => s_current.Value?.Excuse();

    /// <summary>Takes no more messages; returns at once.</summary>
    public void BeginStop()
    {
        if (Interlocked.CompareExchange(ref _state, (int)ConsumerState.Stopping, (int)ConsumerState.Running) != (int)ConsumerState.Running)
            return;
        _queue.Consumers.Close(_consumer);
    }

    // Out of time: tokens are cancelled, leases released, and nobody waits for the handlers any longer.
    private void Abandon()
    {
        int abandoned = 0;
        foreach (Place place in _places)
            abandoned += place.Abandon() ? 1 : 0;
        if (abandoned > 0)
            _queue.Log.HandlersAbandoned(_queue.Name, abandoned);
    }

    private void Fault(Exception error)
    {
        if (Interlocked.CompareExchange(ref _fault, error, null) is null)
            _queue.Log.ConsumerFaulted(_queue.Name, error.Message);
        _queue.Consumers.Close(_consumer);
    }

    private void Ended()
    {
        if (Interlocked.Decrement(ref _running) != 0)
            return;
        Volatile.Write(ref _state, (int)(_fault is null ? ConsumerState.Stopped : ConsumerState.Faulted));
        _ended(this);
        if (_fault is null)
            _completion.TrySetResult();
        else
            _completion.TrySetException(_fault);
        // A consumer that nobody watches must not bring the process down through an unobserved task: the log has the fault.
        _ = _completion.Task.Exception;
        _end.SetResult();
    }

    /// <summary>One place: a loop, and what it needs again and again.</summary>
    private sealed class Place(HandlerConsumer owner) : WorkItem
    {
        // After so many messages without a pause the thread is given back once: a handler that never awaits must not keep it for ever.
        private const int MessagesPerTurn = 256;

        private readonly PendingReceive _receive = new(owner._consumer);
        private InFlightDelivery? _current;
        private LeaseExtras? _extras;
        private int _hasEnded;
        // What the handler threw last, for whoever observes it.
        private Exception? _error;

        /// <summary>The handler in this place stops its own consumer: it is not waited for.</summary>
        public void Excuse(HandlerConsumer stopped)
        {
            if (ReferenceEquals(stopped, owner))
                End();
        }

        public void Excuse()
        {
            owner.BeginStop();
            End();
        }

        public bool Abandon()
        {
            if (Volatile.Read(ref _hasEnded) != 0)
                return false;
            if (Volatile.Read(ref _current) is { } current)
                owner._queue.Consumers.TakeBack(current);
            Volatile.Read(ref _extras)?.Cancel();
            End();
            return true;
        }

        protected override void Run()
        {
            _ = LoopAsync();
        }

        private async Task LoopAsync()
        {
            s_current.Value = this;
            try
            {
                int turn = 0;
                while (!owner.IsStopping && owner._fault is null)
                {
                    InFlightDelivery? delivery = owner._queue.TryTake(owner._consumer);
                    if (delivery is null)
                    {
                        try
                        {
                            delivery = (InFlightDelivery?)await owner._queue.WaitForDeliveryAsync(_receive).ConfigureAwait(false);
                        }
                        catch (StoreException error) when (error.Fault == StoreFault.Refused)
                        {
                            // The deletion that goes before an at-most-once delivery: the message is back and comes again after a pause.
                            continue;
                        }
                        if (delivery is null)
                            break;
                        // Stopped, or timed out on a busy machine, between the hand-over and now: it has gone back or goes back now, free of charge.
                        if (owner.IsStopping && delivery.State != LeaseState.Settled)
                        {
                            owner._queue.Consumers.TakeBack(delivery);
                            break;
                        }
                    }
                    if (owner._queue.Observed is { HearsHandlers: true } observed)
                        await HandleObservedAsync(observed, delivery).ConfigureAwait(false);
                    else
                        await HandleAsync(delivery).ConfigureAwait(false);
                    if (++turn == MessagesPerTurn)
                    {
                        // As a work item of its own, so that it is counted: the place is not idle.
                        owner._broker.Scheduler.Schedule(this);
                        return;
                    }
                }
            }
            catch (ObjectDisposedException)
            {
                // The broker is closed: that is a stop, and it was asked for.
            }
            catch (QueueKitException error)
            {
                owner.Fault(error);
            }
            End();
        }

        // The automatic settle is a part of it.
        private async ValueTask HandleObservedAsync(ObservedQueue observed, InFlightDelivery delivery)
        {
            Operation process = observed.BeginProcess([delivery], owner._continuesTraces);
            _error = null;
            try
            {
                await HandleAsync(delivery).ConfigureAwait(false);
            }
            finally
            {
                process.End(_error is null ? null : TelemetryNames.ErrorOf(_error));
            }
        }

        private async ValueTask HandleAsync(InFlightDelivery delivery)
        {
            LeaseExtras extras = Lease(delivery);
            // Lost on the way here: it has gone back, free of charge, and nobody may act on it.
            if (delivery.State == LeaseState.Lost)
            {
                _extras = null;
                return;
            }
            try
            {
                await owner._handler(delivery, extras.Token).ConfigureAwait(false);
                delivery.Ack();
            }
            catch (StoreException) when (owner._queue.IsStoreStopped)
            {
                throw;
            }
#pragma warning disable CA1031 // Whatever a handler throws is a failed attempt: it is logged, kept with the message and counted.
            catch (Exception error)
#pragma warning restore CA1031
            {
                _error = error;
                // Cancelled by its stop, after what it held was released: that is no failure of the message. One that it had settled, or had at most once, is.
                if (delivery.Nack(error: error) != SettleResult.LeaseLost)
                    owner._queue.Log.HandlerFailed(owner._queue.Name, delivery.Sequence, delivery.Attempt, error);
            }
            finally
            {
                Volatile.Write(ref _current, null);
                // The loss may still be on its way to the token, or come while a transaction holds the lease: the next message gets a token of its own.
                if (delivery.State != LeaseState.Settled)
                    _extras = null;
            }
        }

        private LeaseExtras Lease(InFlightDelivery delivery)
        {
            LeaseExtras extras = _extras ??= new LeaseExtras(owner._queue);
            extras.Reset();
            delivery.Adopt(extras);
            Volatile.Write(ref _current, delivery);
            return extras;
        }

        private void End()
        {
            if (Interlocked.Exchange(ref _hasEnded, 1) == 0)
                owner.Ended();
        }
    }
}
