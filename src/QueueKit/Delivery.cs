namespace QueueKit;

/// <summary>A message handed to a consumer under a lease. It must be settled: acked, nacked, released or rejected; else it comes back when the lease times out.</summary>
/// <remarks>
/// Safe for any thread; the first settle wins and every settle says what happened. A delivery whose lease is lost can never settle
/// the message again: its redelivery is another object with another lease.
/// </remarks>
public abstract class Delivery
{
    /// <summary>For engines and providers.</summary>
    protected Delivery(Message message) => Message = message;

    /// <summary>The message.</summary>
    public Message Message { get; }

    /// <summary>The queue from which it was delivered.</summary>
    public abstract string QueueName { get; }

    /// <summary>The message's number, ascending in the order of admission: the one in its <see cref="SendReceipt"/>.</summary>
    public abstract long Sequence { get; }

    /// <summary>When the queue admitted the message.</summary>
    public abstract DateTimeOffset EnqueuedAt { get; }

    /// <summary>1 for the first attempt, and one more for each that started and failed. Releases, drains and unstarted deliveries are not counted.</summary>
    public abstract int Attempt { get; }

    /// <summary>Whether the message was delivered before, for whatever reason it came back, or may have been, after a power cut: a consumer that must not act twice looks here first.</summary>
    public abstract bool IsRedelivered { get; }

    /// <summary>Where the message comes from and why, if this queue got it as a dead letter; otherwise null.</summary>
    public virtual DeadLetterInfo? DeadLetter => null;

    /// <summary>Cancelled when the lease is lost: timed out, or taken back as the broker closes. Made on first use.</summary>
    public abstract CancellationToken LeaseLost { get; }

    /// <summary>Starts the lease anew from now: for <paramref name="by"/>, by default the duration it began with. False if it is lost or settled.</summary>
    /// <remarks>No lease lasts longer than <see cref="QueueOptions.MaxLeaseDuration"/> from the delivery on: an extension is cut there.</remarks>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="by"/> is zero or negative.</exception>
    public abstract bool ExtendLease(TimeSpan? by = null);

    /// <summary>Settles: done, the message is deleted. On a durable queue the deletion is on its way when this returns: a crash may redeliver, never lose.</summary>
    public virtual SettleResult Ack() => Settle(Settlement.Ack);

    /// <summary>Like <see cref="Ack"/>, and returns when the deletion is committed: the message never comes back.</summary>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    public ValueTask<SettleResult> AckAsync(CancellationToken ct = default) => SettleAsync(Settlement.Ack, ct);

    /// <summary>Gives the message back as failed: counts as an attempt. Tried again after <paramref name="delay"/>, by default after the queue's <see cref="QueueOptions.RetryDelay"/>; dead-lettered after <see cref="QueueOptions.MaxAttempts"/>.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="delay"/> is negative.</exception>
    public SettleResult Nack(TimeSpan? delay = null, Exception? error = null) => Settle(Settlement.Nack(delay, error));

    /// <summary>Gives the message back without penalty. One that is released again and again pauses a little between.</summary>
    public SettleResult Release() => Settle(Settlement.Release);

    /// <summary>Gives the message up: dead-lettered with <paramref name="reason"/>.</summary>
    /// <exception cref="ArgumentException"><paramref name="reason"/> is empty, or a text is longer than <see cref="Settlement.MaxTextLength"/>.</exception>
    public SettleResult Reject(string reason, string? details = null) => Settle(Settlement.Reject(reason, details));

    /// <summary>Settles as <paramref name="settlement"/> says, and tells at once what became of it.</summary>
    /// <exception cref="ArgumentException"><paramref name="settlement"/> is the default value, which says nothing.</exception>
    public abstract SettleResult Settle(Settlement settlement);

    /// <summary>Settles, and returns when the effect is committed. A token that is cancelled before the settle withdraws it; later it is ignored.</summary>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled beforehand: nothing was settled.</exception>
    public abstract ValueTask<SettleResult> SettleAsync(Settlement settlement, CancellationToken ct = default);
}

/// <summary>Why and from where a message was dead-lettered.</summary>
/// <param name="Source">The queue that gave it up.</param>
/// <param name="Reason">Which of the queue's reasons applied.</param>
/// <param name="Description">The consumer's own reason from <see cref="Delivery.Reject"/>, or what the queue has to say.</param>
/// <param name="Details">The consumer's details, or null.</param>
/// <param name="Attempts">How many attempts failed.</param>
/// <param name="LastError">Type and message of the last exception a handler threw, or null.</param>
/// <param name="SourceSequence">The message's number in <paramref name="Source"/>.</param>
/// <param name="DeadLetteredAt">When it happened.</param>
public sealed record DeadLetterInfo(
    string Source, DeadLetterReasons Reason, string Description, string? Details, int Attempts, string? LastError, long SourceSequence, DateTimeOffset DeadLetteredAt);
