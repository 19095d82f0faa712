using System.Runtime.CompilerServices;

namespace QueueKit.Queues;

/// <summary>Who gets which message: the ready messages, the consumers that wait, the deliveries that are out, and the moves between them. No lock, no I/O, no clock.</summary>
/// <remarks>Invariants: while a consumer with a free place waits nothing is ready, unless the flow is paused; what is set aside in a hand is in the table as offered.</remarks>
internal sealed class Dispatcher(QueueConductor conductor, QueueBooks books)
{
    private List<Hand>? _hands;
    private bool _mayHaveSetAside;
    private List<PendingReceive>? _looks;

    public LaneScheduler Ready { get; } = new();

    /// <summary>Ready too, but handed out one at a time in the whole broker; before all others.</summary>
    public Suspects Suspects { get; } = new(conductor);

    public InFlightTable InFlight { get; } = new();

    /// <summary>The deliveries in the store's witness; null where there is none.</summary>
    public DeliverySlots? Slots { get; } = conductor.IsDurable && conductor.Broker.Witness is { } witness ? new DeliverySlots(witness, conductor.Id) : null;

    public ConsumerRing Consumers { get; } = new();

    /// <summary>The queue's own lease.</summary>
    public long LeaseTicks { get; set; }

    /// <summary>While set, nothing is handed out.</summary>
    public bool IsPaused { get; set; }

    /// <summary>Whether a receive could have a message at once.</summary>
    public bool CanDeliver => (!Ready.IsEmpty || Suspects.CanDeliver) && !IsPaused;

    /// <summary>What is set aside: in the table, but ready to everybody else.</summary>
    public IEnumerable<InFlightDelivery> SetAside()
    {
        foreach (Hand hand in _mayHaveSetAside ? _hands! : [])
        {
            for (int i = 0; i < hand.Deliveries.Length; i++)
            {
                if (hand.Deliveries[i] is { State: LeaseState.Offered } offered)
                    yield return offered;
            }
        }
    }

    /// <summary>Takes the next message for a consumer that asks for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public InFlightDelivery? TryTake(Consumer consumer, LeaseState state, in Moment moment)
    {
        if (IsPaused || !consumer.HasFreePlace || !TryTakeNext(out QueuedMessage message))
            return null;
        return HandOut(message, consumer, state, moment);
    }

    public void Wait(PendingReceive receive)
    {
        Consumers.Wait(receive);
        if (receive.IsLook)
            (_looks ??= []).Add(receive);
    }

    public void StopWaiting(PendingReceive receive)
    {
        Consumers.Leave(receive);
        EndLook(receive);
    }

    /// <summary>Whether a receive waits for a page of the backlog and nothing else.</summary>
    public bool HasLooks => _looks is { Count: > 0 };

    /// <summary>Ends those receives with nothing: no page is on its way.</summary>
    public void EndLooks(ref Aftermath aftermath)
    {
        while (_looks is { Count: > 0 })
        {
            PendingReceive receive = _looks[0];
            StopWaiting(receive);
            receive.Complete(null, null, ref aftermath);
        }
    }

    private void EndLook(PendingReceive receive)
    {
        if (receive.IsLook)
            _looks!.Remove(receive);
    }

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
            Consumers.Leave(receive);
            receive.Complete(null);
            aftermath.Wakes.Add(receive);
        }
    }

    /// <summary>Pairs what is ready with who waits, in turn.</summary>
    public void Serve(in Moment moment, ref Aftermath aftermath)
    {
        while (!Consumers.IsEmpty && !IsPaused && TryTakeNext(out QueuedMessage message))
            ServeNext(message, moment, ref aftermath);
    }

    /// <summary>A consumer's credit has changed.</summary>
    public void CreditChanged(Consumer consumer) => Consumers.Refresh(consumer);

    /// <summary>Fills a receiver's empty hand: one message is handed over, a few more are set aside.</summary>
    public InFlightDelivery? Fill(Hand hand, Consumer consumer, in Moment moment)
    {
        if (!hand.IsRegistered)
        {
            hand.IsRegistered = true;
            (_hands ??= []).Add(hand);
        }
        LetGo(hand);
        // Nothing is set aside for a receiver that has been given credit meanwhile.
        int count = consumer.CountsUnsettled ? 1 : Hand.CountFor(Ready.Count);
        long deadline = moment.Now + LeaseOf(consumer);
        InFlightDelivery? first = TryTake(consumer, LeaseState.Held, moment);
        if (first is null)
            return null;
        hand.Add(first);
        hand.Next();
        for (int i = 1; i < count && Ready.TryTake(out QueuedMessage message); i++)
        {
            _mayHaveSetAside = true;
            hand.Add(HandOutUntil(deadline, message, consumer, LeaseState.Offered, moment.Now));
        }
        return first;
    }

    /// <summary>Takes what is ready, up to the length of <paramref name="into"/>, for single receives; returns how many.</summary>
    public int TakeMany(Span<InFlightDelivery> into, Consumer consumer, in Moment moment)
    {
        if (IsPaused)
            return 0;
        long deadline = moment.Now + LeaseOf(consumer);
        int taken = 0;
        while (taken < into.Length && TryTakeNext(out QueuedMessage message))
            into[taken++] = HandOutUntil(deadline, message, consumer, LeaseState.Held, moment.Now);
        return taken;
    }

    /// <summary>How many messages could be taken at most, for the size of an array.</summary>
    public int CountUpTo(int max) => (int)Math.Min(max, Ready.Count + (Suspects.IsEmpty ? 0 : 1) + (_mayHaveSetAside ? max : 0));

    public void PlaceReturned(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (message.History is { IsSuspect: true })
        {
            Suspects.Add(message);
            return;
        }
        // It may go before what is set aside.
        TakeBackSetAside();
        if (Consumers.IsEmpty || IsPaused || Ready.HasPaged || !Ready.IsEmpty)
            Ready.Insert(message);
        else
            ServeNext(message, moment, ref aftermath);
    }

    // Younger than all others: to the consumer whose turn it is, or to the end of its lane.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void PlaceNew(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        if (_mayHaveSetAside && message.Band != 0)
            TakeBackSetAside();
        if (Consumers.IsEmpty || IsPaused || Ready.HasPaged)
            Ready.Append(message);
        else
            ServeNext(message, moment, ref aftermath);
    }

    private void ServeNext(in QueuedMessage message, in Moment moment, ref Aftermath aftermath)
    {
        PendingReceive receive = Consumers.Next;
        Consumer consumer = receive.Consumer;
        if (consumer.AtMostOnce && conductor.IsDurable)
        {
            Consumers.Served(receive);
            EndLook(receive);
            // What is deleted before it is handled cannot end the process twice.
            if (message.History is { IsSuspect: true })
                Suspects.Leave(message.Sequence);
            // The deletion first, then the hand-over: the receive waits for the commit, and no token withdraws it any more.
            CountDelivery(message, consumer);
            books.Leaving.Add(message.Size);
            receive.Complete(null);
            var delivery = new InFlightDelivery(message, consumer.Identity, LeaseState.Settled, moment.Now);
            aftermath.Commits.Add(PendingSettle.Rent(conductor, conductor.FlushLevel, message, Departure.HandedOver, slot: message.History?.TakeSlot() ?? 0).For(delivery, receive));
            return;
        }
        // The credit it takes decides whether its consumer stays in the ring.
        InFlightDelivery handedOut = HandOut(message, consumer, LeaseState.Offered, moment);
        Consumers.Served(receive);
        EndLook(receive);
        receive.Complete(handedOut);
        aftermath.Wakes.Add(receive);
    }

    private InFlightDelivery HandOut(in QueuedMessage message, Consumer consumer, LeaseState state, in Moment moment)
    {
        CountDelivery(message, consumer);
        if (consumer.AtMostOnce)
        {
            Acked(message.Size);
            return new InFlightDelivery(message, consumer.Identity, LeaseState.Settled, moment.Now);
        }
        if (consumer.CountsUnsettled)
            consumer.Unsettled++;
        var delivery = new InFlightDelivery(message, consumer.Identity, state, moment.Now);
        Slots?.Take(delivery);
        InFlight.Add(delivery, moment.Now + LeaseOf(consumer), consumer.HasPlainLease);
        return delivery;
    }

    // The plain case, in a row: neither credit nor at most once.
    private InFlightDelivery HandOutUntil(long deadline, in QueuedMessage message, Consumer consumer, LeaseState state, long now)
    {
        CountDelivery(message, consumer);
        var delivery = new InFlightDelivery(message, consumer, state, now);
        Slots?.Take(delivery);
        InFlight.Add(delivery, deadline, consumer.HasPlainLease);
        return delivery;
    }

    /// <summary>Brings the books up to date with every ack that was decided without the lock.</summary>
    public void BookAcks(AckStack? stack)
    {
        BookAcks(stack?.TakeAll());
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
            if (delivery!.State == LeaseState.Settled && InFlight.Remove(delivery))
                Acked(delivery.Size);
        }
    }

    /// <summary>Books acks that were decided without the lock.</summary>
    public void BookAcks(InFlightDelivery? acked)
    {
        while (acked is not null)
        {
            InFlightDelivery? next = acked.NextAcked;
            acked.NextAcked = null;
            // One that timed out in the books in the meantime has been booked there.
            if (InFlight.Remove(acked))
                Acked(acked.Size);
            acked = next;
        }
    }

    /// <summary>Takes everything back that is set aside: something goes before it, or the flow stops.</summary>
    public void TakeBackSetAside()
    {
        while (_mayHaveSetAside && TryTakeBack(out QueuedMessage message))
            Ready.Insert(message);
    }

    /// <summary>Takes a delivery back that nobody has seen: as if it had never been offered.</summary>
    public bool TryTakeBack(InFlightDelivery offered)
    {
        if (!offered.TryMove(LeaseState.Offered, LeaseState.Lost))
            return false;
        Slots?.PutBack(offered);
        TakeFromConsumer(offered);
        books.Counts.Delivered--;
        if (offered.Consumer.ForHandlers)
            books.Counts.ToHandlers--;
        if (offered.IsRedelivered)
            books.Counts.Redelivered--;
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

    private bool TryTakeNext(out QueuedMessage message) =>
        (!Suspects.IsEmpty && Suspects.TryTake(out message)) || Ready.TryTake(out message) || (_mayHaveSetAside && TryTakeBack(out message));

    private void CountDelivery(in QueuedMessage message, Consumer consumer)
    {
        books.Counts.Delivered++;
        if (consumer.ForHandlers)
            books.Counts.ToHandlers++;
        if (message.History is { Delivered: true })
            books.Counts.Redelivered++;
    }

    public void TakeFromConsumer(InFlightDelivery delivery)
    {
        InFlight.Remove(delivery);
        if (delivery.History is { IsSuspect: true })
            Suspects.Leave(delivery.Sequence);
        if (delivery.Slot != 0)
            Slots!.Settle(delivery);
        Consumer consumer = delivery.Consumer;
        if (delivery.IsCounted)
        {
            consumer.Unsettled--;
            // If it waits it is served at the end of the lock hold, when this delivery's own message has found its place.
            Consumers.Refresh(consumer);
        }
    }

    public long LeaseOf(Consumer consumer) => consumer.HasPlainLease ? LeaseTicks : consumer.OwnLeaseTicks;

    public void Acked(long size)
    {
        books.Gate.GiveBack(1, size);
        books.Counts.Acked++;
    }

    /// <summary>Takes every lease away: the broker closes, or the queue is deleted. The messages stay in the books as ready, and nobody gets them.</summary>
    public void LoseAllLeases(ref Aftermath aftermath)
    {
        var committing = new List<InFlightDelivery>();
        while (InFlight.Earliest is { } delivery)
        {
            LeaseState state = delivery.State;
            if (state == LeaseState.Committing)
            {
                // Its transaction is past the point of return and takes it out in a moment.
                InFlight.Remove(delivery);
                committing.Add(delivery);
            }
            else if (state == LeaseState.Settled)
            {
                InFlight.Remove(delivery);
                Acked(delivery.Size);
            }
            else if (delivery.TryMove(state, LeaseState.Lost))
            {
                if (delivery.ExtrasIfAny is { } extras)
                    aftermath.Wakes.Add(extras);
                // What somebody had stays on record: as seen, for whoever opens the store next.
                if (conductor.Deletion is not null)
                    Slots?.Forget(delivery);
                else if (state == LeaseState.Offered)
                    Slots?.PutBack(delivery);
                TakeFromConsumer(delivery);
                Ready.Insert(delivery.Queued.AsDelivered());
            }
        }
        committing.ForEach(delivery => InFlight.Add(delivery, delivery.Deadline, plain: false));
    }
}
