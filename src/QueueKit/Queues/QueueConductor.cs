using System.Runtime.CompilerServices;
using QueueKit.Diagnostics;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>The conductor of one queue: it owns the lock and beats the time. Every step is the same four beats: lock and decide, hand what is to be stored to the pipeline, unlock, wake.</summary>
/// <remarks>
/// The invariants are at the head of <see cref="QueueCore"/> and checked at both ends of every lock hold in Debug builds.
/// One lock per queue, never two at once; never user code, I/O or await under it; one clock reading per hold.
/// A transient queue never touches the pipeline: gate, ready and dispatch happen in one hold.
/// </remarks>
internal sealed class QueueConductor : ICommitTarget, IDeadlineTarget
{
    private readonly Lock _lock = new();
    private readonly QueueCore _core;
    private readonly BrokerContext _broker;
    // Stands for all single receives.
    private readonly Consumer _pull;
    private AckStack _acks;
    private long _armedAt = long.MaxValue;
    private Exception? _closed;
    private bool _isDeleted;

    public QueueConductor(BrokerContext broker, string name, uint id, QueueOptions options)
    {
        _broker = broker;
        Name = name;
        Id = id;
        IsDurable = options.Durability is Durability.Written or Durability.Flushed;
        FlushLevel = options.Durability == Durability.Flushed ? FlushLevel.Flushed : FlushLevel.Written;
        Durability = options.Durability;
        _pull = new Consumer(this);
        _core = new QueueCore(this, options);
    }

    public string Name { get; }

    /// <summary>The queue's id in the store; 0 for a transient one.</summary>
    public uint Id { get; }

    public bool IsDurable { get; }

    public Durability Durability { get; }

    public FlushLevel FlushLevel { get; }

    /// <summary>Writes the queue's own record, as long as the store does not have it; null once it has. For the pipeline's thread.</summary>
    public Action<StoreBatch>? WriteUnstoredRecord { get; set; }

    public BrokerContext Broker => _broker;

    public BrokerClock Clock => _broker.Clock;

    public BrokerLog Log => _broker.Log;

    public bool IsStoreStopped => IsDurable && _broker.Pipeline!.Fault is not null;

    public QueueOptions Options
    {
        get
        {
            lock (_lock)
                return _core.Options;
        }
    }

    long IDeadlineTarget.ArmedAt { get => Volatile.Read(ref _armedAt); set => Volatile.Write(ref _armedAt, value); }

    // ---- Send --------------------------------------------------------------------------------------------------------------

    public ValueTask<SendReceipt> SendAsync(Message message, bool mayWait, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<SendReceipt>(ct);
        RefuseOversized(message.Size, 1);
        if (IsDurable)
            return SendPending(EncodedForStore(PendingSend.Rent(this, message)), mayWait, ct);

        // The plain case: there is room, and nobody waits, so nothing follows.
        long sequence;
        lock (_lock)
        {
            ThrowIfClosed();
            sequence = _core.TryAppend(message, Clock.Now);
        }
        return sequence != 0
            ? new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, sequence, Durability.Transient))
            : SendTransientAsync(message, mayWait, ct);
    }

    private ValueTask<SendReceipt> SendTransientAsync(Message message, bool mayWait, CancellationToken ct)
    {
        GateVerdict verdict;
        PendingSend? waiting = null;
        long sequence = 0;
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfClosed();
            Moment moment = Enter(ref aftermath);
            if (!_core.Gate.HasRoomNow(1, message.Size))
                _core.BookAcks(ref _acks);
            verdict = _core.Judge(1, message.Size, mayWait, moment, ref aftermath, out _);
            if (verdict == GateVerdict.Admit)
                sequence = _core.AdmitTransient(message, moment, ref aftermath);
            else if (verdict == GateVerdict.Wait)
                JoinLine(waiting = PendingSend.Rent(this, message), moment, ct);
            Exit(moment, ref aftermath);
        }
        ValueTask<SendReceipt> result = verdict == GateVerdict.Admit
            ? new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, sequence, Durability.Transient))
            : Answer(verdict, waiting, mayWait);
        Finish(ref aftermath);
        return result;
    }

    public ValueTask<SendReceipt> SendBatchAsync(ReadOnlySpan<Message> messages, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<SendReceipt>(ct);
        long bytes = 0;
        foreach (Message message in messages)
        {
            RefuseOversized(message.Size, 1);
            bytes += message.Size;
        }
        RefuseOversized(bytes, messages.Length);
        if (!IsDurable)
        {
            long first;
            lock (_lock)
            {
                ThrowIfClosed();
                first = _core.TryAppendAll(messages, bytes, Clock.Now);
            }
            if (first != 0)
                return new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, first, Durability.Transient));
        }
        return SendPending(EncodedForStore(PendingSend.Rent(this, messages.ToArray(), bytes)), mayWait: true, ct);
    }

    /// <summary>Withdraws a send that waits for room; one that was admitted is left alone.</summary>
    public void CancelSend(PendingSend send) => EndSend(send, static (send, _) => new OperationCanceledException("The send was cancelled while it waited for room; nothing was sent.", send.Cancellation), null);

    /// <summary>Ends a send that has waited for room too long.</summary>
    public void GiveUpSend(PendingSend send, long now) => EndSend(send, static (_, self) => self.FullException(waited: true), now);

    /// <summary>The store did not take a send.</summary>
    public void SendNotCommitted(PendingSend send, StoreException reason)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            // After a failure nobody knows what is stored: the messages are in no state of this process any more, and the queue delivers nothing.
            if (reason.Fault == StoreFault.Refused)
                _core.NotStored(send, moment, ref aftermath);
            send.Fail(reason);
            aftermath.Wakes.Add(send);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    // ---- Receive -----------------------------------------------------------------------------------------------------------

    /// <param name="maxWait">Null for as long as it takes.</param>
    /// <param name="ct">Gives up the wait.</param>
    public ValueTask<Delivery?> ReceiveAsync(TimeSpan? maxWait, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<Delivery?>(ct);
        PendingReceive? receive = null;
        InFlightDelivery? delivery;
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            delivery = _core.TryTake(_pull, LeaseState.Held, moment);
            if (delivery is null && maxWait != TimeSpan.Zero)
            {
                receive = PendingReceive.Rent();
                receive.Consumer.Identity = _pull;
                BeginReceive(receive, maxWait, moment, ct);
            }
            Exit(moment, ref aftermath);
        }
        ValueTask<Delivery?> result = receive is null ? new ValueTask<Delivery?>(delivery) : receive.AsDelivery;
        receive?.Watch(_broker.Timer);
        Finish(ref aftermath);
        return result;
    }

    /// <summary>Takes up to <paramref name="max"/> messages at once, in one lock hold, behind <paramref name="first"/>, if there is one.</summary>
    public InFlightDelivery[] TakeMany(InFlightDelivery? first, int max)
    {
        InFlightDelivery[] taken;
        int count = 0;
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            taken = new InFlightDelivery[_core.CountUpTo(max - (first is null ? 0 : 1)) + (first is null ? 0 : 1)];
            if (first is not null)
                taken[count++] = first;
            count += _core.TakeMany(taken.AsSpan(count), _pull, moment);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        if (count < taken.Length)
            Array.Resize(ref taken, count);
        return taken;
    }

    /// <summary>Takes a message for a consumer that is not waiting and, if it has a hand, fills that.</summary>
    public InFlightDelivery? TryTake(Consumer consumer, Hand? hand = null)
    {
        // A durable at-most-once delivery has to wait for its commit.
        if (consumer.AtMostOnce && IsDurable)
            return null;
        InFlightDelivery? delivery;
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (_closed is not null)
                return null;
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            delivery = hand is null ? _core.TryTake(consumer, LeaseState.Held, moment) : _core.Fill(hand, consumer, moment);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return delivery;
    }

    /// <summary>Whether there is something for <paramref name="receive"/>'s consumer; if not, the receive waits in line. False once the queue is closed.</summary>
    /// <param name="receive">Whoever waits.</param>
    /// <param name="ct">Gives up the wait.</param>
    public ValueTask<bool> WaitAsync(PendingReceive receive, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<bool>(ct);
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (_closed is not null || receive.Consumer.IsClosed)
                return new ValueTask<bool>(false);
            ThrowIfUnavailable();
            if (_core.CanDeliver && receive.Consumer.HasFreePlace && !(receive.Consumer.AtMostOnce && IsDurable))
                return new ValueTask<bool>(true);
            Moment moment = Enter(ref aftermath);
            BeginReceive(receive, null, moment, ct);
            Exit(moment, ref aftermath);
        }
        ValueTask<bool> result = receive.AsSignal;
        receive.Watch(_broker.Timer);
        Finish(ref aftermath);
        return result;
    }

    /// <summary>Waits for a delivery for a place of a handler; null once its consumer is stopped.</summary>
    public async ValueTask<InFlightDelivery?> WaitForDeliveryAsync(PendingReceive receive)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            if (receive.Consumer.IsClosed)
                return null;
            Moment moment = Enter(ref aftermath);
            BeginReceive(receive, null, moment, CancellationToken.None);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return (InFlightDelivery?)await receive.AsDelivery.ConfigureAwait(false);
    }

    /// <summary>Ends a consumer: it gets nothing more, and its waits end with nothing.</summary>
    public void CloseConsumer(Consumer consumer, Hand? hand = null)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (consumer.IsClosed)
                return;
            Moment moment = Enter(ref aftermath);
            _core.CloseConsumer(consumer, hand, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public void CancelReceive(PendingReceive receive) => EndReceive(receive, static receive => new OperationCanceledException("The receive was cancelled; no message was taken.", receive.Cancellation), null);

    public void GiveUpReceive(PendingReceive receive, long now) => EndReceive(receive, static _ => null, now);

    /// <summary>Takes a delivery back, free of charge: it was never started, or its consumer is being stopped.</summary>
    public void TakeBack(InFlightDelivery delivery)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            if (_core.TryTakeBack(delivery))
            {
                _core.PlaceReturned(delivery.Queued, moment, ref aftermath);
            }
            else if (delivery.TryMove(LeaseState.Held, LeaseState.Lost))
            {
                if (delivery.ExtrasIfAny is { } extras)
                    aftermath.Wakes.Add(extras);
                _core.End(delivery, DeliveryEnd.TakenBack, default, moment, ref aftermath);
            }
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public void SetCredit(Consumer consumer, int credit)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            consumer.Credit = credit;
            _core.CreditChanged(consumer);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    // ---- Settle ------------------------------------------------------------------------------------------------------------

    public SettleResult Ack(InFlightDelivery delivery) =>
        IsDurable || delivery.IsCounted ? Settle(delivery, Settlement.Ack, awaited: false, out _) : AckTransient(delivery);

    public SettleResult Settle(InFlightDelivery delivery, Settlement settlement) => Settle(delivery, settlement, awaited: false, out _);

    public ValueTask<SettleResult> SettleAsync(InFlightDelivery delivery, Settlement settlement)
    {
        SettleResult result = Settle(delivery, settlement, awaited: true, out PendingSettle? pending);
        if (pending is not null)
            return pending.AsValueTask;
        // The other settlements write too: whatever this one gave to the pipeline lies before the mark.
        return result == SettleResult.Settled && IsDurable ? AfterCommitAsync(result) : new ValueTask<SettleResult>(result);
    }

    /// <summary>The store did not take a departure.</summary>
    public void SettleNotCommitted(PendingSettle settle, StoreException reason)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            if (reason.Fault == StoreFault.Refused)
            {
                _core.Stay(settle.Message, moment, ref aftermath);
                Log.SettleRefused(Name, settle.Message.Sequence, reason.Message);
            }
            if (settle.Receive is { } receive)
            {
                receive.Complete(null, reason);
                aftermath.Wakes.Add(receive);
            }
            settle.Complete(reason);
            if (settle.NeedsWake())
                aftermath.Wakes.Add(settle);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public bool ExtendLease(InFlightDelivery delivery, TimeSpan? by)
    {
        bool extended;
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            extended = _core.Extend(delivery, by, moment);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return extended;
    }

    /// <summary>Acks frozen deliveries of this transient queue in one lock hold, all or none.</summary>
    public bool TryAckAll(ReadOnlySpan<InFlightDelivery> frozen)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            // Under the lock nobody takes a frozen lease away.
            foreach (InFlightDelivery delivery in frozen)
            {
                if (delivery.State != LeaseState.Frozen)
                    return false;
            }
            Moment moment = Enter(ref aftermath);
            foreach (InFlightDelivery delivery in frozen)
            {
                delivery.SettleClaimed();
                _core.AckTransient(delivery);
            }
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return true;
    }

    // ---- Transactions and dead letters: steps that hold a lease already -----------------------------------------------------

    /// <summary>Runs a step of a <see cref="Transfer"/> under the lock.</summary>
    public void Step(ITransferStep step)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.BookAcks(ref _acks);
            step.Take(_core, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    /// <summary>Waits in line for the places of a transaction's messages, which are then kept for it.</summary>
    public ValueTask<SendReceipt> ReserveAsync(int messages, long bytes, CancellationToken ct) =>
        SendPending(PendingSend.RentReservation(this, messages, bytes), mayWait: true, ct);

    /// <summary>Throws what a send would throw on a closed queue or a stopped store.</summary>
    public void EnsureUsable()
    {
        lock (_lock)
            ThrowIfUnavailable();
    }

    // ---- Time --------------------------------------------------------------------------------------------------------------

    void IDeadlineTarget.OnDeadline(long now)
    {
        long utcTicks = Clock.ReadWallClock().UtcTicks;
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (_closed is not null)
                return;
            Moment moment = Enter(ref aftermath);
            _core.Expire(moment, ref aftermath);
            _core.MakeDue(utcTicks, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    // ---- Commits -----------------------------------------------------------------------------------------------------------

    void ICommitTarget.Committed(ReadOnlySpan<CommitWork> run)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            foreach (CommitWork work in run)
            {
                switch (work)
                {
                    case PendingSend send:
                        _core.Stored(send, moment, ref aftermath);
                        if (_isDeleted)
                            send.Fail(_closed!);
                        else
                            send.Accept(Durability);
                        aftermath.Wakes.Add(send);
                        break;
                    case PendingSettle settle:
                        _core.Departed(settle.Departure, settle.Message.Size);
                        if (settle.Receive is { } receive)
                        {
                            receive.Complete(settle.Delivery);
                            aftermath.Wakes.Add(receive);
                        }
                        settle.Complete(null);
                        if (settle.NeedsWake())
                            aftermath.Wakes.Add(settle);
                        break;
                }
            }
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    // ---- The whole ---------------------------------------------------------------------------------------------------------

    public void Recover(in QueuedMessage message, long dueTicks)
    {
        lock (_lock)
            _core.Recover(message, dueTicks);
    }

    /// <summary>Looks at the clock for the first time, after recovery.</summary>
    public void Start()
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public void Apply(QueueOptions options)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.Apply(options);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public void SetPaused(QueueFlow flow, bool paused)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfClosed();
            Moment moment = Enter(ref aftermath);
            if ((flow & QueueFlow.Sending) != 0)
                _core.Gate.IsPaused = paused;
            if ((flow & QueueFlow.Receiving) != 0)
                _core.IsReceivingPaused = paused;
            if (_core.IsReceivingPaused)
                _core.TakeBackSetAside();
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public async ValueTask<long> PurgeAsync(CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        List<WaitingMessage> purged;
        Task? committed = null;
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            purged = _core.TakeAllWaiting();
            if (IsDurable)
                committed = EnqueuePurge(purged);
            else
                _core.Purged(purged);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        if (committed is not null)
            await committed.ConfigureAwait(false);
        return purged.Count;
    }

    public QueueSnapshot Snapshot()
    {
        QueueSnapshot snapshot;
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.BookAcks(ref _acks);
            snapshot = _core.Snapshot(moment);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return snapshot;
    }

    /// <summary>Closes the queue to everybody: every wait ends, and every later call gets <paramref name="reason"/>. Leases stay until <see cref="LoseLeases"/>.</summary>
    public void Close(Exception reason, bool deleted)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (_closed is not null)
                return;
            Moment moment = Enter(ref aftermath);
            _closed = reason;
            _isDeleted = deleted;
            _core.TakeBackSetAside();
            // A receiver hears of the end by false; a single receive has to be told why.
            _core.EndWaits(reason, receive => receive.IsSignal ? null : reason, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    /// <summary>The store has stopped: whoever waits on a durable queue is told.</summary>
    public void StoreStopped(StoreException fault)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.TakeBackSetAside();
            _core.EndWaits(fault, _ => fault, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    public void LoseLeases()
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.LoseAllLeases(ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    // ---- The beats ---------------------------------------------------------------------------------------------------------

    // First beat, with the lock just taken: the one clock reading, and the acks that came since. Nothing may throw from here to Exit.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Moment Enter(ref Aftermath aftermath)
    {
        _core.AssertInvariants();
        var moment = new Moment(Clock.Now, Clock);
        if (!_acks.IsEmpty)
            _core.BookAcks(_acks.TakeAll());
        return moment;
    }

    // Second beat, still under the lock: commits go to the pipeline in the order of admission, and the timer is told of an earlier deadline.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Exit(in Moment moment, ref Aftermath aftermath)
    {
        _core.ComeToRest(moment, ref aftermath);
        if (!aftermath.Commits.IsEmpty)
            aftermath.Commits.EnqueueTo(_broker.Pipeline!);
        aftermath.Deadline = _core.NextDeadline(moment);
        _core.AssertInvariants();
    }

    // Third and fourth beat, with the lock released: wake whoever has something to do.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(ref Aftermath aftermath)
    {
        if (aftermath.Deadline < Volatile.Read(ref _armedAt))
            _broker.Timer.Arm(this, aftermath.Deadline);
        if (!aftermath.Wakes.IsEmpty)
            aftermath.Wakes.ScheduleOn(_broker.Scheduler);
        if (aftermath.DropsBegan)
            Log.DropsBegan(Name, _core.Options.Overflow);
        if (aftermath.Condemned is not null)
            _broker.DeadLetters.Move(this, aftermath.Condemned);
    }

    private SettleResult Settle(InFlightDelivery delivery, Settlement settlement, bool awaited, out PendingSettle? pending)
    {
        pending = null;
        if (settlement.Kind == SettlementKind.Ack && !IsDurable && !delivery.IsCounted)
            return AckTransient(delivery);
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (IsStoreStopped && delivery.State == LeaseState.Held)
                throw Again(_broker.Pipeline!.Fault!);
            if (!delivery.TryMove(LeaseState.Held, LeaseState.Settled))
                return delivery.Stale;
            Moment moment = Enter(ref aftermath);
            if (settlement.Kind == SettlementKind.Ack)
                _core.Ack(delivery, awaited, ref aftermath, out pending);
            else
                _core.End(delivery, EndOf(settlement), settlement, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return SettleResult.Settled;
    }

    public static DeliveryEnd EndOf(Settlement settlement) => settlement.Kind switch
    {
        SettlementKind.Nack => DeliveryEnd.Failed,
        SettlementKind.Release => DeliveryEnd.Released,
        _ => DeliveryEnd.Rejected,
    };

    private SettleResult AckTransient(InFlightDelivery delivery)
    {
        if (!delivery.TryMove(LeaseState.Held, LeaseState.Settled))
            return delivery.Stale;
        // The swap, and the push, are full fences: either this sees the sender that has joined the line, or that sender sees this ack (JoinLine).
        if (!delivery.IsInHand)
            _acks.Push(delivery);
        if (_core.Gate.HasWaitingVolatile)
            BookAcks();
        return SettleResult.Settled;
    }

    private void BookAcks()
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.BookAcks(ref _acks);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    private async ValueTask<SettleResult> AfterCommitAsync(SettleResult result)
    {
        await new AwaitedWork(FlushLevel, write: null).EnqueueTo(_broker.Pipeline!, _broker.Scheduler).ConfigureAwait(false);
        return result;
    }

    private PendingSend EncodedForStore(PendingSend send)
    {
        if (IsDurable)
            send.Encode(FlushLevel);
        return send;
    }

    private ValueTask<SendReceipt> SendPending(PendingSend send, bool mayWait, CancellationToken ct)
    {
        GateVerdict verdict;
        ValueTask<SendReceipt> result = send.AsValueTask;
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            if (!_core.Gate.HasRoomNow(send.MessageCount, send.Bytes))
                _core.BookAcks(ref _acks);
            verdict = _core.Judge(send.MessageCount, send.Bytes, mayWait, moment, ref aftermath, out List<QueuedMessage>? victims);
            if (verdict == GateVerdict.Admit)
                _core.Admit(send, victims, moment, ref aftermath);
            else if (verdict == GateVerdict.Wait)
                JoinLine(send, moment, ct);
            Exit(moment, ref aftermath);
        }
        if (verdict != GateVerdict.Admit)
        {
            result = Answer(verdict, verdict == GateVerdict.Wait ? send : null, mayWait);
            if (verdict != GateVerdict.Wait)
                send.Recycle();
        }
        Finish(ref aftermath);
        return result;
    }

    private void JoinLine(PendingSend send, in Moment moment, CancellationToken ct)
    {
        TimeSpan? timeout = _core.Options.BackpressureTimeout;
        send.BeginWait(timeout is { } span && span.Ticks < long.MaxValue - moment.Now ? moment.Now + span.Ticks : long.MaxValue, ct);
        _core.Gate.Join(send);
        // An ack may have come between the booking at the door and the joining, and have seen nobody in line: see AckTransient.
        Interlocked.MemoryBarrier();
        _core.BookAcks(ref _acks);
    }

    private ValueTask<SendReceipt> Answer(GateVerdict verdict, PendingSend? waiting, bool mayWait)
    {
        switch (verdict)
        {
            case GateVerdict.Wait:
                ValueTask<SendReceipt> result = waiting!.AsValueTask;
                waiting.Watch(_broker.Timer);
                return result;
            case GateVerdict.Drop:
                return new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Dropped));
            default:
                return mayWait ? ValueTask.FromException<SendReceipt>(FullException(waited: false)) : new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Refused));
        }
    }

    private void BeginReceive(PendingReceive receive, TimeSpan? maxWait, in Moment moment, CancellationToken ct)
    {
        receive.Begin(this, maxWait is { } span && span.Ticks < long.MaxValue - moment.Now ? moment.Now + span.Ticks : long.MaxValue, ct);
        _core.Wait(receive);
    }

    private void EndSend(PendingSend send, Func<PendingSend, QueueConductor, Exception> reason, long? now)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (!send.IsWaiting)
                return;
            Moment moment = Enter(ref aftermath);
            // Booking acks at the door may just have let it in.
            if (send.IsWaiting && (now is null || send.Deadline <= now))
            {
                _core.Gate.Leave(send);
                if (now is not null)
                    _core.Counts.Refused += send.MessageCount;
                send.Fail(reason(send, this));
                aftermath.Wakes.Add(send);
            }
            else if (send.IsWaiting)
            {
                _broker.Timer.Arm(send, send.Deadline);
            }
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    private void EndReceive(PendingReceive receive, Func<PendingReceive, Exception?> reason, long? now)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (!receive.IsWaiting)
                return;
            Moment moment = Enter(ref aftermath);
            if (receive.IsWaiting && (now is null || receive.Deadline <= now))
            {
                _core.StopWaiting(receive);
                receive.Complete(null, reason(receive));
                aftermath.Wakes.Add(receive);
            }
            else if (receive.IsWaiting && receive.Deadline != long.MaxValue)
            {
                _broker.Timer.Arm(receive, receive.Deadline);
            }
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    private Task EnqueuePurge(List<WaitingMessage> purged) => new AwaitedWork(
        FlushLevel,
        batch =>
        {
            foreach (WaitingMessage waiting in purged)
                QueueCore.WriteRemoval(batch, Id, waiting.Message);
        },
        committed: () => Step(new PurgeStep(purged, done: true)),
        notCommitted: reason =>
        {
            // After a failure nobody knows what is stored, and the queue delivers nothing any more.
            if (reason.Fault == StoreFault.Refused)
                Step(new PurgeStep(purged, done: false));
        }).EnqueueTo(_broker.Pipeline!, _broker.Scheduler);

    public void RefuseOversized(long bytes, int messages)
    {
        OverflowGate gate = _core.Gate;
        if (bytes > gate.MaxBytes || messages > gate.MaxMessages || (messages == 1 && bytes > _broker.MaxMessageBytes))
            ThrowOversized(bytes, messages);
    }

    private void ThrowOversized(long bytes, int messages)
    {
        QueueOptions options = _core.Options;
        if (messages == 1 && bytes > _broker.MaxMessageBytes)
        {
            throw new MessageTooLargeException(
                $"The message has {bytes:N0} bytes; at most {_broker.MaxMessageBytes:N0} are allowed. Raise MessageBrokerOptions.MaxMessageBytes (the store may set a limit of its own), or send a reference to the data.", bytes, _broker.MaxMessageBytes);
        }
        string what = messages == 1 ? "The message" : $"The batch of {messages:N0} messages";
        if (bytes > options.MaxBytes)
            throw new MessageTooLargeException($"{what} has {bytes:N0} bytes; queue '{Name}' holds at most {options.MaxBytes:N0} in all (QueueOptions.MaxBytes), so it could never fit. Send less at once, or raise the limit.", bytes, options.MaxBytes.Value);
        if (messages > options.MaxMessages)
            throw new MessageTooLargeException($"{what} can never fit: queue '{Name}' holds at most {options.MaxMessages:N0} messages (QueueOptions.MaxMessages). Send less at once, or raise the limit.", messages, options.MaxMessages.Value);
    }

    public QueueFullException FullException(bool waited)
    {
        QueueOptions options = _core.Options;
        string limits = $"{(options.MaxMessages is { } messages ? $"{messages:N0} messages" : "any number of messages")}, {(options.MaxBytes is { } bytes ? $"{bytes:N0} bytes" : "any number of bytes")}";
        return new QueueFullException(Name, waited
            ? $"Queue '{Name}' had no room within {options.BackpressureTimeout} (limits: {limits}). Nothing was sent. Send again later, add consumers, or choose another overflow policy."
            : $"Queue '{Name}' is full (limits: {limits}) and its policy is to reject. Nothing was sent. Send again later, add consumers, or choose another overflow policy.");
    }

    private void ThrowIfClosed()
    {
        if (_closed is not null)
            throw Again(_closed);
    }

    private void ThrowIfUnavailable()
    {
        ThrowIfClosed();
        if (IsStoreStopped)
            throw Again(_broker.Pipeline!.Fault!);
    }

    // An exception object of its own for each caller: its stack trace belongs to the one who gets it.
    private static Exception Again(Exception reason) => reason switch
    {
        QueueNotFoundException deleted => new QueueNotFoundException(deleted.QueueName!, deleted.Message),
        ObjectDisposedException => new ObjectDisposedException(nameof(MessageBroker), "The broker is closed."),
        StoreException fault => new StoreException(fault.Fault, fault.Message, fault.Path, fault),
        _ => reason,
    };
}
