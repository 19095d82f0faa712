namespace QueueKit.Queues;

/// <summary>Someone who competes for a queue's messages: a single receive, a receiver, or a handler with its places. Guarded by the queue's lock.</summary>
internal sealed class Consumer
{
    private PendingReceive? _firstWaiting;
    private PendingReceive? _lastWaiting;

    /// <param name="queue">Whose messages it competes for; null for a single receive, which stands in for <see cref="Identity"/>.</param>
    public Consumer(QueueConductor? queue)
    {
        Queue = queue;
        Identity = this;
    }

    public QueueConductor? Queue { get; }

    /// <summary>The consumer that its deliveries name: itself, or, for a single receive, the one that stands for all of them.</summary>
    public Consumer Identity { get; set; }

    /// <summary>Its own lease, in ticks; 0 for the queue's.</summary>
    public long OwnLeaseTicks { get; init; }

    public bool HasPlainLease => OwnLeaseTicks == 0;

    /// <summary>Whether a lease renews itself while the handler runs.</summary>
    public bool RenewsLeases { get; init; }

    /// <summary>Whether messages are deleted before they are handed over.</summary>
    public bool AtMostOnce { get; init; }

    /// <summary>Whether what it takes goes to handlers: only telemetry asks.</summary>
    public bool ForHandlers { get; init; }

    /// <summary>Set once it has stopped: it gets nothing more, and cannot wait.</summary>
    public bool IsClosed { get; set; }

    /// <summary>The most deliveries it may have unsettled.</summary>
    public int Credit { get; set; } = int.MaxValue;

    /// <summary>How many it has, kept only while <see cref="Credit"/> is limited.</summary>
    public int Unsettled { get; set; }

    public bool CountsUnsettled => Credit != int.MaxValue;

    public bool HasFreePlace => Unsettled < Credit && !IsClosed;

    // The ring's part.
    public bool IsInRing { get; set; }

    public Consumer? PreviousInRing { get; set; }

    public Consumer? NextInRing { get; set; }

    public bool IsWaiting => _firstWaiting is not null;

    public void AddWaiting(PendingReceive receive)
    {
        receive.PreviousWaiting = _lastWaiting;
        if (_lastWaiting is null)
            _firstWaiting = receive;
        else
            _lastWaiting.NextWaiting = receive;
        _lastWaiting = receive;
    }

    public PendingReceive FirstWaiting => _firstWaiting!;

    public void RemoveWaiting(PendingReceive receive)
    {
        if (receive.PreviousWaiting is null)
            _firstWaiting = receive.NextWaiting;
        else
            receive.PreviousWaiting.NextWaiting = receive.NextWaiting;
        if (receive.NextWaiting is null)
            _lastWaiting = receive.PreviousWaiting;
        else
            receive.NextWaiting.PreviousWaiting = receive.PreviousWaiting;
        receive.PreviousWaiting = receive.NextWaiting = null;
    }
}
