using System.Runtime.CompilerServices;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>The deliveries of one durable queue in the store's witness: which messages a consumer has, for whoever opens the store after this process. Under the queue's lock, but for <see cref="Start"/>.</summary>
/// <remarks>
/// A delivery has a slot from the moment it is handed out until its settle is committed or the message is back in the queue. Writing costs no system call and
/// no lock of its own: the queue keeps two magazines of free slots and goes to the witness only when both are empty or full.
/// </remarks>
internal sealed class DeliverySlots(Witness witness, uint queue)
{
    // The slot of a delivery that found none: counted, so that the next opening knows that its list has gaps.
    private const int Untracked = -1;

    // None until the first delivery.
    private SlotMagazine? _magazine;
    private SlotMagazine? _spare;

    /// <summary>Puts a delivery on record, before anybody sees it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Take(InFlightDelivery delivery)
    {
        MessageHistory? history = delivery.History;
        int slot = history is { Slot: not 0 } ? history.TakeSlot() : Pop();
        delivery.Slot = slot;
        if (slot > 0)
            witness.Slots.Take(slot, delivery.Sequence, Word(delivery, delivery.State == LeaseState.Held ? SlotState.Started : Offered(delivery)));
        else
            witness.CountUntracked(+1);
    }

    /// <summary>Its consumer has it now. Off the lock: should the delivery have lost its lease and its slot in this instant, nothing is changed.</summary>
    public static void Start(InFlightDelivery delivery)
    {
        if (delivery.Slot > 0)
            delivery.Queue.Broker.Witness!.Slots.Change(delivery.Slot, Word(delivery, Offered(delivery)), Word(delivery, SlotState.Started));
    }

    /// <summary>Its consumer is done with it, and it is not to blame for what comes; the store has yet to hear of it.</summary>
    public void Settle(InFlightDelivery delivery) => Set(delivery, SlotState.Seen);

    /// <summary>The store has refused: it is its consumer's again.</summary>
    public void Restart(InFlightDelivery delivery) => Set(delivery, SlotState.Started);

    /// <summary>The message is back in the queue as if it had not been handed out: nobody saw it, or who did is to say nothing. What was seen before that remains on record.</summary>
    public void PutBack(InFlightDelivery delivery)
    {
        if (delivery is { IsRedelivered: true, History: { } history, Slot: > 0 })
        {
            Set(delivery, SlotState.Seen);
            history.Slot = delivery.Slot;
            delivery.Slot = 0;
            return;
        }
        Forget(delivery);
    }

    /// <summary>The message is back in the queue, and its consumer had it. One that is suspect still remains on record.</summary>
    public void Return(InFlightDelivery delivery)
    {
        if (delivery.History is { IsSuspect: true })
            PutBack(delivery);
        else
            Forget(delivery);
    }

    /// <summary>Takes a delivery off the record.</summary>
    public void Forget(InFlightDelivery delivery)
    {
        Free(delivery.Slot);
        delivery.Slot = 0;
    }

    /// <summary>Takes a message off the record that nobody has, and nobody will have.</summary>
    public void Forget(in QueuedMessage message) => Free(message.History?.TakeSlot() ?? 0);

    /// <summary>Takes it off the record; 0 is none.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Free(int slot)
    {
        if (slot > 0)
        {
            witness.Slots.Set(slot, 0);
            if (_magazine is not { IsFull: false } magazine)
                magazine = MakeRoom();
            magazine.Push(slot);
        }
        else if (slot == Untracked)
        {
            witness.CountUntracked(-1);
        }
    }

    private static SlotState Offered(InFlightDelivery delivery) => delivery.IsRedelivered ? SlotState.OfferedAgain : SlotState.Offered;

    private static ulong Word(InFlightDelivery delivery, SlotState state) =>
        WitnessSlots.Word(delivery.Queue.Id, delivery.Sequence, state, delivery.History is { IsSuspect: true }, delivery.Message.Priority);

    private void Set(InFlightDelivery delivery, SlotState state)
    {
        if (delivery.Slot > 0)
            witness.Slots.Set(delivery.Slot, WitnessSlots.Word(queue, delivery.Sequence, state, delivery.History is { IsSuspect: true }, delivery.Message.Priority));
    }

    private int Pop() => _magazine is { Count: > 0 } || TryRefill() ? _magazine!.Pop() : Untracked;

    private bool TryRefill()
    {
        SlotMagazine? empty = _magazine;
        if (_spare is { } spare)
        {
            _magazine = spare;
            _spare = null;
        }
        else if (witness.Slots.TryTake() is { } full)
        {
            _magazine = full;
        }
        else
        {
            return false;
        }
        if (empty is not null)
            witness.Slots.GiveEmpty(empty);
        return true;
    }

    // One full one is kept, so that a queue whose deliveries go up and down around the border does not go to the witness each time.
    private SlotMagazine MakeRoom()
    {
        if (_spare is { } spare)
            witness.Slots.Give(spare);
        _spare = _magazine;
        return _magazine = witness.Slots.TakeEmpty();
    }
}
