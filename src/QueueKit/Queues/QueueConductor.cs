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
internal sealed class QueueConductor : IDeadlineTarget
{
    private readonly Lock _lock = new();
    private readonly QueueCore _core;
    private readonly BrokerContext _broker;
    // Stands for all single receives.
    private readonly Consumer _pull;
    private readonly AckStack _acks = new();
    // Of a transient queue.
    private readonly ArrivalRing? _arrivals;
    // The gate's limits, apart from what it counts: every send looks at them, and should not wait for the processor that counts.
    private long _maxMessages;
    private long _maxBytes;
    private readonly AckBooking _booking;
    private long _armedAt = long.MaxValue;

    public QueueConductor(BrokerContext broker, string name, uint id, QueueOptions options)
    {
        _broker = broker;
        Name = name;
        Id = id;
        IsDurable = options.Durability is Durability.Written or Durability.Flushed;
        FlushLevel = options.Durability == Durability.Flushed ? FlushLevel.Flushed : FlushLevel.Written;
        Durability = options.Durability;
        Observed = broker.Telemetry is { } telemetry ? new ObservedQueue(this, telemetry) : null;
        _pull = new Consumer(this);
        _booking = new AckBooking(this);
        _arrivals = IsDurable ? null : new ArrivalRing();
        _core = new QueueCore(this, options, _arrivals);
        Upkeep = new QueueUpkeep(this);
        Waits = new QueueWaits(this);
        Consumers = new QueueConsumers(this);
        Commits = new QueueCommits(this);
    }

    public string Name { get; }

    /// <summary>The queue's id in the store; 0 for a transient one.</summary>
    public uint Id { get; }

    public bool IsDurable { get; }

    public Durability Durability { get; }

    public FlushLevel FlushLevel { get; }

    /// <summary>What every call gets, once the queue is closed. Guarded by the lock.</summary>
    public Exception? Closure { get; set; }

    /// <summary>Why the queue is no more, if it was deleted. Guarded by the lock.</summary>
    public Exception? Deletion { get; set; }

    public BrokerContext Broker => _broker;

    /// <summary>What the store's answers mean to the queue.</summary>
    public QueueCommits Commits { get; }

    /// <summary>Waits that end without what they waited for.</summary>
    public QueueWaits Waits { get; }

    /// <summary>What consumers ask besides messages.</summary>
    public QueueConsumers Consumers { get; }

    /// <summary>What is done to the queue as a whole.</summary>
    public QueueUpkeep Upkeep { get; }

    /// <summary>The queue for listeners; null where telemetry is left out.</summary>
    public ObservedQueue? Observed { get; }

    public long MaxBytes => _maxBytes;

    /// <summary>Whether there is something to receive, at a glance and without the lock: not to be relied upon.</summary>
    public bool SeemsToHaveMessages => Closure is null && (_arrivals is { HasArrivals: true } || (_core.Dispatcher.Ready.Count != 0 && !_core.Dispatcher.IsPaused));

    public BrokerClock Clock => _broker.Clock;

    public BrokerLog Log => _broker.Log;

    public bool IsStoreStopped => IsDurable && _broker.Pipeline!.Fault is not null;

    /// <summary>Why the queue takes and gives nothing; null while it does. Under the lock.</summary>
    public Exception? Unavailability => Closure ?? (IsStoreStopped ? _broker.Tell(_broker.Pipeline!.Fault!) : null);

    public QueueOptions Options => _core.Options;

    long IDeadlineTarget.ArmedAt { get => Volatile.Read(ref _armedAt); set => Volatile.Write(ref _armedAt, value); }

    public ValueTask<SendReceipt> SendAsync(Message message, bool mayWait, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<SendReceipt>(ct);
        RefuseOversized(message.Size, 1);
        if (IsDurable)
            return SendDurable(PendingSend.Rent(this, message), mayWait, ct);

        // The plain cases: there is room, and nobody waits, so nothing follows.
        long sequence = IsSmallAndPlain(message) ? _arrivals!.TryAdd(message, Clock.Now) : 0;
        if (sequence == 0)
        {
            lock (_lock)
            {
                ThrowIfClosed();
                sequence = _core.Intake.TryAppend(message, Clock.Now);
            }
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
            _core.Intake.Stop();
            if (!_core.Gate.HasRoomNow(1, message.Size))
                _core.Dispatcher.BookAcks(_acks);
            verdict = _core.Judge(1, message.Size, mayWait, moment, ref aftermath, out _);
            if (verdict == GateVerdict.Admit)
                sequence = _core.AdmitTransient(message, moment, ref aftermath);
            else if (verdict == GateVerdict.Wait)
                JoinLine(waiting = PendingSend.Rent(this, message), moment, ct);
            Exit(moment, ref aftermath);
        }
        ValueTask<SendReceipt> result = verdict == GateVerdict.Admit
            ? new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, sequence, Durability.Transient))
            : Waits.Answer(verdict, waiting, mayWait);
        Finish(ref aftermath);
        return result;
    }

    public ValueTask<SendReceipt> SendBatchAsync(ReadOnlySpan<Message> messages, CancellationToken ct)
    {
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<SendReceipt>(ct);
        long bytes = 0;
        bool arePlain = true;
        foreach (Message message in messages)
        {
            RefuseOversized(message.Size, 1);
            bytes += message.Size;
            arePlain &= IsSmallAndPlain(message);
        }
        RefuseOversized(bytes, messages.Length);
        if (!IsDurable)
        {
            long first = arePlain ? _arrivals!.TryAddAll(messages, Clock.Now) : 0;
            if (first == 0 && _core.Gate.SeemsToHaveRoom(messages.Length))
            {
                lock (_lock)
                {
                    ThrowIfClosed();
                    first = _core.Intake.TryAppendAll(messages, bytes, Clock.Now);
                }
            }
            if (first != 0)
                return new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, first, Durability.Transient));
        }
        return SendDurable(PendingSend.Rent(this, messages, bytes), mayWait: true, ct);
    }

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
            delivery = _core.Dispatcher.TryTake(_pull, LeaseState.Held, moment);
            // One look at a queue whose next message has yet to be read waits for that page.
            bool isLook = maxWait == TimeSpan.Zero;
            if (delivery is null && (!isLook || _core.HasUnread(moment)))
            {
                receive = PendingReceive.Rent();
                receive.IsLook = isLook;
                receive.Consumer.Identity = _pull;
                BeginReceive(receive, isLook ? null : maxWait, moment, ct, ref aftermath);
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
            // The first is the caller's already: what its lease is worth now, its settle says.
            if (first is not null && Unavailability is not null)
                return [first];
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            taken = new InFlightDelivery[_core.Dispatcher.CountUpTo(max - (first is null ? 0 : 1)) + (first is null ? 0 : 1)];
            if (first is not null)
                taken[count++] = first;
            count += _core.Dispatcher.TakeMany(taken.AsSpan(count), _pull, moment);
            _core.Intake.OfferTickets();
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
            if (Closure is not null)
                return null;
            ThrowIfUnavailable();
            Moment moment = Enter(ref aftermath);
            delivery = hand is null ? _core.Dispatcher.TryTake(consumer, LeaseState.Held, moment) : _core.Dispatcher.Fill(hand, consumer, moment);
            _core.Intake.OfferTickets();
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
            if (Closure is not null || receive.Consumer.IsClosed)
                return new ValueTask<bool>(false);
            ThrowIfUnavailable();
            _core.Intake.Collect();
            if (_core.Dispatcher.CanDeliver && receive.Consumer.HasFreePlace && !(receive.Consumer.AtMostOnce && IsDurable))
                return new ValueTask<bool>(true);
            Moment moment = Enter(ref aftermath);
            BeginReceive(receive, null, moment, ct, ref aftermath);
            Exit(moment, ref aftermath);
        }
        ValueTask<bool> result = receive.AsSignal;
        receive.Watch(_broker.Timer);
        Finish(ref aftermath);
        return result;
    }

    /// <summary>Waits for a delivery for a place of a handler; null once its consumer is stopped.</summary>
    public ValueTask<Delivery?> WaitForDeliveryAsync(PendingReceive receive)
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            ThrowIfUnavailable();
            if (receive.Consumer.IsClosed)
                return default;
            Moment moment = Enter(ref aftermath);
            BeginReceive(receive, null, moment, CancellationToken.None, ref aftermath);
            Exit(moment, ref aftermath);
        }
        ValueTask<Delivery?> result = receive.AsDelivery;
        Finish(ref aftermath);
        return result;
    }

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

    /// <summary>Acks frozen deliveries of this transient queue, all or none; false if one of them has been taken away.</summary>
    public bool TryAckAll(ReadOnlySpan<InFlightDelivery> frozen)
    {
        for (int i = 0; i < frozen.Length; i++)
        {
            if (frozen[i].IsCounted)
                return Consumers.TryAckCounted(frozen);
        }
        // Nothing takes away what is claimed.
        for (int i = 0; i < frozen.Length; i++)
        {
            if (frozen[i].TryMove(LeaseState.Frozen, LeaseState.Committing))
                continue;
            foreach (InFlightDelivery claimed in frozen[..i])
                claimed.TryMove(LeaseState.Committing, LeaseState.Frozen);
            return false;
        }
        foreach (InFlightDelivery claimed in frozen)
            claimed.SettleClaimed();
        _acks.PushAll(frozen);
        if (_core.Gate.WaitsForRoomOf(frozen.Length))
            _booking.Request();
        return true;
    }

    /// <summary>Waits in line for the places of a transaction's messages, which are then kept for it.</summary>
    public ValueTask<SendReceipt> ReserveAsync(ReserveStep reserve, CancellationToken ct) =>
        SendPending(PendingSend.RentReservation(this, reserve), mayWait: true, ct);

    /// <summary>Throws what a send would throw on a closed queue or a stopped store.</summary>
    public void EnsureUsable()
    {
        lock (_lock)
            ThrowIfUnavailable();
    }

    void IDeadlineTarget.OnDeadline(long now)
    {
        long utcTicks = Clock.ReadWallClock().UtcTicks;
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (Closure is not null)
                return;
            Moment moment = Enter(ref aftermath);
            _core.Expire(moment, ref aftermath);
            _core.MakeDue(utcTicks, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
    }

    /// <summary>Runs a rare step under the lock: the four beats around <paramref name="step"/>, with every ack booked before it.</summary>
    public void Step<T>(T argument, QueueStep<T> step) where T : allows ref struct
    {
        WakeList wakes = default;
        Step(argument, ref wakes, step);
        wakes.ScheduleOn(_broker.Scheduler);
    }

    /// <summary>The same, but whoever is to be woken is left to the caller.</summary>
    public void Step<T>(T argument, ref WakeList wakes, QueueStep<T> step) where T : allows ref struct
    {
        Aftermath aftermath = default;
        lock (_lock)
        {
            Moment moment = Enter(ref aftermath);
            _core.Intake.Stop();
            _core.Dispatcher.BookAcks(_acks);
            _core.Gate.NotePeak();
            step(_core, argument, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        wakes.AddAll(ref aftermath.Wakes);
        Finish(ref aftermath);
    }

    public void Step(ITransferStep step) => Step(step, static (core, step, in moment, ref aftermath) => step.Take(core, moment, ref aftermath));

    // ---- The beats ---------------------------------------------------------------------------------------------------------

    // First beat, with the lock just taken: the one clock reading, and the acks that came since. Nothing may throw from here to Exit.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private Moment Enter(ref Aftermath aftermath)
    {
        _core.Audit.AssertInvariants();
        var moment = new Moment(Clock.Now, Clock);
        _core.Intake.Collect();
        if (_core.Gate.WaitingCount != 0)
            BookAllAcks();
        else if (!_acks.IsEmpty)
            _core.Dispatcher.BookAcks(_acks.TakeAll());
        return moment;
    }

    // Second beat, still under the lock: commits go to the pipeline in the order of admission, and the timer is told of an earlier deadline.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Exit(in Moment moment, ref Aftermath aftermath)
    {
        _core.ComeToRest(moment, ref aftermath);
        // Acks that came meanwhile, and did not know how little was missing.
        while (_core.Gate.WaitingCount != 0 && !_core.Gate.NoteMissing())
        {
            BookAllAcks();
            _core.ComeToRest(moment, ref aftermath);
        }
        if (!aftermath.Commits.IsEmpty)
            aftermath.Commits.EnqueueTo(_broker.Pipeline!);
        aftermath.Deadline = _core.NextDeadline(moment);
        _core.Audit.AssertInvariants();
    }

    // Third and fourth beat, with the lock released: wake whoever has something to do.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Finish(ref Aftermath aftermath)
    {
        if (aftermath.Deadline < Volatile.Read(ref _armedAt))
            _broker.Timer.Arm(this, aftermath.Deadline);
        if (aftermath.Rearm.Target is { } target)
            _broker.Timer.Arm(target, aftermath.Rearm.Deadline);
        if (!aftermath.Wakes.IsEmpty)
            aftermath.Wakes.ScheduleOn(_broker.Scheduler);
        if (aftermath.DropsBegan)
            Log.DropsBegan(Name, _core.Options.Overflow);
        if (aftermath.Evictions is not null)
            _broker.DeadLetters.Replace(this, aftermath.Evictions);
        if (aftermath.Condemned is not null)
            _broker.DeadLetters.Move(this, aftermath.Condemned);
    }

    private SettleResult Settle(InFlightDelivery delivery, Settlement settlement, bool awaited, out PendingSettle? pending)
    {
        pending = null;
        if (settlement.Kind == SettlementKind.Ack && !IsDurable && !delivery.IsCounted)
            return AckTransient(delivery);
        SettleResult result = SettleResult.Settled;
        Aftermath aftermath = default;
        lock (_lock)
        {
            if (IsStoreStopped && delivery.State == LeaseState.Held)
                throw QueueErrors.Again(_broker.Tell(_broker.Pipeline!.Fault!));
            // First, because what is settled and still in the table is taken for an ack that waits to be booked.
            Moment moment = Enter(ref aftermath);
            if (!delivery.TryMove(LeaseState.Held, LeaseState.Settled))
                result = delivery.Stale;
            else if (settlement.Kind == SettlementKind.Ack)
                _core.Ack(delivery, awaited, ref aftermath, out pending);
            else
                _core.End(delivery, RedeliveryPolicy.EndOf(settlement), settlement, moment, ref aftermath);
            Exit(moment, ref aftermath);
        }
        Finish(ref aftermath);
        return result;
    }

    private SettleResult AckTransient(InFlightDelivery delivery)
    {
        if (!delivery.TryMove(LeaseState.Held, LeaseState.Settled))
            return delivery.Stale;
        // The swap, and the push, are full fences: either this sees the sender that has joined the line, or that sender sees this ack (JoinLine).
        if (!delivery.IsInHand)
            _acks.Push(delivery);
        if (_core.Gate.WaitsForRoomOf(1))
            _booking.Request();
        return SettleResult.Settled;
    }

    private void BookAllAcks()
    {
        _core.Gate.BeginBooking();
        _core.Dispatcher.BookAcks(_acks);
    }

    private async ValueTask<SettleResult> AfterCommitAsync(SettleResult result)
    {
        await new AwaitedWork(FlushLevel, write: null).EnqueueTo(_broker).CountedOn(_broker.Scheduler);
        return result;
    }

    // With ample room a send is admitted without the lock: two cores that take turns at it spend more on that than on everything else in a send.
    private ValueTask<SendReceipt> SendDurable(PendingSend send, bool mayWait, CancellationToken ct)
    {
        if (!IsDurable || !_core.Gate.Prepaid.TryTake(send.MessageCount, send.Bytes))
            return SendPending(send, mayWait, ct);
        ValueTask<SendReceipt> result = send.AsValueTask;
        send.AdmitPrepaid(new Moment(Clock.Now, Clock));
        _broker.Pipeline!.Enqueue(send);
        return result;
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
            _core.Intake.Stop();
            if (!_core.Gate.HasRoomNow(send.MessageCount, send.Bytes))
                _core.Dispatcher.BookAcks(_acks);
            verdict = _core.Judge(send.MessageCount, send.Bytes, mayWait, moment, ref aftermath, out Victims? victims, send.IsReservation);
            if (verdict == GateVerdict.Admit)
                _core.Admit(send, victims, moment, ref aftermath);
            else if (verdict == GateVerdict.Wait)
                JoinLine(send, moment, ct);
            Exit(moment, ref aftermath);
        }
        if (verdict != GateVerdict.Admit)
        {
            result = Waits.Answer(verdict, verdict == GateVerdict.Wait ? send : null, mayWait);
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
        _core.Dispatcher.BookAcks(_acks);
    }

    private void BeginReceive(PendingReceive receive, TimeSpan? maxWait, in Moment moment, CancellationToken ct, ref Aftermath aftermath)
    {
        receive.Begin(this, maxWait is { } span && span.Ticks < long.MaxValue - moment.Now ? moment.Now + span.Ticks : long.MaxValue, ct);
        if (_core.Pages?.Fault is { } fault)
            receive.Complete(null, QueueErrors.Again(fault), ref aftermath);
        else
            _core.Dispatcher.Wait(receive);
    }

    private static bool IsSmallAndPlain(Message message) => !message.HasProperties && message.Body.Length <= ArrivalRing.BytesPerTicket;

    /// <summary>Notes the gate's limits. Under the lock.</summary>
    public void NoteLimits(long maxMessages, long maxBytes) => (_maxMessages, _maxBytes) = (maxMessages, maxBytes);

    public void RefuseOversized(long bytes, int messages)
    {
        if (bytes > _maxBytes || messages > _maxMessages || (messages == 1 && bytes > _broker.MaxMessageBytes))
            throw QueueErrors.Oversized(Name, _core.Options, _broker.MaxMessageBytes, bytes, messages);
    }

    private void ThrowIfClosed()
    {
        if (Closure is not null)
            throw QueueErrors.Again(Closure);
    }

    /// <summary>Throws what every call on a closed queue gets.</summary>
    public void EnsureOpen()
    {
        lock (_lock)
            ThrowIfClosed();
    }

    private void ThrowIfUnavailable()
    {
        if (Unavailability is { } reason)
            throw QueueErrors.Again(reason);
    }
}
