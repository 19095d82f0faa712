using System.Diagnostics;
using System.Runtime.CompilerServices;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>A queue as data: its parts, and the moves of messages between them. No lock, no I/O, no clock: <see cref="QueueConductor"/> holds the lock, and what is to follow is left in an <see cref="Aftermath"/>.</summary>
/// <remarks>
/// Invariants, checked by <see cref="AssertInvariants"/>:
/// (1) the gate's messages and bytes are the sums over storing, ready, delayed, in flight and leaving: every admitted message is in exactly one state;
/// (2) if a message is ready and receiving is not paused, no consumer with a free place waits;
/// (3) a sender waits only if there is no room for the first in line, or sending is paused;
/// (4) nothing is ready, delayed or in flight in a state of less than zero.
/// </remarks>
internal sealed class QueueCore
{
    // How long a message whose move to the dead-letter queue the store refused waits for the next try.
    private static readonly TimeSpan s_moveRetryPause = TimeSpan.FromSeconds(1);

    // Drops with shorter pauses between them are one burst, logged once.
    private static readonly TimeSpan s_dropPause = TimeSpan.FromSeconds(10);

    private readonly QueueConductor _conductor;
    private readonly LaneScheduler _ready = new();
    private readonly DelayedMessages _delayed = new();
    private readonly InFlightTable _inFlight = new();
    private readonly ConsumerRing _consumers = new();
    private readonly bool _isDeadLetterQueue;
    private List<Hand>? _hands;
    private bool _mayHaveSetAside;
    private Tally _storing;
    private Tally _leaving;
    // Victims that are moved to the dead-letter queue: their places are the newcomers' already, so the gate does not count them.
    private Tally _evicting;
    private long _lastSequence;
    private long _leaseTicks;
    private long _maxLeaseTicks;
    private long _lastDropAt = long.MinValue / 2;

    public QueueCore(QueueConductor conductor, QueueOptions options)
    {
        _conductor = conductor;
        _isDeadLetterQueue = QueueOptions.IsDeadLetterName(conductor.Name);
        Options = options;
        Apply(options);
    }

    // A field, not a property: counted in place.
    public QueueCounters Counts;

    public QueueOptions Options { get; private set; }

    public OverflowGate Gate { get; } = new();

    public bool IsReceivingPaused { get; set; }

    public bool HasReady => !_ready.IsEmpty;

    /// <summary>Whether a receive could have a message at once.</summary>
    public bool CanDeliver => !_ready.IsEmpty && !IsReceivingPaused;

    public static StoreKey KeyOf(uint queue, byte priority, long dueTicks, long sequence) =>
        new(dueTicks == 0 ? StoreKind.Message : StoreKind.Parked, queue, (byte)(Message.MaxPriority - priority), 0, dueTicks, sequence);

    public static void WriteRemoval(StoreBatch batch, uint queue, in QueuedMessage message)
    {
        batch.Delete(KeyOf(queue, message.Band, message.History?.ScheduledTicks ?? 0, message.Sequence));
        if (message.History is { IsStored: true })
            batch.Delete(AttemptsRecord.KeyOf(queue, message.Sequence));
    }

    /// <summary>The due time of a scheduled message that is admitted now.</summary>
    public static long DueTicksOf(Message message, in Moment moment) =>
        message.DueTime is { } due ? Math.Max(1, due.UtcTicks) : moment.UtcTicksAfter(message.Delay!.Value);

    /// <summary>Makes options effective.</summary>
    public void Apply(QueueOptions options)
    {
        Options = options;
        Gate.Policy = options.Overflow;
        Gate.MaxMessages = options.MaxMessages ?? long.MaxValue;
        Gate.MaxBytes = options.MaxBytes ?? long.MaxValue;
        _leaseTicks = options.LeaseDuration.Ticks;
        // Half of all time is longer than anybody waits, and can be added to now.
        _maxLeaseTicks = Math.Min(options.MaxLeaseDuration.Ticks, long.MaxValue / 2);
    }

    // ---- In: gate, storing, ready ------------------------------------------------------------------------------------------

    /// <summary>Judges a send and, to make room for it, takes the victims out of the queue.</summary>
    /// <param name="messages">How many.</param>
    /// <param name="bytes">How large in all.</param>
    /// <param name="mayWait">Whether the sender would.</param>
    /// <param name="moment">Now.</param>
    /// <param name="aftermath">What follows.</param>
    /// <param name="victims">Those that have to be taken out of the store too or, if this <paramref name="mayBeUndone"/>, all.</param>
    /// <param name="mayBeUndone">Whether the victims may have to be put back on a transient queue too.</param>
    public GateVerdict Judge(long messages, long bytes, bool mayWait, in Moment moment, ref Aftermath aftermath, out List<QueuedMessage>? victims, bool mayBeUndone = false)
    {
        victims = null;
        // What is set aside is ready: it can be the oldest, and make room.
        if (_mayHaveSetAside && Gate.Policy == OverflowPolicy.DropOldest && !Gate.HasRoom(messages, bytes))
            TakeBackSetAside();
        GateVerdict verdict = Gate.Judge(messages, bytes, mayWait, _ready.Count, _ready.Bytes);
        if (verdict is GateVerdict.Evict or GateVerdict.Drop)
            NoteDrop(moment, ref aftermath);
        if (verdict == GateVerdict.Evict)
        {
            victims = Evict(messages, bytes, mayBeUndone, moment, ref aftermath);
            return GateVerdict.Admit;
        }
        if (verdict == GateVerdict.Drop)
            Counts.DroppedNewest += messages;
        else if (verdict == GateVerdict.Refuse)
            Counts.Refused += messages;
        else if (verdict == GateVerdict.Wait)
            Counts.Waited++;
        return verdict;
    }

    /// <summary>The plain case of a send to a transient queue: room at once, no consumer to serve, nothing to delay or to put before others. 0 if it is not that.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long TryAppend(Message message, long now)
    {
        AssertInvariants();
        if (message.HasProperties || !_consumers.IsEmpty || !Gate.HasRoomNow(1, message.Body.Length))
            return 0;
        Gate.Take(1, message.Body.Length);
        Counts.Accepted++;
        _ready.Append(new QueuedMessage(message, ++_lastSequence, now));
        return _lastSequence;
    }

    /// <summary>The same for a batch; 0 if one of its messages is not plain.</summary>
    public long TryAppendAll(ReadOnlySpan<Message> messages, long bytes, long now)
    {
        AssertInvariants();
        if (!_consumers.IsEmpty || !Gate.HasRoomNow(messages.Length, bytes))
            return 0;
        foreach (Message message in messages)
        {
            if (message.HasProperties)
                return 0;
        }
        long first = _lastSequence + 1;
        Gate.Take(messages.Length, bytes);
        Counts.Accepted += messages.Length;
        foreach (Message message in messages)
            _ready.Append(new QueuedMessage(message, ++_lastSequence, now));
        return first;
    }

    /// <summary>Admits one message on a transient queue: the short way, without a <see cref="PendingSend"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long AdmitTransient(Message message, in Moment moment, ref Aftermath aftermath)
    {
        Gate.Take(1, message.Size);
        Counts.Accepted++;
        long sequence = ++_lastSequence;
        if (message.IsScheduled)
            PlaceScheduled(new QueuedMessage(message, sequence, moment.Now, new MessageHistory { ScheduledTicks = DueTicksOf(message, moment) }), moment, ref aftermath);
        else
            PlaceNew(new QueuedMessage(message, sequence, moment.Now), moment, ref aftermath);
        return sequence;
    }

    /// <summary>Admits a send that has its places: on a durable queue it goes to the store, on a transient one straight on.</summary>
    public void Admit(PendingSend send, List<QueuedMessage>? victims, in Moment moment, ref Aftermath aftermath)
    {
        Gate.Take(send.MessageCount, send.Bytes);
        Counts.Accepted += send.MessageCount;
        send.Admit(moment, victims);
        if (send.IsReservation)
        {
            _storing.Add(send.Bytes, send.MessageCount);
            send.Accept(Durability.Default);
            aftermath.Wakes.Add(send);
            return;
        }
        if (_conductor.IsDurable)
        {
            _storing.Add(send.Bytes, send.MessageCount);
            aftermath.Commits.Add(send);
            return;
        }
        send.Number(_lastSequence + 1);
        _lastSequence += send.MessageCount;
        PlaceAll(send, moment, ref aftermath);
        send.Accept(Durability.Transient);
        aftermath.Wakes.Add(send);
    }

    /// <summary>The last move of every lock hold: lets in whoever can now be let in, in order, and serves whoever can now be served.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ComeToRest(in Moment moment, ref Aftermath aftermath)
    {
        // An at-most-once hand-over frees the place at once, which lets the next sender in, and so on.
        while (Gate.WaitingCount != 0 || !_consumers.IsEmpty)
        {
            AdmitWaiting(moment, ref aftermath);
            Serve(moment, ref aftermath);
            if (Gate.NextAdmissible() is null)
                return;
        }
    }

    private void AdmitWaiting(in Moment moment, ref Aftermath aftermath)
    {
        while (Gate.NextAdmissible() is { } send)
        {
            Gate.Leave(send);
            Admit(send, null, moment, ref aftermath);
        }
    }

    /// <summary>The store has the messages of a send: they become ready, or delayed, and its victims are gone.</summary>
    public void Stored(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        _storing.Remove(send.Bytes, send.MessageCount);
        PlaceAll(send, moment, ref aftermath);
    }

    /// <summary>The store does not have them: the places are free again, and the victims are back in theirs.</summary>
    public void NotStored(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        _storing.Remove(send.Bytes, send.MessageCount);
        Gate.GiveBack(send.MessageCount, send.Bytes);
        Counts.Accepted -= send.MessageCount;
        if (send.Victims is { } victims)
        {
            foreach (QueuedMessage victim in victims)
                NotEvicted(victim, moment, ref aftermath);
        }
    }

    /// <summary>Takes places for a step that holds a lease already and may not wait; on a durable queue the messages are now storing.</summary>
    public void TakeEntitled(long messages, long bytes)
    {
        Gate.Take(messages, bytes);
        Counts.Accepted += messages;
        _storing.Add(bytes, messages);
    }

    /// <summary>The messages of such a step are there: ready, or delayed.</summary>
    public void PlaceEntitled(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        _storing.Remove(message.Size);
        Place(message, moment, ref aftermath);
    }

    /// <summary>They are not: the places are free again.</summary>
    public void GiveBackEntitled(long messages, long bytes)
    {
        _storing.Remove(bytes, messages);
        Gate.GiveBack(messages, bytes);
        Counts.Accepted -= messages;
    }

    public long NextSequence() => ++_lastSequence;

    /// <summary>Puts a message found in the store at opening in its place.</summary>
    public void Recover(in QueuedMessage message, long dueTicks)
    {
        Gate.Take(1, message.Size);
        Counts.Recovered++;
        if (dueTicks != 0)
            _delayed.Add(message, dueTicks);
        else
            _ready.Insert(message);
    }

    // ---- Out: dispatch -----------------------------------------------------------------------------------------------------

    /// <summary>Takes the next message for a consumer that asks for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public InFlightDelivery? TryTake(Consumer consumer, LeaseState state, in Moment moment)
    {
        if (IsReceivingPaused || !consumer.HasFreePlace || !TryTakeNext(out QueuedMessage message))
            return null;
        return HandOut(message, consumer, state, moment);
    }

    public void Wait(PendingReceive receive) => _consumers.Wait(receive);

    public void StopWaiting(PendingReceive receive) => _consumers.Leave(receive);

    public void CloseConsumer(Consumer consumer, Hand? hand, ref Aftermath aftermath)
    {
        consumer.IsClosed = true;
        if (hand is { IsRegistered: true })
        {
            TakeBackSetAside();
            LetGo(hand);
            _hands!.Remove(hand);
        }
        while (consumer.IsWaiting)
        {
            PendingReceive receive = consumer.FirstWaiting;
            _consumers.Leave(receive);
            receive.Complete(null);
            aftermath.Wakes.Add(receive);
        }
    }

    /// <summary>Pairs what is ready with who waits, in turn.</summary>
    private void Serve(in Moment moment, ref Aftermath aftermath)
    {
        while (!_consumers.IsEmpty && !IsReceivingPaused && TryTakeNext(out QueuedMessage message))
            ServeNext(message, moment, ref aftermath);
    }

    /// <summary>A consumer's credit has changed.</summary>
    public void CreditChanged(Consumer consumer) => _consumers.Refresh(consumer);

    /// <summary>Fills a receiver's empty hand: one message is handed over, a few more are set aside.</summary>
    public InFlightDelivery? Fill(Hand hand, Consumer consumer, in Moment moment)
    {
        if (!hand.IsRegistered)
        {
            hand.IsRegistered = true;
            (_hands ??= []).Add(hand);
        }
        LetGo(hand);
        int count = Hand.CountFor(_ready.Count);
        long deadline = moment.Now + LeaseOf(consumer);
        InFlightDelivery? first = TryTake(consumer, LeaseState.Held, moment);
        if (first is null)
            return null;
        hand.Add(first);
        hand.Next();
        for (int i = 1; i < count && _ready.TryTake(out QueuedMessage message); i++)
        {
            _mayHaveSetAside = true;
            hand.Add(HandOutUntil(deadline, message, consumer, LeaseState.Offered, moment.Now));
        }
        return first;
    }

    /// <summary>Brings the books up to date with every ack that was decided without the lock.</summary>
    public void BookAcks(ref AckStack stack)
    {
        BookAcks(stack.TakeAll());
        if (_hands is null)
            return;
        foreach (Hand hand in _hands)
            BookAcksOf(hand);
    }

    // Acks of what is still out go to the stack from now on. An ack swaps the state and then looks whether it is in a hand; here it is the
    // other way round, with a fence between: so one of the two sees the other, and if both do, the table lets only one of them book.
    private void LetGo(Hand hand)
    {
        if (hand.Deliveries.IsEmpty)
            return;
        foreach (InFlightDelivery? delivery in hand.Deliveries)
            delivery!.IsInHand = false;
        Interlocked.MemoryBarrier();
        BookAcksOf(hand);
        hand.Clear();
    }

    private void BookAcksOf(Hand hand)
    {
        foreach (InFlightDelivery? delivery in hand.Deliveries)
        {
            if (delivery!.State == LeaseState.Settled && _inFlight.Remove(delivery))
                Acked(delivery.Size);
        }
    }

    /// <summary>Takes everything back that is set aside: something goes before it, or the flow stops.</summary>
    public void TakeBackSetAside()
    {
        while (_mayHaveSetAside && TryTakeBack(out QueuedMessage message))
            _ready.Insert(message);
    }

    /// <summary>Takes a delivery back that nobody has seen: as if it had never been offered.</summary>
    public bool TryTakeBack(InFlightDelivery offered)
    {
        if (!offered.TryMove(LeaseState.Offered, LeaseState.Lost))
            return false;
        TakeFromConsumer(offered);
        Counts.Delivered--;
        if (offered.IsRedelivered)
            Counts.Redelivered--;
        return true;
    }

    // The oldest message that is set aside for anybody.
    private bool TryTakeBack(out QueuedMessage message)
    {
        while (true)
        {
            InFlightDelivery? oldest = null;
            foreach (Hand hand in _hands!)
            {
                if (hand.FirstOffered() is { } first && (oldest is null || first.Sequence < oldest.Sequence))
                    oldest = first;
            }
            if (oldest is null)
            {
                _mayHaveSetAside = false;
                message = default;
                return false;
            }
            if (TryTakeBack(oldest))
            {
                message = oldest.Queued;
                return true;
            }
        }
    }

    private bool TryTakeNext(out QueuedMessage message) => _ready.TryTake(out message) || (_mayHaveSetAside && TryTakeBack(out message));

    // ---- Settle ------------------------------------------------------------------------------------------------------------

    /// <summary>Books acks that were decided without the lock.</summary>
    public void BookAcks(InFlightDelivery? acked)
    {
        while (acked is not null)
        {
            InFlightDelivery? next = acked.NextAcked;
            acked.NextAcked = null;
            // One that timed out in the books in the meantime has been booked there.
            if (_inFlight.Remove(acked))
                Acked(acked.Size);
            acked = next;
        }
    }

    /// <summary>Books an ack of a transient queue on the spot.</summary>
    public void AckTransient(InFlightDelivery delivery)
    {
        TakeFromConsumer(delivery);
        Acked(delivery.Size);
    }

    /// <summary>Books an ack on the spot.</summary>
    public void Ack(InFlightDelivery delivery, bool awaited, ref Aftermath aftermath, out PendingSettle? pending)
    {
        TakeFromConsumer(delivery);
        pending = Depart(delivery.Queued, Departure.Acked, awaited, ref aftermath);
    }

    /// <summary>Takes a delivery that a transaction settles out of the table; the message is leaving until the commit.</summary>
    public void BeginLeave(InFlightDelivery delivery)
    {
        TakeFromConsumer(delivery);
        _leaving.Add(delivery.Size);
    }

    /// <summary>The transaction was refused: the delivery is its consumer's again, and nothing has been counted.</summary>
    public void UndoLeave(InFlightDelivery delivery, DeliveryEnd? end, in Moment moment)
    {
        _leaving.Remove(delivery.Size);
        Counts.Nacked -= end == DeliveryEnd.Failed ? 1 : 0;
        Counts.Released -= end == DeliveryEnd.Released ? 1 : 0;
        delivery.Unsettle();
        if (delivery.IsCounted)
        {
            delivery.Consumer.Unsettled++;
            _consumers.Refresh(delivery.Consumer);
        }
        long deadline = delivery.Deadline > moment.Now ? delivery.Deadline : Math.Min(moment.Now + LeaseOf(delivery.Consumer), delivery.StartedAt + _maxLeaseTicks);
        _inFlight.Add(delivery, deadline, plain: false);
    }

    /// <summary>A message that was leaving is gone.</summary>
    public void Left(long size)
    {
        _leaving.Remove(size);
        Gate.GiveBack(1, size);
    }

    /// <summary>A message that was leaving stays: back to its place.</summary>
    public void Stay(in QueuedMessage message, in Moment moment, ref Aftermath aftermath, TimeSpan delay = default)
    {
        _leaving.Remove(message.Size);
        if (delay == default)
            PlaceReturned(Marked(message), moment, ref aftermath);
        else
            _delayed.Add(Marked(message), moment.UtcTicksAfter(delay));
    }

    /// <summary>A victim of <see cref="OverflowPolicy.DropOldest"/> stays after all, because the store did not take the newcomer.</summary>
    public void NotEvicted(in QueuedMessage victim, in Moment moment, ref Aftermath aftermath)
    {
        Counts.Dropped--;
        Gate.Take(1, victim.Size);
        PlaceReturned(victim, moment, ref aftermath);
    }

    /// <summary>A message is in the dead-letter queue.</summary>
    public void DeadLettered(in CondemnedMessage condemned)
    {
        Counts.DeadLettered++;
        if (condemned.Evicted)
            _evicting.Remove(condemned.Message.Size);
        else
            Left(condemned.Message.Size);
    }

    /// <summary>A message could not be moved to the dead-letter queue: it comes back after a pause, above the limit if its place is taken.</summary>
    public void NotDeadLettered(in CondemnedMessage condemned, in Moment moment, ref Aftermath aftermath)
    {
        if (condemned.Evicted)
        {
            _evicting.Remove(condemned.Message.Size);
            Gate.Take(1, condemned.Message.Size);
            _leaving.Add(condemned.Message.Size);
        }
        Stay(condemned.Message, moment, ref aftermath, s_moveRetryPause);
    }

    /// <summary>The commit of a departure is through.</summary>
    public void Departed(Departure departure, long size)
    {
        Left(size);
        if (departure == Departure.Discarded)
            Counts.Discarded++;
        else
            Counts.Acked++;
    }

    /// <summary>Ends a delivery without an ack: decides what becomes of the message and does it.</summary>
    public void End(InFlightDelivery delivery, DeliveryEnd end, Settlement settlement, in Moment moment, ref Aftermath aftermath)
    {
        TakeFromConsumer(delivery);
        RedeliveryDecision decision = Decide(delivery, end, settlement, out QueuedMessage message);
        switch (decision.Fate)
        {
            case Fate.Redeliver:
                Redeliver(message, decision.Delay, end, moment, ref aftermath);
                break;
            case Fate.DeadLetter:
                _leaving.Add(message.Size);
                aftermath.Condemn(message, Obituary(message, decision.Reason, settlement, moment));
                break;
            default:
                Depart(message, Departure.Discarded, awaited: false, ref aftermath);
                break;
        }
    }

    /// <summary>Counts a delivery that ends without an ack into its message's history and decides; moves nothing.</summary>
    public RedeliveryDecision Decide(InFlightDelivery delivery, DeliveryEnd end, Settlement settlement, out QueuedMessage message, bool mayBeUndone = false)
    {
        QueuedMessage queued = delivery.Queued;
        message = Marked(mayBeUndone && queued.History is { } known ? queued.With(known.Copy()) : queued);
        MessageHistory history = message.History!;
        switch (end)
        {
            case DeliveryEnd.Failed:
                Counts.Nacked++;
                history.FailedAttempts++;
                history.Releases = 0;
                history.LastError = Describe(settlement.Error) ?? history.LastError;
                break;
            case DeliveryEnd.TimedOut:
                Counts.LeasesLost++;
                history.FailedAttempts++;
                history.Releases = 0;
                break;
            case DeliveryEnd.Rejected:
                history.Releases++;
                break;
            default:
                Counts.Released++;
                history.Releases += end == DeliveryEnd.Released ? 1 : 0;
                break;
        }
        // A dead letter that its queue would have to discard has come to the end of the line, whatever that queue is called.
        bool isEndOfTheLine = _isDeadLetterQueue || (history.DeadLetter is not null && Options.DeadLetterOn == DeadLetterReasons.None);
        return RedeliveryPolicy.Decide(Options, isEndOfTheLine, end, settlement.Delay, history, message.Sequence);
    }

    /// <summary>Puts a message whose delivery ended back: at once, or after a delay; a failed attempt goes on record.</summary>
    public void Redeliver(in QueuedMessage message, TimeSpan delay, DeliveryEnd end, in Moment moment, ref Aftermath aftermath)
    {
        long dueTicks = delay > TimeSpan.Zero ? moment.UtcTicksAfter(delay) : 0;
        if (_conductor.IsDurable && end is (DeliveryEnd.Failed or DeliveryEnd.TimedOut))
        {
            MessageHistory history = message.History!;
            history.IsStored = true;
            aftermath.Commits.Add(new AttemptWrite(_conductor, _conductor.FlushLevel, message.Sequence, new AttemptsRecord(history.FailedAttempts, dueTicks, history.LastError)));
        }
        if (dueTicks != 0)
            _delayed.Add(message, dueTicks);
        else
            PlaceReturned(message, moment, ref aftermath);
    }

    public DeadLetterInfo Obituary(in QueuedMessage message, DeadLetterReasons reason, Settlement settlement, in Moment moment)
    {
        int attempts = message.History?.FailedAttempts ?? 0;
        string description = reason switch
        {
            DeadLetterReasons.Rejected => settlement.Reason ?? "rejected",
            DeadLetterReasons.AttemptsExhausted => $"{attempts} of {Options.MaxAttempts} attempts failed",
            _ => "dropped as the oldest to make room",
        };
        return new DeadLetterInfo(_conductor.Name, reason, description, settlement.Details, attempts, message.History?.LastError, message.Sequence, moment.Utc);
    }

    /// <summary>Prolongs a lease; false if it is not the consumer's any more.</summary>
    public bool Extend(InFlightDelivery delivery, TimeSpan? by, in Moment moment)
    {
        if (delivery.State != LeaseState.Held || delivery.Place == InFlightPlace.None)
            return false;
        delivery.HasEarlyDeadline = false;
        _inFlight.Prolong(delivery, Math.Min(moment.Now + Math.Min(by?.Ticks ?? LeaseOf(delivery.Consumer), _maxLeaseTicks), delivery.StartedAt + _maxLeaseTicks));
        return true;
    }

    // ---- Time --------------------------------------------------------------------------------------------------------------

    /// <summary>Ends every lease whose time is up: exact, wherever the delivery stands.</summary>
    public void Expire(in Moment moment, ref Aftermath aftermath)
    {
        while (_inFlight.Earliest is { } delivery && delivery.Deadline <= moment.Now)
        {
            LeaseState state = delivery.State;
            long lastDeadline = delivery.StartedAt + _maxLeaseTicks;
            if (state == LeaseState.Held && delivery.HasEarlyDeadline)
            {
                delivery.HasEarlyDeadline = false;
                _inFlight.Prolong(delivery, delivery.StartedAt + LeaseOf(delivery.Consumer));
            }
            else if (state == LeaseState.Settled)
            {
                // Acked a moment ago, not yet booked: booked here, and skipped when its turn on the stack comes.
                _inFlight.Remove(delivery);
                Acked(delivery.Size);
            }
            else if (state == LeaseState.Committing)
            {
                // Its transaction is past the point of return and takes it out in a moment.
                _inFlight.Prolong(delivery, moment.Now + TimeSpan.TicksPerSecond);
            }
            else if (moment.Now < lastDeadline && (state == LeaseState.Frozen || (state == LeaseState.Held && delivery.Consumer.RenewsLeases)))
            {
                _inFlight.Prolong(delivery, Math.Min(moment.Now + LeaseOf(delivery.Consumer), lastDeadline));
            }
            else if (state == LeaseState.Offered)
            {
                if (TryTakeBack(delivery))
                    PlaceReturned(delivery.Queued, moment, ref aftermath);
            }
            else if (delivery.TryMove(state, LeaseState.Lost))
            {
                if (delivery.ExtrasIfAny is { } extras)
                    aftermath.Wakes.Add(extras);
                End(delivery, DeliveryEnd.TimedOut, default, moment, ref aftermath);
            }
        }
    }

    /// <summary>Makes ready what is due by the wall clock.</summary>
    public void MakeDue(long utcTicks, in Moment moment, ref Aftermath aftermath)
    {
        while (_delayed.TryTakeDue(utcTicks, out QueuedMessage message))
            PlaceReturned(message, moment, ref aftermath);
    }

    /// <summary>When the queue has to be looked at next. The wall clock may jump, so a wait for it is cut at a minute.</summary>
    public long NextDeadline(in Moment moment)
    {
        long next = _inFlight.Earliest?.Deadline ?? long.MaxValue;
        if (_delayed.EarliestDueTicks is { } due)
            next = Math.Min(next, moment.Now + Math.Clamp(due - moment.Utc.UtcTicks, 0, TimeSpan.TicksPerMinute));
        return next;
    }

    // ---- The whole ---------------------------------------------------------------------------------------------------------

    /// <summary>Takes everything ready and delayed out; it is leaving.</summary>
    public List<WaitingMessage> TakeAllWaiting()
    {
        TakeBackSetAside();
        var taken = new List<WaitingMessage>((int)Math.Min(int.MaxValue, _ready.Count + _delayed.Count));
        long dueTicks = 0;
        while (_ready.TryTake(out QueuedMessage message) || _delayed.TryTakeFirst(out message, out dueTicks))
        {
            _leaving.Add(message.Size);
            taken.Add(new WaitingMessage(message, dueTicks));
        }
        return taken;
    }

    public void Purged(List<WaitingMessage> messages)
    {
        foreach (WaitingMessage waiting in messages)
            Left(waiting.Message.Size);
        Counts.Purged += messages.Count;
    }

    /// <summary>The store refused the purge: the message waits on, as if nothing had been.</summary>
    public void NotPurged(in WaitingMessage waiting, in Moment moment, ref Aftermath aftermath)
    {
        _leaving.Remove(waiting.Message.Size);
        if (waiting.DueTicks != 0)
            _delayed.Add(waiting.Message, waiting.DueTicks);
        else
            PlaceReturned(waiting.Message, moment, ref aftermath);
    }

    /// <summary>Ends all waits, of senders and receivers, with the same error; or, without one, receives with nothing.</summary>
    public void EndWaits(Exception? forSenders, Func<PendingReceive, Exception?> forReceivers, ref Aftermath aftermath)
    {
        while (forSenders is not null && Gate.FirstWaiting is { } send)
        {
            Gate.Leave(send);
            send.Fail(forSenders);
            aftermath.Wakes.Add(send);
        }
        while (_consumers.AnyWaiting is { } receive)
        {
            _consumers.Leave(receive);
            receive.Complete(null, forReceivers(receive));
            aftermath.Wakes.Add(receive);
        }
    }

    /// <summary>Takes every lease away: the broker closes, or the queue is deleted. The messages stay in the books as ready, and nobody gets them.</summary>
    public void LoseAllLeases(ref Aftermath aftermath)
    {
        var committing = new List<InFlightDelivery>();
        while (_inFlight.Earliest is { } delivery)
        {
            LeaseState state = delivery.State;
            if (state == LeaseState.Committing)
            {
                // Its transaction is past the point of return and takes it out in a moment.
                _inFlight.Remove(delivery);
                committing.Add(delivery);
            }
            else if (state == LeaseState.Settled)
            {
                _inFlight.Remove(delivery);
                Acked(delivery.Size);
            }
            else if (delivery.TryMove(state, LeaseState.Lost))
            {
                if (delivery.ExtrasIfAny is { } extras)
                    aftermath.Wakes.Add(extras);
                TakeFromConsumer(delivery);
                _ready.Insert(Marked(delivery.Queued));
            }
        }
        committing.ForEach(delivery => _inFlight.Add(delivery, delivery.Deadline, plain: false));
    }

    private Tally CountOf(MessageState state) => state switch
    {
        MessageState.Storing => _storing,
        MessageState.Ready => new Tally { Messages = _ready.Count, Bytes = _ready.Bytes },
        MessageState.Delayed => new Tally { Messages = _delayed.Count, Bytes = _delayed.Bytes },
        MessageState.InFlight => new Tally { Messages = _inFlight.Count, Bytes = _inFlight.Bytes },
        _ => _leaving,
    };

    public QueueSnapshot Snapshot(in Moment moment)
    {
        long now = moment.Now;
        // What is set aside is in the table, and ready to everybody else.
        Tally setAside = default;
        long redelivered = 0;
        foreach (Hand hand in _mayHaveSetAside ? _hands! : [])
        {
            foreach (InFlightDelivery? delivery in hand.Deliveries)
            {
                if (delivery!.State != LeaseState.Offered)
                    continue;
                setAside.Add(delivery.Size);
                redelivered += delivery.IsRedelivered ? 1 : 0;
            }
        }
        StateSnapshot Of(MessageState state, long? since = null) =>
            new(CountOf(state).Messages, CountOf(state).Bytes, since is { } start ? TimeSpan.FromTicks(Math.Max(0, now - start)) : null);
        static StateSnapshot Shift(StateSnapshot state, Tally by, int sign) =>
            state with { Messages = state.Messages + sign * by.Messages, Bytes = state.Bytes + sign * by.Bytes };
        return new QueueSnapshot
        {
            Name = _conductor.Name,
            Durability = Options.Durability,
            Messages = Gate.Messages,
            Bytes = Gate.Bytes,
            PeakMessages = Gate.PeakMessages,
            Storing = Of(MessageState.Storing),
            Ready = Shift(Of(MessageState.Ready, _ready.OldestEnqueuedAt()), setAside, 1),
            Delayed = Of(MessageState.Delayed, _delayed.OldestEnqueuedAt()),
            InFlight = Shift(Of(MessageState.InFlight, _inFlight.OldestHandOver()), setAside, -1),
            Leaving = Of(MessageState.Leaving),
            WaitingSenders = Gate.WaitingCount,
            WaitingReceivers = _consumers.WaitingCount,
            Overshoot = Gate.Overshoot,
            Paused = (Gate.IsPaused ? QueueFlow.Sending : 0) | (IsReceivingPaused ? QueueFlow.Receiving : 0),
            Counts = Counts.ToCounts() with { Delivered = Counts.Delivered - setAside.Messages, Redelivered = Counts.Redelivered - redelivered },
        };
    }

    [Conditional("DEBUG")]
    public void AssertInvariants()
    {
        Tally sum = default;
        foreach (MessageState state in Enum.GetValues<MessageState>())
            sum.Add(CountOf(state).Bytes, CountOf(state).Messages);
        Debug.Assert(Gate.Messages == sum.Messages, "Every admitted message is in exactly one state.");
        Debug.Assert(Gate.Bytes == sum.Bytes, "The bytes of the gate are those of the states.");
        Debug.Assert(_consumers.IsEmpty || _ready.IsEmpty || IsReceivingPaused, "No consumer with a free place waits while a message is ready.");
        Debug.Assert(Gate.NextAdmissible() is null, "No sender waits while there is room for the first in line.");
        Debug.Assert(_storing is { Messages: >= 0, Bytes: >= 0 } && _leaving is { Messages: >= 0, Bytes: >= 0 } && _evicting is { Messages: >= 0, Bytes: >= 0 }, "No state holds less than nothing.");
        Debug.Assert(Counts.Recovered + Counts.Accepted == Counts.Acked + Counts.DeadLettered + Counts.Discarded + Counts.Dropped + Counts.Purged + Gate.Messages + _evicting.Messages,
            "What was accepted is settled, dropped, purged or still here.");
    }

    // ---- Moves -------------------------------------------------------------------------------------------------------------

    private void PlaceAll(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        for (int i = 0; i < send.MessageCount; i++)
            Place(send.QueuedAt(i), moment, ref aftermath);
    }

    private void Place(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (message.History is { ScheduledTicks: not 0 })
            PlaceScheduled(message, moment, ref aftermath);
        else
            PlaceNew(message, moment, ref aftermath);
    }

    private void PlaceScheduled(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        long due = message.History!.ScheduledTicks;
        if (due > moment.Utc.UtcTicks)
            _delayed.Add(message, due);
        else
            PlaceReturned(message, moment, ref aftermath);
    }

    // Younger than all others: to the consumer whose turn it is, or to the end of its lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void PlaceNew(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (_mayHaveSetAside && message.Band != 0)
            TakeBackSetAside();
        if (_consumers.IsEmpty || IsReceivingPaused)
            _ready.Append(message);
        else
            ServeNext(message, moment, ref aftermath);
    }

    public void PlaceReturned(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        // It may go before what is set aside.
        TakeBackSetAside();
        if (_consumers.IsEmpty || IsReceivingPaused || !_ready.IsEmpty)
            _ready.Insert(message);
        else
            ServeNext(message, moment, ref aftermath);
    }

    private void ServeNext(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        PendingReceive receive = _consumers.Next;
        Consumer consumer = receive.Consumer;
        if (consumer.AtMostOnce && _conductor.IsDurable)
        {
            _consumers.Served(receive);
            // The deletion first, then the hand-over: the receive waits for the commit, and no token withdraws it any more.
            CountDelivery(message);
            _leaving.Add(message.Size);
            receive.Complete(null);
            var delivery = new InFlightDelivery(message, consumer.Identity, LeaseState.Settled, moment.Now);
            aftermath.Commits.Add(PendingSettle.Rent(_conductor, _conductor.FlushLevel, message, Departure.HandedOver).For(delivery, receive));
            return;
        }
        // The credit it takes decides whether its consumer stays in the ring.
        InFlightDelivery handedOut = HandOut(message, consumer, LeaseState.Offered, moment);
        _consumers.Served(receive);
        receive.Complete(handedOut);
        aftermath.Wakes.Add(receive);
    }

    private InFlightDelivery HandOut(in QueuedMessage message, Consumer consumer, LeaseState state, in Moment moment)
    {
        CountDelivery(message);
        if (consumer.AtMostOnce)
        {
            Acked(message.Size);
            return new InFlightDelivery(message, consumer.Identity, LeaseState.Settled, moment.Now);
        }
        if (consumer.CountsUnsettled)
            consumer.Unsettled++;
        var delivery = new InFlightDelivery(message, consumer.Identity, state, moment.Now);
        _inFlight.Add(delivery, moment.Now + LeaseOf(consumer), consumer.HasPlainLease);
        return delivery;
    }

    // The plain case, in a row: neither credit nor at most once.
    private InFlightDelivery HandOutUntil(long deadline, in QueuedMessage message, Consumer consumer, LeaseState state, long now)
    {
        CountDelivery(message);
        var delivery = new InFlightDelivery(message, consumer, state, now);
        _inFlight.Add(delivery, deadline, consumer.HasPlainLease);
        return delivery;
    }

    /// <summary>Takes what is ready, up to the length of <paramref name="into"/>, for single receives; returns how many.</summary>
    public int TakeMany(Span<InFlightDelivery> into, Consumer consumer, in Moment moment)
    {
        if (IsReceivingPaused)
            return 0;
        long deadline = moment.Now + LeaseOf(consumer);
        int taken = 0;
        while (taken < into.Length && TryTakeNext(out QueuedMessage message))
            into[taken++] = HandOutUntil(deadline, message, consumer, LeaseState.Held, moment.Now);
        return taken;
    }

    /// <summary>How many messages could be taken at most, for the size of an array.</summary>
    public int CountUpTo(int max) => (int)Math.Min(max, _ready.Count + (_mayHaveSetAside ? max : 0));

    private void CountDelivery(in QueuedMessage message)
    {
        Counts.Delivered++;
        if (message.History is { Delivered: true })
            Counts.Redelivered++;
    }

    private void TakeFromConsumer(InFlightDelivery delivery)
    {
        _inFlight.Remove(delivery);
        Consumer consumer = delivery.Consumer;
        if (delivery.IsCounted)
        {
            consumer.Unsettled--;
            // If it waits it is served at the end of the lock hold, when this delivery's own message has found its place.
            _consumers.Refresh(consumer);
        }
    }

    private PendingSettle? Depart(in QueuedMessage message, Departure departure, bool awaited, ref Aftermath aftermath)
    {
        if (!_conductor.IsDurable)
        {
            Gate.GiveBack(1, message.Size);
            if (departure == Departure.Discarded)
                Counts.Discarded++;
            else
                Counts.Acked++;
            return null;
        }
        _leaving.Add(message.Size);
        PendingSettle settle = PendingSettle.Rent(_conductor, _conductor.FlushLevel, message, departure, awaited);
        aftermath.Commits.Add(settle);
        return settle;
    }

    private void Acked(long size)
    {
        Gate.GiveBack(1, size);
        Counts.Acked++;
    }

    // The oldest ready messages of the lowest band leave until there is room. Their places are the newcomer's from now on.
    private List<QueuedMessage> Evict(long messages, long bytes, bool mayBeUndone, in Moment moment, ref Aftermath aftermath)
    {
        bool keep = (Options.DeadLetterOn & DeadLetterReasons.Overflow) != 0;
        var victims = new List<QueuedMessage>();
        while (!Gate.HasRoom(messages, bytes) && _ready.TryTakeVictim(out QueuedMessage victim))
        {
            Gate.GiveBack(1, victim.Size);
            if (keep)
            {
                _evicting.Add(victim.Size);
                aftermath.Condemn(victim, Obituary(victim, DeadLetterReasons.Overflow, default, moment), evicted: true);
                continue;
            }
            Counts.Dropped++;
            if (_conductor.IsDurable || mayBeUndone)
                victims.Add(victim);
        }
        return victims;
    }

    private long LeaseOf(Consumer consumer) => consumer.HasPlainLease ? _leaseTicks : consumer.OwnLeaseTicks;

    private void NoteDrop(in Moment moment, ref Aftermath aftermath)
    {
        aftermath.DropsBegan |= moment.Now - _lastDropAt > s_dropPause.Ticks;
        _lastDropAt = moment.Now;
    }

    private static QueuedMessage Marked(in QueuedMessage message)
    {
        QueuedMessage marked = message.History is null ? message.With(new MessageHistory()) : message;
        marked.History!.Delivered = true;
        return marked;
    }

    private static string? Describe(Exception? error)
    {
        if (error is null)
            return null;
        string text = $"{error.GetType().FullName}: {error.Message}";
        return text.Length <= Settlement.MaxTextLength ? text : text[..Settlement.MaxTextLength];
    }
}
