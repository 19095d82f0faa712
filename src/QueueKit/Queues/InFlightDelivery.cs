namespace QueueKit.Queues;

/// <summary>Whose word counts on a delivery: the state that a settle, an expiry and a transaction compete for with one compare-and-swap.</summary>
internal enum LeaseState : byte
{
    /// <summary>Set aside for a consumer that has not seen it yet.</summary>
    Offered = 0,
    /// <summary>The consumer's.</summary>
    Held,
    /// <summary>Settled in a transaction that is not yet committed.</summary>
    Frozen,
    /// <summary>In a transaction whose commit has begun: nothing takes it away any more.</summary>
    Committing,
    /// <summary>Settled. Final.</summary>
    Settled,
    /// <summary>Timed out or taken back. Final.</summary>
    Lost,
}

/// <summary>A delivery and its lease in one object: the entry of the <see cref="InFlightTable"/> itself. Each redelivery is a new one, so a stale object cannot settle.</summary>
internal sealed class InFlightDelivery : Delivery
{
    private readonly long _sequence;
    private readonly int _attempt;
    private readonly bool _redelivered;
    private readonly bool _isCounted;
    private volatile LeaseState _state;
    private LeaseExtras? _extras;

    internal InFlightDelivery(QueueConductor queue, in QueuedMessage message, Consumer consumer, LeaseState state) : base(message.Message)
    {
        Queue = queue;
        Consumer = consumer;
        _isCounted = consumer.CountsUnsettled;
        History = message.History;
        EnqueuedAtMonotonic = message.EnqueuedAt;
        _sequence = message.Sequence;
        _state = state;
        if (message.History is { } history)
        {
            _attempt = history.FailedAttempts;
            _redelivered = history.Delivered;
        }
    }

    public override string QueueName => Queue.Name;

    public override long Sequence => _sequence;

    public override DateTimeOffset EnqueuedAt => Queue.Clock.ToUtc(EnqueuedAtMonotonic);

    public override int Attempt => _attempt + 1;

    public override bool IsRedelivered => _redelivered;

    public override DeadLetterInfo? DeadLetter => History?.DeadLetter;

    public override CancellationToken LeaseLost
    {
        get
        {
            CancellationToken token = Extras.Token;
            // Whoever took the lease away before the source existed could not cancel it.
            if (State == LeaseState.Lost)
                Extras.Cancel();
            return token;
        }
    }

    internal QueueConductor Queue { get; }

    internal Consumer Consumer { get; }

    internal MessageHistory? History { get; }

    internal long EnqueuedAtMonotonic { get; }

    internal long Size => Message.Size;

    internal LeaseState State => _state;

    internal SettleResult Stale => State == LeaseState.Lost ? SettleResult.LeaseLost : SettleResult.AlreadySettled;

    /// <summary>Whether it takes up credit of its consumer.</summary>
    internal bool IsCounted => _isCounted;

    // The table's part, guarded by the queue's lock.
    internal InFlightPlace Place { get; set; }

    internal InFlightDelivery? Previous { get; set; }

    internal InFlightDelivery? Next { get; set; }

    internal long Deadline { get; set; }

    // The ack stack's part.
    internal InFlightDelivery? NextAcked { get; set; }

    /// <summary>What few deliveries need: made on first use.</summary>
    internal LeaseExtras Extras => _extras ?? Interlocked.CompareExchange(ref _extras, new LeaseExtras(Queue), null) ?? _extras;

    internal LeaseExtras? ExtrasIfAny => Volatile.Read(ref _extras);

    internal QueuedMessage Queued => new(Message, _sequence, EnqueuedAtMonotonic, History);

    public override bool ExtendLease(TimeSpan? by = null)
    {
        if (by is { } span)
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(span, TimeSpan.Zero, nameof(by));
        return Queue.ExtendLease(this, by);
    }

    public override SettleResult Settle(Settlement settlement)
    {
        settlement.ThrowIfDefault();
        return Queue.Settle(this, settlement);
    }

    public override ValueTask<SettleResult> SettleAsync(Settlement settlement, CancellationToken ct = default)
    {
        settlement.ThrowIfDefault();
        return ct.IsCancellationRequested ? ValueTask.FromCanceled<SettleResult>(ct) : Queue.SettleAsync(this, settlement);
    }

    /// <summary>The one way from state to state; true for the one who made the move.</summary>
    internal bool TryMove(LeaseState from, LeaseState to) => Interlocked.CompareExchange(ref _state, to, from) == from;

    /// <summary>Lets a handler's deliveries share the extras of its worker.</summary>
    internal void Adopt(LeaseExtras extras) => _extras = extras;
}

/// <summary>The token of a lease, and when it began if it has been prolonged. Cancels as a work item, never under a lock.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable",
    Justification = "A source without a timer or a linked token holds nothing that needs disposing, and a delivery has no owner that could.")]
internal sealed class LeaseExtras(QueueConductor queue) : Scheduling.WorkItem
{
    private CancellationTokenSource _source = new();

    public CancellationToken Token => _source.Token;

    /// <summary>When the delivery was handed out, or 0 while its deadline still tells.</summary>
    public long HandedOutAt { get; set; }

    public void Cancel()
    {
        try
        {
            _source.Cancel();
        }
        catch (AggregateException error)
        {
            // Thrown by a callback that the application registered on the token; there is no caller to throw it to.
            queue.Log.LeaseCallbackFailed(queue.Name, error);
        }
    }

    /// <summary>Makes the extras fit for a worker's next delivery.</summary>
    public void Reset()
    {
        HandedOutAt = 0;
        if (!_source.TryReset())
            _source = new CancellationTokenSource();
    }

    protected override void Run() => Cancel();
}
