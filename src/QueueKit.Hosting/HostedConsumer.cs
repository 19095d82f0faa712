using System.Diagnostics.CodeAnalysis;
using QueueKit.Hosting.Consuming;
using QueueKit.Hosting.Replies;

namespace QueueKit.Hosting;

/// <summary>The consumer of one queue: its places take messages and call the handlers. It never ends in silence: the state, the completion, a line in the log and an event tell. Safe for any thread.</summary>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A source without a timer, whose token handlers may hold longer than this lives.")]
public sealed class HostedConsumer
{
    private readonly CancellationTokenSource _stopping = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Place[] _places;
    private ITimer? _leases;
    private int _running;
    private int _state = (int)ConsumerState.Running;
    private long _handled;
    private long _failed;
    private Exception? _fault;

    internal HostedConsumer(HostedBroker broker, MessageQueue queue, HandlerOptions options, IReadOnlyDictionary<string, Invoker> handlers, bool isBatch, TimeProvider time, HostingLog log)
    {
        Broker = broker;
        Queue = queue;
        Options = options;
        Handlers = new HandlerTable(handlers, queue, options.ContinueTrace);
        Time = time;
        Log = log;
        Gate = new OutageGate(options.Outage, time,
            (pause, error, isProbe) =>
            {
                if (isProbe)
                    log.OutageGoesOn(queue.Name, pause, error);
                else
                    log.OutageBegan(queue.Name, pause, error);
            },
            () => log.OutageEnded(queue.Name));
        _places = new Place[options.Concurrency];
        for (int i = 0; i < _places.Length; i++)
            _places[i] = isBatch ? new BatchPlace(this, handlers.Values.Single()) : new SinglePlace(this);
        _running = _places.Length;
    }

    /// <summary>Raised when it has stopped, however that came about; <see cref="Completion"/> has the cause. On no particular thread.</summary>
    public event EventHandler? Stopped;

    /// <summary>The queue it takes from.</summary>
    public string QueueName => Queue.Name;

    /// <summary>What it is doing. While <see cref="IsPaused"/> it is running.</summary>
    public ConsumerState State => (ConsumerState)Volatile.Read(ref _state);

    /// <summary>Whether it takes no messages because of an outage, or a single one to find out whether it is over.</summary>
    public bool IsPaused => !Gate.IsOpen;

    /// <summary>The last failure of the outage that it is paused for; otherwise null.</summary>
    public Exception? PauseCause => Gate.Cause;

    /// <summary>Completes when it has stopped as asked; faults if it was not asked to: the queue was deleted, or its store has stopped.</summary>
    public Task Completion => _completion.Task;

    /// <summary>How many of its places are at work on messages right now.</summary>
    public int BusyPlaces => _places.Count(static place => place.IsBusy);

    /// <summary>How many messages have been settled as their handlers said.</summary>
    public long Handled => Interlocked.Read(ref _handled);

    /// <summary>How many calls of handlers have thrown, for each message.</summary>
    public long Failures => Interlocked.Read(ref _failed);

    internal HostedBroker Broker { get; }

    internal MessageQueue Queue { get; }

    internal HandlerOptions Options { get; }

    internal HandlerTable Handlers { get; }

    internal OutageGate Gate { get; }

    internal TimeProvider Time { get; }

    internal HostingLog Log { get; }

    internal bool IsStopping => _stopping.IsCancellationRequested;

    internal CancellationToken Stopping => _stopping.Token;

    internal void Start()
    {
        TimeSpan lease = Options.LeaseDuration ?? Queue.Options.LeaseDuration;
        // Three times a lease: one renewal may come late and none is lost.
        TimeSpan period = lease / 3 > TimeSpan.FromMilliseconds(1) ? lease / 3 : TimeSpan.FromMilliseconds(1);
        using (ExecutionContext.SuppressFlow())
        {
            _leases = Time.CreateTimer(static consumer => ((HostedConsumer)consumer!).KeepLeases(), this, period, period);
            foreach (Place place in _places)
                _ = Task.Run(place.RunAsync);
        }
    }

    internal MessageReceiver OpenReceiver() => Queue.OpenReceiver(new ReceiveOptions { LeaseDuration = Options.LeaseDuration, ForHandlers = true });

    /// <summary>Takes no more messages; returns at once.</summary>
    internal void BeginStop()
    {
        if (Interlocked.CompareExchange(ref _state, (int)ConsumerState.Stopping, (int)ConsumerState.Running) == (int)ConsumerState.Running)
            _stopping.Cancel();
    }

    /// <summary>Waits for the handlers that run; when <paramref name="deadline"/> is cancelled, takes their messages away and returns.</summary>
    internal async Task StopAsync(CancellationToken deadline)
    {
        BeginStop();
        var outOfTime = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using (deadline.UnsafeRegister(static source => ((TaskCompletionSource)source!).TrySetResult(), outOfTime))
            await Task.WhenAny(_completion.Task, outOfTime.Task).ConfigureAwait(false);
        if (!_completion.Task.IsCompleted)
        {
            int abandoned = 0;
            foreach (Place place in _places)
                abandoned += place.Abandon() ? 1 : 0;
            if (abandoned > 0)
                Log.HandlersAbandoned(QueueName, abandoned);
        }
        // How it ended is Completion's to tell; a stop has done its work either way.
        await _completion.Task.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    internal void Settle(Delivery delivery, in Settlement settlement) =>
        Settled(delivery, settlement.Kind == SettlementKind.Ack ? delivery.Ack() : delivery.Settle(settlement), settlement);

    internal void Settled(Delivery delivery, SettleResult result, in Settlement settlement = default)
    {
        if (result != SettleResult.Settled)
        {
            Log.SettledTooLate(QueueName, delivery.Sequence, result);
            return;
        }
        Interlocked.Increment(ref _handled);
        if (settlement.Kind == SettlementKind.Reject)
            Log.Rejected(QueueName, delivery.Sequence, settlement.Reason, settlement.Details);
        TellRequester(delivery, settlement);
    }

    internal void Failed(Delivery delivery, Exception error, bool isProbe)
    {
        Interlocked.Increment(ref _failed);
        FailureOutcome outcome;
        try
        {
            outcome = Options.Judge(error);
        }
#pragma warning disable CA1031 // A rule that throws says nothing: the message is tried again, and what went wrong goes with it.
        catch (Exception broken)
#pragma warning restore CA1031
        {
            outcome = FailureOutcome.Retry();
            error = new AggregateException("A handler failed, and so did the rule that was to judge it.", error, broken);
        }
        Settlement settlement;
        if (outcome.Kind == FailureKind.Reject)
        {
            settlement = outcome.ToSettlement(error);
            Gate.Succeeded(isProbe);
        }
        else
        {
            settlement = Gate.Failed(delivery.Sequence, outcome.Kind == FailureKind.Outage, isProbe, error) ? outcome.ToSettlement(error) : Settlement.Release;
        }
        Log.HandlerFailed(QueueName, delivery.Sequence, delivery.Attempt, settlement.Kind, error);
        SettleResult result = delivery.Settle(settlement);
        if (result == SettleResult.Settled)
            TellRequester(delivery, settlement);
        else
            Log.SettledTooLate(QueueName, delivery.Sequence, result);
    }

    // If the message is a request and is given up now, no reply will come. A queue of dead letters gives nothing up.
    private void TellRequester(Delivery delivery, in Settlement settlement)
    {
        if (delivery.Message.ReplyTo != ReplyDesk.QueueName || QueueName.EndsWith(QueueOptions.DeadLetterSuffix, StringComparison.Ordinal))
            return;
        if (settlement.Kind == SettlementKind.Reject)
            Broker.Replies.GiveUp(delivery.Message, QueueName, settlement.Reason!, settlement.Details);
        else if (settlement.Kind == SettlementKind.Nack && delivery.Attempt >= Queue.Options.MaxAttempts)
            Broker.Replies.GiveUp(delivery.Message, QueueName, "attempts exhausted", settlement.Error is { } error ? FailureOutcome.Describe(error) : null);
    }

    internal void Fault(Exception error)
    {
        if (Interlocked.CompareExchange(ref _fault, error, null) is null)
            Log.ConsumerFaulted(QueueName, error);
        _stopping.Cancel();
    }

    internal void PlaceEnded()
    {
        if (Interlocked.Decrement(ref _running) != 0)
            return;
        _leases?.Dispose();
        Gate.Dispose();
        Volatile.Write(ref _state, (int)(_fault is null ? ConsumerState.Stopped : ConsumerState.Faulted));
        if (_fault is null)
        {
            Log.ConsumerStopped(QueueName);
            _completion.TrySetResult();
        }
        else
        {
            _completion.TrySetException(_fault);
            // A consumer that nobody watches must not be a second alarm through an unobserved task: the log has the fault.
            _ = _completion.Task.Exception;
        }
        try
        {
            Stopped?.Invoke(this, EventArgs.Empty);
        }
#pragma warning disable CA1031 // Whoever is told must not keep the consumer from ending.
        catch (Exception error)
#pragma warning restore CA1031
        {
            Log.StoppedEventFailed(QueueName, error);
        }
    }

    private void KeepLeases()
    {
        foreach (Place place in _places)
            place.KeepLeases();
    }
}
