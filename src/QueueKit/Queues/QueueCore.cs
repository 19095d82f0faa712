using System.Runtime.CompilerServices;

namespace QueueKit.Queues;

/// <summary>A queue as data: what comes in, what becomes of it, and when; who gets it is the <see cref="Queues.Dispatcher"/>'s part. No lock, no I/O, no clock: <see cref="QueueConductor"/> holds the lock, and what is to follow is left in an <see cref="Aftermath"/>.</summary>
/// <remarks>
/// Invariants, checked by <see cref="QueueAudit.AssertInvariants"/>:
/// (1) the gate's messages and bytes are the sums over storing, ready, delayed, in flight and leaving: every admitted message is in exactly one state;
/// (2) if a message is ready and receiving is not paused, no consumer with a free place waits;
/// (3) a sender waits only if there is no room for the first in line, or sending is paused;
/// (4) no state holds less than nothing.
/// </remarks>
internal sealed class QueueCore
{
    /// <summary>How long a message whose move to the dead-letter queue, or whose at-most-once deletion, the store refused waits for the next try.</summary>
    public static readonly TimeSpan RefusalPause = TimeSpan.FromSeconds(1);

    private readonly QueueConductor _conductor;
    private readonly QueueBooks _books;
    private readonly DelayedMessages _delayed;
    private readonly bool _isDeadLetterQueue;
    private readonly MemoryShare? _memory;
    private long _maxLeaseTicks;
    // Whether a send has found no room and looked for victims: they are taken from the head, as deliveries are.
    private bool _hasSoughtVictims;

    public QueueCore(QueueConductor conductor, QueueOptions options, ArrivalRing? arrivals)
    {
        _conductor = conductor;
        _books = new QueueBooks(arrivals);
        _delayed = new DelayedMessages(conductor.IsDurable ? conductor.Broker.Memory : null);
        _memory = conductor.IsDurable ? new MemoryShare(conductor.Broker.Memory) : null;
        Dispatcher = new Dispatcher(conductor, _books);
        Intake = new Intake(arrivals, _books, Dispatcher, Audit = new QueueAudit(conductor, _books, Dispatcher, _delayed));
        Pages = conductor.IsDurable ? new LanePages(conductor, conductor.Broker.Store!) : null;
        _isDeadLetterQueue = QueueOptions.IsDeadLetterName(conductor.Name);
        Options = options;
        Apply(options);
    }

    public ref QueueCounters Counts => ref _books.Counts;
    public QueueBooks Books => _books;
    public OverflowGate Gate => _books.Gate;
    public DelayedMessages Delayed => _delayed;
    public Dispatcher Dispatcher { get; }
    public Intake Intake { get; }
    public QueueAudit Audit { get; }

    /// <summary>The backlog in the store; null where there is no store.</summary>
    public LanePages? Pages { get; }
    public QueueOptions Options { get; private set; }

    /// <summary>Whether something could be delivered, for all that is known, once it has been read.</summary>
    public bool HasUnread(in Moment moment) => Dispatcher.Ready.HasPaged || (_delayed.HasPaged && _delayed.HasUnread(moment.Utc.UtcTicks));

    /// <summary>Makes options effective.</summary>
    public void Apply(QueueOptions options)
    {
        Options = options;
        Gate.Prepaid.CallBack(Gate);
        bool buffers = options.Overflow == OverflowPolicy.Buffer;
        Gate.Policy = buffers ? options.BufferOverflow : options.Overflow;
        Gate.MaxMessages = (buffers ? options.MaxBufferedMessages : options.MaxMessages) ?? long.MaxValue;
        Gate.MaxBytes = (buffers ? options.MaxBufferedBytes : options.MaxBytes) ?? long.MaxValue;
        _conductor.NoteLimits(Gate.MaxMessages, Gate.MaxBytes);
        Dispatcher.Ready.MaxLoadedMessages = buffers ? options.MaxMessages ?? long.MaxValue : long.MaxValue;
        Dispatcher.Ready.MaxLoadedBytes = buffers ? options.MaxBytes ?? long.MaxValue : _conductor.IsDurable && options.Overflow != OverflowPolicy.DropOldest ? LaneScheduler.LoadedBytes : long.MaxValue;
        Dispatcher.Ready.Budget = _conductor.IsDurable && options.Overflow != OverflowPolicy.DropOldest ? _conductor.Broker.Memory : null;
        _delayed.Limit(Dispatcher.Ready.MaxLoadedMessages, Dispatcher.Ready.MaxLoadedBytes);
        Dispatcher.LeaseTicks = options.LeaseDuration.Ticks;
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
    /// <param name="victims">Those that leave in the newcomers' commit or, if this <paramref name="mayBeUndone"/>, when the newcomers come; null for none.</param>
    /// <param name="mayBeUndone">Whether the victims may have to be put back on a transient queue too.</param>
    public GateVerdict Judge(long messages, long bytes, bool mayWait, in Moment moment, ref Aftermath aftermath, out Victims? victims, bool mayBeUndone = false)
    {
        victims = null;
        // What is set aside is ready: it can be the oldest, and make room.
        if (Gate.Policy == OverflowPolicy.DropOldest && !Gate.HasRoom(messages, bytes))
        {
            _hasSoughtVictims = true;
            Dispatcher.TakeBackSetAside();
        }
        GateVerdict verdict = Gate.Judge(messages, bytes, mayWait, Dispatcher.Ready.Count, Dispatcher.Ready.Bytes);
        if (verdict is GateVerdict.Evict or GateVerdict.Drop)
            aftermath.DropsBegan |= _books.NoteDrop(moment);
        if (verdict == GateVerdict.Evict)
        {
            victims = Evict(messages, bytes, mayBeUndone, ref aftermath);
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

    /// <summary>Admits one message on a transient queue: the short way, without a <see cref="PendingSend"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long AdmitTransient(Message message, in Moment moment, ref Aftermath aftermath)
    {
        Gate.Take(1, message.Size);
        Counts.Accepted++;
        long sequence = Intake.NextNumber();
        if (message.IsScheduled)
            PlaceScheduled(new QueuedMessage(message, sequence, moment.Now, new MessageHistory { ScheduledTicks = StoredMessage.DueTicksOf(message, moment) }), moment, ref aftermath);
        else
            Dispatcher.PlaceNew(new QueuedMessage(message, sequence, moment.Now), moment, ref aftermath);
        return sequence;
    }

    /// <summary>Admits a send that has its places: on a durable queue it goes to the store, on a transient one straight on.</summary>
    public void Admit(PendingSend send, Victims? victims, in Moment moment, ref Aftermath aftermath)
    {
        Gate.Take(send.MessageCount, send.Bytes);
        Counts.Accepted += send.MessageCount;
        send.Admit(moment, victims);
        if (send.IsReservation)
        {
            _books.Storing.Add(send.Bytes, send.MessageCount);
            send.Accept(Durability.Default);
            aftermath.Wakes.Add(send);
            return;
        }
        if (_conductor.IsDurable)
        {
            _books.Storing.Add(send.Bytes, send.MessageCount);
            Gate.Prepaid.Refill(Gate);
            // Dead letters need places in their own queue first. Whoever is admitted behind such a send in this hold stays behind it.
            if (victims is { AreKept: true } || aftermath.Evictions is not null)
                aftermath.Evict(send, victims);
            else
                aftermath.Commits.Add(send);
            return;
        }
        send.Number(Intake.NextNumber(send.MessageCount));
        PlaceAll(send, moment, ref aftermath);
        send.Accept(Durability.Transient);
        aftermath.Wakes.Add(send);
    }

    /// <summary>The last move of every lock hold: lets in whoever can now be let in, in order, and serves whoever can now be served.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void ComeToRest(in Moment moment, ref Aftermath aftermath)
    {
        // An at-most-once hand-over frees the place at once, which lets the next sender in, and so on.
        while (Gate.WaitingCount != 0 || !Dispatcher.Consumers.IsEmpty)
        {
            // From now on a send has somebody to serve.
            Intake.Stop();
            while (Gate.NextAdmissible() is { } send)
            {
                Gate.Leave(send);
                Admit(send, null, moment, ref aftermath);
            }
            Dispatcher.Serve(moment, ref aftermath);
            if (Gate.NextAdmissible() is null)
                break;
        }
        if ((Dispatcher.Ready.HasPaged || _delayed.HasPaged) && (Counts.Delivered > 0 || _hasSoughtVictims || !Dispatcher.Consumers.IsEmpty))
            Pages!.Request(Dispatcher.Ready, _delayed, moment, ref aftermath);
        if (Dispatcher.HasLooks && (Dispatcher.IsPaused || !Pages!.IsReading))
            Dispatcher.EndLooks(ref aftermath);
        if (_memory is not null)
            _memory.Note(_conductor.Closure is null ? Dispatcher.Ready : null, _delayed);
    }

    /// <summary>The store has the messages of a send: they become ready, or delayed, and its victims are gone.</summary>
    public void Stored(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        _books.EndStoring(send);
        PlaceAll(send, moment, ref aftermath);
    }

    /// <summary>The store does not have them: the places are free again, and the victims are back in theirs.</summary>
    public void NotStored(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        _books.EndStoring(send);
        Gate.GiveBack(send.MessageCount, send.Bytes);
        Counts.CountNotStored(send.MessageCount);
        if (send.Victims is { } victims)
            NotEvicted(victims, moment, ref aftermath);
    }

    /// <summary>Takes places for a step that holds a lease already and may not wait; on a durable queue the messages are now storing.</summary>
    public void TakeEntitled(long messages, long bytes)
    {
        Gate.Take(messages, bytes);
        Counts.Accepted += messages;
        _books.Storing.Add(bytes, messages);
    }

    /// <summary>The messages of such a step are there: ready, or delayed.</summary>
    public void PlaceEntitled(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        _books.Storing.Remove(message.Size);
        Place(message, moment, ref aftermath);
    }

    /// <summary>They are not: the places are free again.</summary>
    public void GiveBackEntitled(long messages, long bytes)
    {
        _books.Storing.Remove(bytes, messages);
        Gate.GiveBack(messages, bytes);
        Counts.Accepted -= messages;
    }

    /// <summary>Counts messages of a lane that the store holds at opening; they are read when it is their turn.</summary>
    public void Recover(int band, Tally messages, long lastSequence)
    {
        Gate.Take(messages.Messages, messages.Bytes);
        Counts.Recovered += messages.Messages;
        Dispatcher.Ready.LeaveInStore(band, 0, lastSequence, messages);
    }

    /// <summary>Counts a band's scheduled messages that the store holds at opening; they are read as their time comes.</summary>
    public void RecoverScheduled(int band, Tally messages, long lastSequence)
    {
        Gate.Take(messages.Messages, messages.Bytes);
        Counts.Recovered += messages.Messages;
        _delayed.LeaveInStore(band, messages, lastSequence);
    }

    /// <summary>Puts a message that was only in the store in its place.</summary>
    public void Load(int band, in WaitingMessage waiting, in Moment moment, ref Aftermath aftermath)
    {
        Dispatcher.Ready.Unpage(band, waiting.Message.Size);
        if (waiting.DueTicks > moment.Utc.UtcTicks)
            _delayed.Add(waiting.Message, waiting.DueTicks);
        else if (waiting.Message.History is { IsSuspect: true } or { FailedAttempts: > 0 })
            Readmit(waiting.Message, moment, ref aftermath);
        else
            Dispatcher.Ready.AppendLoaded(waiting.Message);
    }

    /// <summary>Puts a scheduled message that was only in the store in its place.</summary>
    public void LoadScheduled(int band, in WaitingMessage waiting, in Moment moment, ref Aftermath aftermath)
    {
        _delayed.Unpage(band, waiting.Message.Size);
        if (waiting.DueTicks > moment.Utc.UtcTicks)
        {
            _delayed.AddRead(waiting);
            return;
        }
        _delayed.NoteTaken(new DueKey(waiting.Message.History!.ScheduledTicks, waiting.Message.Sequence));
        Readmit(waiting.Message, moment, ref aftermath);
    }

    // ---- Settle ------------------------------------------------------------------------------------------------------------

    /// <summary>Books an ack of a transient queue on the spot.</summary>
    public void AckTransient(InFlightDelivery delivery)
    {
        Dispatcher.TakeFromConsumer(delivery);
        Dispatcher.Acked(delivery.Size);
    }

    /// <summary>Books an ack on the spot.</summary>
    public void Ack(InFlightDelivery delivery, bool awaited, ref Aftermath aftermath, out PendingSettle? pending)
    {
        Dispatcher.TakeFromConsumer(delivery);
        pending = Depart(delivery.Queued, Departure.Acked, awaited, ref aftermath, delivery.Slot);
    }

    /// <summary>Takes a delivery that a transaction settles out of the table; the message is leaving until the commit.</summary>
    public void BeginLeave(InFlightDelivery delivery)
    {
        Dispatcher.TakeFromConsumer(delivery);
        _books.Leaving.Add(delivery.Size);
    }

    /// <summary>The transaction was refused: the delivery is its consumer's again, and nothing has been counted.</summary>
    public void UndoLeave(InFlightDelivery delivery, DeliveryEnd? end, in Moment moment)
    {
        _books.Leaving.Remove(delivery.Size);
        Counts.Nacked -= end == DeliveryEnd.Failed ? 1 : 0;
        Counts.Released -= end == DeliveryEnd.Released ? 1 : 0;
        delivery.Unsettle();
        Dispatcher.Slots?.Restart(delivery);
        if (delivery.IsCounted)
        {
            delivery.Consumer.Unsettled++;
            Dispatcher.Consumers.Refresh(delivery.Consumer);
        }
        long deadline = delivery.Deadline > moment.Now ? delivery.Deadline : Math.Min(moment.Now + Dispatcher.LeaseOf(delivery.Consumer), delivery.StartedAt + _maxLeaseTicks);
        Dispatcher.InFlight.Add(delivery, deadline, plain: false);
    }

    /// <summary>A message that was leaving is gone.</summary>
    public void Left(long size)
    {
        _books.Leaving.Remove(size);
        Gate.GiveBack(1, size);
    }

    /// <summary>A message that was leaving stays: back to its place.</summary>
    public void Stay(in QueuedMessage message, in Moment moment, ref Aftermath aftermath, TimeSpan delay = default)
    {
        _books.Leaving.Remove(message.Size);
        if (delay == default)
            Dispatcher.PlaceReturned(message.AsDelivered(), moment, ref aftermath);
        else
            _delayed.Add(message.AsDelivered(), moment.UtcTicksAfter(delay));
    }

    /// <summary>Victims of <see cref="OverflowPolicy.DropOldest"/> stay after all: the store did not take the newcomers or, of a transient queue that lets them in at once, the dead letters.</summary>
    public void NotEvicted(Victims victims, in Moment moment, ref Aftermath aftermath)
    {
        (victims.AreKept ? ref Counts.DeadLettered : ref Counts.Dropped) -= victims.Messages.Count - victims.Discarded;
        Counts.Discarded -= victims.Discarded;
        foreach (QueuedMessage victim in victims.Messages)
        {
            Gate.Take(1, victim.Size);
            Dispatcher.PlaceReturned(victim, moment, ref aftermath);
        }
    }

    /// <summary>So many of the victims that were to be kept are not: their queue of dead letters drops them.</summary>
    public void NotKept(int victims)
    {
        Counts.DeadLettered -= victims;
        Counts.Discarded += victims;
    }

    /// <summary>A message that was to go to the dead-letter queue is there or, where that queue's own policy dropped it, gone.</summary>
    public void DeadLettered(in CondemnedMessage condemned, bool isKept)
    {
        Counts.CountGivenUp(condemned.Info.Reason, isKept);
        Left(condemned.Message.Size);
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
        Dispatcher.TakeFromConsumer(delivery);
        RedeliveryDecision decision = Decide(delivery, end, settlement, out QueuedMessage message);
        if (decision.Fate != Fate.Redeliver)
        {
            GiveUp(message, decision, settlement, delivery.Slot, moment, ref aftermath);
            return;
        }
        Dispatcher.Slots?.Return(delivery);
        Redeliver(message, decision.Delay, end, moment, ref aftermath);
    }

    /// <summary>Dead-letters or discards a message that nobody has.</summary>
    public void GiveUp(in QueuedMessage message, RedeliveryDecision decision, Settlement settlement, int slot, in Moment moment, ref Aftermath aftermath)
    {
        if (decision.Fate == Fate.Discard)
        {
            Depart(message, Departure.Discarded, awaited: false, ref aftermath, slot);
            return;
        }
        _books.Leaving.Add(message.Size);
        aftermath.Condemn(message, Obituary(message, decision.Reason, settlement, moment), slot);
    }

    /// <summary>Counts a delivery that ends without an ack, in the books and in its message's history, and decides; moves nothing.</summary>
    /// <param name="delivery">The delivery.</param>
    /// <param name="end">How it ends.</param>
    /// <param name="settlement">What its consumer said, if it said anything.</param>
    /// <param name="message">The message with its history brought up to date.</param>
    /// <param name="mayBeUndone">Whether the history as it was is still needed.</param>
    public RedeliveryDecision Decide(InFlightDelivery delivery, DeliveryEnd end, Settlement settlement, out QueuedMessage message, bool mayBeUndone = false)
    {
        QueuedMessage queued = delivery.Queued;
        message = (mayBeUndone && queued.History is { } known ? queued.With(known.Copy()) : queued).AsDelivered();
        MessageHistory history = message.History!;
        history.Count(end, settlement.ErrorText);
        Counts.Count(end);
        return Decide(message, end, settlement.Delay);
    }

    /// <summary>Decides by a message's history alone.</summary>
    public RedeliveryDecision Decide(in QueuedMessage message, DeliveryEnd end, TimeSpan? delay = null)
    {
        // A dead letter that its queue would have to discard has come to the end of the line, whatever that queue is called.
        bool isEndOfTheLine = _isDeadLetterQueue || (message.History!.DeadLetter is not null && Options.DeadLetterOn == DeadLetterReasons.None);
        return RedeliveryPolicy.Decide(Options, isEndOfTheLine, end, delay, message.History!, message.Sequence);
    }

    /// <summary>Why a message is given up, for whoever reads its dead letter.</summary>
    public DeadLetterInfo Obituary(in QueuedMessage message, DeadLetterReasons reason, Settlement settlement, in Moment moment) =>
        DeadLetters.Obituary(_conductor.Name, Options.MaxAttempts, message, reason, settlement, moment.Utc);

    /// <summary>Puts a message whose delivery ended back: at once, or after a delay; a failed attempt goes on record.</summary>
    public void Redeliver(in QueuedMessage message, TimeSpan delay, DeliveryEnd end, in Moment moment, ref Aftermath aftermath)
    {
        long dueTicks = delay > TimeSpan.Zero ? moment.UtcTicksAfter(delay) : 0;
        if (_conductor.IsDurable && end is (DeliveryEnd.Failed or DeliveryEnd.TimedOut))
        {
            MessageHistory history = message.History!;
            history.IsStored = true;
            aftermath.Commits.Add(new AttemptWrite(_conductor, _conductor.FlushLevel, message.Sequence, history.ToRecord(dueTicks)));
        }
        if (dueTicks != 0)
            _delayed.Add(message, dueTicks);
        else
            Dispatcher.PlaceReturned(message, moment, ref aftermath);
    }

    /// <summary>Prolongs a lease; false if it is not the consumer's any more.</summary>
    public bool Extend(InFlightDelivery delivery, TimeSpan? by, in Moment moment)
    {
        if (delivery.State != LeaseState.Held || delivery.Place == InFlightPlace.None)
            return false;
        delivery.HasEarlyDeadline = false;
        Dispatcher.InFlight.Prolong(delivery, Math.Min(moment.Now + Math.Min(by?.Ticks ?? Dispatcher.LeaseOf(delivery.Consumer), _maxLeaseTicks), delivery.StartedAt + _maxLeaseTicks));
        return true;
    }

    // ---- Time --------------------------------------------------------------------------------------------------------------

    /// <summary>Ends every lease whose time is up: exact, wherever the delivery stands.</summary>
    public void Expire(in Moment moment, ref Aftermath aftermath)
    {
        while (Dispatcher.InFlight.Earliest is { } delivery && delivery.Deadline <= moment.Now)
        {
            LeaseState state = delivery.State;
            long lastDeadline = delivery.StartedAt + _maxLeaseTicks;
            if (state == LeaseState.Held && delivery.HasEarlyDeadline)
            {
                delivery.HasEarlyDeadline = false;
                Dispatcher.InFlight.Prolong(delivery, delivery.StartedAt + Dispatcher.LeaseOf(delivery.Consumer));
            }
            else if (state == LeaseState.Settled)
            {
                // Acked a moment ago, not yet booked: booked here, and skipped when its turn on the stack comes.
                Dispatcher.InFlight.Remove(delivery);
                Dispatcher.Acked(delivery.Size);
            }
            else if (state == LeaseState.Committing)
            {
                // Its transaction is past the point of return and takes it out in a moment.
                Dispatcher.InFlight.Prolong(delivery, moment.Now + TimeSpan.TicksPerSecond);
            }
            else if (moment.Now < lastDeadline && (state == LeaseState.Frozen || (state == LeaseState.Held && delivery.Consumer.RenewsLeases)))
            {
                Dispatcher.InFlight.Prolong(delivery, Math.Min(moment.Now + Dispatcher.LeaseOf(delivery.Consumer), lastDeadline));
            }
            else if (state == LeaseState.Offered)
            {
                if (Dispatcher.TryTakeBack(delivery))
                    Dispatcher.PlaceReturned(delivery.Queued, moment, ref aftermath);
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
            Readmit(message, moment, ref aftermath);
    }

    // What has failed, or ended the process, as often as it may is not tried again: the store has refused to let it go, or the process ended before it could.
    private void Readmit(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (message.History is { FailedAttempts: > 0 } history && Decide(message, DeliveryEnd.Failed) is { Fate: not Fate.Redeliver } decision)
            GiveUp(message, decision, default, history.TakeSlot(), moment, ref aftermath);
        else
            Dispatcher.PlaceReturned(message, moment, ref aftermath);
    }

    /// <summary>When the queue has to be looked at next. The wall clock may jump, so a wait for it is cut at a minute.</summary>
    public long NextDeadline(in Moment moment)
    {
        long next = Dispatcher.InFlight.Earliest?.Deadline ?? long.MaxValue;
        if (_delayed.EarliestDueTicks is { } due)
            next = Math.Min(next, moment.Now + Math.Clamp(due - moment.Utc.UtcTicks, 0, TimeSpan.TicksPerMinute));
        if (_delayed.HasPaged && _delayed.NextPagedDueTicks(moment.Utc.UtcTicks) is { } paged)
            next = Math.Min(next, moment.Now + Math.Min(paged - moment.Utc.UtcTicks, TimeSpan.TicksPerMinute));
        return next;
    }

    // ---- The whole ---------------------------------------------------------------------------------------------------------

    /// <summary>Ends all waits, of senders and receivers, with the same error; or, without one, receives with nothing.</summary>
    public void EndWaits(Exception? forSenders, Func<PendingReceive, Exception?> forReceivers, ref Aftermath aftermath)
    {
        while (forSenders is not null && Gate.FirstWaiting is { } send)
        {
            Gate.Leave(send);
            send.Fail(forSenders);
            aftermath.Wakes.Add(send);
        }
        while (Dispatcher.Consumers.AnyWaiting is { } receive)
        {
            Dispatcher.StopWaiting(receive);
            receive.Complete(null, forReceivers(receive), ref aftermath);
        }
    }

    // ---- Moves -------------------------------------------------------------------------------------------------------------

    private void PlaceAll(PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        if (send.IsPlain)
        {
            Dispatcher.PlaceNew(send.Queued, moment, ref aftermath);
            return;
        }
        for (int i = 0; i < send.MessageCount; i++)
            Place(send.QueuedAt(i), moment, ref aftermath);
    }

    private void Place(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (message.History is { ScheduledTicks: not 0 })
            PlaceScheduled(message, moment, ref aftermath);
        else
            Dispatcher.PlaceNew(message, moment, ref aftermath);
    }

    private void PlaceScheduled(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        long due = message.History!.ScheduledTicks;
        long now = moment.Utc.UtcTicks;
        if (_conductor.IsDurable)
        {
            if (_delayed.AddStored(message, now))
                return;
        }
        else if (due > now)
        {
            _delayed.Add(message, due);
            return;
        }
        Dispatcher.PlaceReturned(message, moment, ref aftermath);
    }

    private PendingSettle? Depart(in QueuedMessage message, Departure departure, bool awaited, ref Aftermath aftermath, int slot)
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
        _books.Leaving.Add(message.Size);
        PendingSettle settle = PendingSettle.Rent(_conductor, _conductor.FlushLevel, message, departure, awaited, slot);
        aftermath.Commits.Add(settle);
        return settle;
    }

    // The oldest ready messages of the lowest band leave until there is room. Their places are the newcomers' from now on.
    private Victims? Evict(long messages, long bytes, bool mayBeUndone, ref Aftermath aftermath)
    {
        bool keep = (Options.DeadLetterOn & DeadLetterReasons.Overflow) != 0;
        bool leaveLater = _conductor.IsDurable || mayBeUndone;
        Victims? victims = keep || leaveLater ? new Victims(keep) : null;
        ref long count = ref keep ? ref Counts.DeadLettered : ref Counts.Dropped;
        while (!Gate.HasRoom(messages, bytes) && Dispatcher.Ready.TryTakeVictim(out QueuedMessage victim))
        {
            Gate.GiveBack(1, victim.Size);
            count++;
            victims?.Messages.Add(victim);
            Dispatcher.Slots?.Forget(victim);
        }
        if (leaveLater || victims is null)
            return victims;
        // The newcomers of a transient queue wait for no commit, not even for that of the dead letters.
        aftermath.Evict(null, victims);
        return null;
    }
}
