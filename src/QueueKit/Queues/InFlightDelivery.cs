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

/// <summary>What never changes on a delivery, in one byte.</summary>
[Flags]
internal enum DeliveryFlags : byte
{
    /// <summary>Nothing special.</summary>
    None = 0,
    /// <summary>Handed out before.</summary>
    Redelivered = 1,
    /// <summary>Takes up credit of its consumer.</summary>
    Counted = 2,
}

/// <summary>A delivery and its lease in one object: the entry of the <see cref="InFlightTable"/> itself. Each redelivery is a new one, so a stale object cannot settle.</summary>
internal sealed class InFlightDelivery : Delivery
{
    private readonly long _sequence;
    private readonly ushort _attempt;
    private readonly DeliveryFlags _flags;
    private volatile bool _isInHand;
    private volatile LeaseState _state;
    // The extras; once acked, the next on the ack stack: they are never needed at the same time, and every delivery is 8 bytes smaller.
    private object? _extrasOrNextAcked;

    internal InFlightDelivery(in QueuedMessage message, Consumer consumer, LeaseState state, long now) : base(message.Message)
    {
        Consumer = consumer;
        StartedAt = now;
        if (consumer.CountsUnsettled)
            _flags |= DeliveryFlags.Counted;
        History = message.History;
        EnqueuedAtMonotonic = message.EnqueuedAt;
        _sequence = message.Sequence;
        _state = state;
        if (message.History is { } history)
        {
            _attempt = (ushort)Math.Min(ushort.MaxValue - 1, history.FailedAttempts);
            if (history.Delivered)
                _flags |= DeliveryFlags.Redelivered;
        }
    }

    public override string QueueName => Queue.Name;

    public override long Sequence => _sequence;

    public override DateTimeOffset EnqueuedAt => Queue.Clock.ToUtc(EnqueuedAtMonotonic);

    public override int Attempt => _attempt + 1;

    public override bool IsRedelivered => (_flags & DeliveryFlags.Redelivered) != 0;

    public override DeadLetterInfo? DeadLetter => History?.DeadLetter;

    public override CancellationToken LeaseLost
    {
        get
        {
            if (State == LeaseState.Settled)
                return CancellationToken.None;
            LeaseExtras extras = Extras;
            CancellationToken token = extras.Token;
            // Whoever took the lease away before the source existed could not cancel it.
            if (State == LeaseState.Lost)
                extras.Cancel();
            return token;
        }
    }

    internal QueueConductor Queue => Consumer.Queue!;

    internal Consumer Consumer { get; }

    internal MessageHistory? History { get; }

    internal long EnqueuedAtMonotonic { get; }

    internal long Size => Message.Size;

    internal LeaseState State => _state;

    internal SettleResult Stale => State == LeaseState.Lost ? SettleResult.LeaseLost : SettleResult.AlreadySettled;

    /// <summary>Whether it takes up credit of its consumer.</summary>
    internal bool IsCounted => (_flags & DeliveryFlags.Counted) != 0;

    // The table's part, guarded by the queue's lock.
    internal InFlightPlace Place { get; set; }

    /// <summary>Where in the <see cref="LeaseRow"/> it is, if it is there.</summary>
    internal int PlaceInRow { get; set; }

    internal long Deadline { get; set; }

    /// <summary>When it was handed over, and its lease began. Offered ones: when they were set aside.</summary>
    internal long StartedAt { get; private set; }

    /// <summary>Whether <see cref="Deadline"/> counts from a time before the lease began, so that it is looked at once more when it comes.</summary>
    internal bool HasEarlyDeadline { get; set; }

    /// <summary>Its slot in the witness; 0 for none. Given before anybody else sees the delivery.</summary>
    internal int Slot { get; set; }

    /// <summary>Whether the hand of its receiver books its ack; otherwise the ack stack does.</summary>
    internal bool IsInHand { get => _isInHand; set => _isInHand = value; }

    /// <summary>Whether somebody listened when it was received: then its settle is observed too.</summary>
    internal bool IsObserved { get; set; }

    // The ack stack's part.
    internal InFlightDelivery? NextAcked
    {
        get => _extrasOrNextAcked as InFlightDelivery;
        set => _extrasOrNextAcked = value;
    }

    /// <summary>What few deliveries need: made on first use, and not once it is acked.</summary>
    internal LeaseExtras Extras
    {
        get
        {
            if (ExtrasIfAny is { } existing)
                return existing;
            var made = new LeaseExtras(Queue);
            return Interlocked.CompareExchange(ref _extrasOrNextAcked, made, null) as LeaseExtras ?? made;
        }
    }

    internal LeaseExtras? ExtrasIfAny => Volatile.Read(ref _extrasOrNextAcked) as LeaseExtras;

    internal QueuedMessage Queued => new(Message, _sequence, EnqueuedAtMonotonic, History);

    public override bool ExtendLease(TimeSpan? by = null)
    {
        if (by is { } span)
            ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(span, TimeSpan.Zero, nameof(by));
        return Queue.ExtendLease(this, by);
    }

    public override SettleResult Ack() => IsObserved ? Queue.Observed!.Ack(this) : Queue.Ack(this);

    public override SettleResult Settle(Settlement settlement)
    {
        settlement.ThrowIfDefault();
        return IsObserved ? Queue.Observed!.Settle(this, settlement) : Queue.Settle(this, settlement);
    }

    public override ValueTask<SettleResult> SettleAsync(Settlement settlement, CancellationToken ct = default)
    {
        settlement.ThrowIfDefault();
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<SettleResult>(ct);
        return IsObserved ? Queue.Observed!.SettleAsync(this, settlement) : Queue.SettleAsync(this, settlement);
    }

    /// <summary>The one way from state to state; true for the one who made the move.</summary>
    internal bool TryMove(LeaseState from, LeaseState to) => Interlocked.CompareExchange(ref _state, to, from) == from;

    /// <summary>Hands over what was offered: its lease begins. False if it has been taken back.</summary>
    internal bool TryStart(long now)
    {
        if (_state != LeaseState.Offered)
            return _state != LeaseState.Lost;
        StartedAt = now;
        HasEarlyDeadline = true;
        if (!TryMove(LeaseState.Offered, LeaseState.Held))
            return false;
        if (Slot != 0)
            DeliverySlots.Start(this);
        return true;
    }

    /// <summary>The transaction's own: under the queue's lock nobody else moves a frozen or committing delivery.</summary>
    internal void SettleClaimed() => _state = LeaseState.Settled;

    /// <summary>Takes <see cref="SettleClaimed"/> back, because the store refused the transaction.</summary>
    internal void Unsettle() => _state = LeaseState.Held;

    /// <summary>Lets a handler's deliveries share the extras of its worker.</summary>
    internal void Adopt(LeaseExtras extras) => _extrasOrNextAcked = extras;
}

/// <summary>The token of a lease. Cancels as a work item, never under a lock.</summary>
[System.Diagnostics.CodeAnalysis.SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable",
    Justification = "A source without a timer or a linked token holds nothing that needs disposing, and a delivery has no owner that could.")]
internal sealed class LeaseExtras(QueueConductor queue) : Scheduling.WorkItem
{
    private CancellationTokenSource _source = new();

    public CancellationToken Token => _source.Token;

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
        if (!_source.TryReset())
            _source = new CancellationTokenSource();
    }

    protected override void Run() => Cancel();
}
