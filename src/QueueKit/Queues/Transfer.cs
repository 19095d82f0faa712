using System.Threading.Tasks.Sources;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>A step of a <see cref="Transfer"/> in one queue, under that queue's lock.</summary>
internal interface ITransferStep
{
    void Take(QueueCore core, in Moment moment, ref Aftermath aftermath);
}

/// <summary>Messages that arrive in some queues and leave others, all or none: a transaction, or a move to the dead letters.</summary>
/// <remarks>
/// Each queue's lock is taken by itself, never two at once: places are taken, what leaves is taken out, one commit decides, and then each
/// queue applies its share. Between the commit and the last share an observer may see a part; nothing can fail there any more.
/// Where no queue is durable there is no commit, and the decision is the point where the leases are claimed.
/// </remarks>
internal sealed class Transfer(BrokerContext broker) : CommitWork, ICommitTarget, IValueTaskSource
{
    private readonly List<Arrival> _arrivals = [];
    private readonly List<Exit> _exits = [];
    private readonly List<(QueueConductor Queue, Victims Victims)> _victims = [];
    private List<(StoreKey Key, byte[] Record)>? _watermarks;
    private Completion<bool> _done;
    private PendingSend? _newcomer;
    private string? _unattended;
    private Exception? _error;
    // Set where it wrote nothing, because a queue that was to get a message was gone from the store before it.
    private QueueConductor? _gone;

    public override ICommitTarget Target => this;

    /// <summary>Completes when everything is applied; faults when nothing is. Awaited once.</summary>
    public ValueTask Done => new(this, _done.Version);

    /// <summary>Adds a message for which a place has been taken.</summary>
    public void Arrive(QueueConductor queue, Message message, DeadLetterInfo? deadLetter = null) => _arrivals.Add(new Arrival(queue, message, deadLetter));

    /// <summary>Moves a source's watermark in the same commit, which is then flushed: the source forgets what is behind it.</summary>
    public void Mark(Guid source, long position)
    {
        Level = FlushLevel.Flushed;
        (_watermarks ??= []).Add((WatermarkRecord.KeyOf(source), WatermarkRecord.Encode(source, position)));
    }

    /// <summary>Adds ready messages that make room for an arrival and, if they are kept, their dead letters.</summary>
    public void Evict(QueueConductor queue, Victims victims)
    {
        _victims.Add((queue, victims));
        if (victims.AreKept)
            broker.DeadLetters.Keep(this, queue, victims);
    }

    /// <summary>Adds a send that was admitted to a durable queue, with the dead letters of its victims. Its sender waits for the send, and hears of its end by that.</summary>
    public void Bring(PendingSend newcomer)
    {
        _newcomer = newcomer;
        broker.DeadLetters.Keep(this, newcomer.Queue, newcomer.Victims!);
    }

    /// <summary>Adds a message that its queue has given up and counts as leaving.</summary>
    public void Leave(QueueConductor queue, CondemnedMessage condemned, bool keep) =>
        _exits.Add(new Exit(queue, condemned.Message, keep ? ExitKind.DeadLettered : ExitKind.Discarded, condemned));

    /// <summary>Takes a delivery, whose lease is claimed, out of its queue as its settlement says; a dead letter among them arrives in its queue.</summary>
    public void Leave(InFlightDelivery delivery, Settlement settlement)
    {
        QueueConductor queue = delivery.Queue;
        var step = new LeaveStep(delivery, settlement);
        queue.Step(step);
        Exit exit = step.Result!;
        _exits.Add(exit);
        if (exit.Kind == ExitKind.DeadLettered && !broker.DeadLetters.TryArrive(this, queue, exit.Condemned))
            exit.Kind = ExitKind.Discarded;
    }

    /// <summary>The same for a move to the dead letters, which nobody awaits. If it fails the messages are back in their queue (or the store has stopped, which everybody hears of); it must not go unseen.</summary>
    public void BeginUnattended(QueueConductor source)
    {
        _unattended = source.Name;
        Begin();
    }

    /// <summary>Commits, if any queue concerned is durable, and applies.</summary>
    public void Begin()
    {
        bool isDurable = _newcomer is not null || _watermarks is not null;
        Level = _newcomer?.Level ?? Level;
        foreach (QueueConductor queue in Queues())
        {
            if (!queue.IsDurable)
                continue;
            isDurable = true;
            if (queue.FlushLevel > Level)
                Level = queue.FlushLevel;
        }
        var moment = new Moment(broker.Clock.Now, broker.Clock);
        foreach (Arrival arrival in _arrivals)
            arrival.Prepare(moment);
        if (isDurable)
            broker.Pipeline!.Enqueue(this);
        else
            Apply();
    }

    public override void WriteTo(StoreBatch batch, ref long sequence)
    {
        _gone = FindGone();
        if (_gone is not null)
            return;
        foreach ((StoreKey key, byte[] record) in _watermarks ?? [])
            batch.Put(key, record);
        _newcomer?.WriteTo(batch, ref sequence);
        foreach (Arrival arrival in _arrivals)
        {
            if (arrival.Queue.IsDurable && arrival.Queue.Commits.TryBeginWrite(batch))
                arrival.WriteTo(batch, ++sequence);
        }
        foreach ((QueueConductor queue, Victims victims) in _victims)
        {
            foreach (QueuedMessage victim in queue.IsDurable ? victims.Messages : [])
                StoredMessage.WriteRemoval(batch, queue.Id, victim);
        }
        foreach (Exit exit in _exits)
        {
            if (!exit.Queue.IsDurable || exit.Queue.Commits.IsGone)
                continue;
            if (exit.Kind != ExitKind.Returned)
                StoredMessage.WriteRemoval(batch, exit.Queue.Id, exit.Message);
            else if (exit.Message.History is { IsStored: true, FailedAttempts: > 0 } history)
                history.ToRecord(exit.DueTicks).WriteTo(batch, exit.Queue.Id, exit.Message.Sequence);
        }
    }

    public void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes)
    {
        foreach (CommitWork work in run)
            ((Transfer)work).Committed(ref wakes);
    }

    public override void Refused(StoreException reason)
    {
        Undo(reason, nothingWritten: true);
        _newcomer?.Refused(reason);
    }

    // What is stored is unknown, and the durable queues deliver nothing any more: theirs stay what they are. Transient ones go on, so they get theirs back.
    public override void Failed(StoreException reason)
    {
        Undo(broker.Tell(reason), nothingWritten: false);
        _newcomer?.Failed(reason);
    }

    void IValueTaskSource.GetResult(short token) => _done.GetResult(token);

    ValueTaskSourceStatus IValueTaskSource.GetStatus(short token) => _done.GetStatus(token);

    void IValueTaskSource.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _done.OnCompleted(continuation, state, token, flags, this);

    protected override void Run()
    {
        if (_unattended is null && _error is not null)
            _done.SetException(_error);
        else
            _done.SetResult(true);
        // The sender of a newcomer hears of it himself.
        if (_unattended is not null && _error is not null && _newcomer is null)
            broker.Log.DeadLetterMoveFailed(_unattended, _error.Message);
    }

    private void Committed(ref WakeList wakes)
    {
        if (_gone is not null)
        {
            Undo(QueueErrors.Gone(_gone.Name), nothingWritten: true);
            if (_newcomer is not null && _gone == _newcomer.Queue)
                _gone.Commits.TooLate(_newcomer);
            else if (_newcomer is not null)
                broker.DeadLetters.ReplaceAgain(_newcomer);
            return;
        }
        _newcomer?.Target.Committed([_newcomer], ref wakes);
        foreach (Arrival arrival in _arrivals)
            arrival.Queue.Commits.WriteUnstoredRecord = null;
        Apply();
    }

    private void Apply()
    {
        foreach (QueueConductor queue in Queues())
            queue.Step(new ApplyStep(this, queue));
        Finish(null);
    }

    private void Undo(Exception reason, bool nothingWritten)
    {
        foreach (QueueConductor queue in Queues())
            queue.Step(new UndoStep(this, queue, nothingWritten));
        Finish(reason);
    }

    private sealed class ApplyStep(Transfer transfer, QueueConductor queue) : ITransferStep
    {
        public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
        {
            foreach (Arrival arrival in transfer._arrivals)
            {
                if (arrival.Queue != queue)
                    continue;
                if (!queue.IsDurable)
                    arrival.Sequence = core.Intake.NextNumber();
                core.PlaceEntitled(arrival.Queued, moment, ref aftermath);
            }
            foreach (Exit exit in transfer._exits)
            {
                if (exit.Queue != queue)
                    continue;
                core.Dispatcher.Slots?.Free(exit.Slot);
                switch (exit.Kind)
                {
                    case ExitKind.Acked:
                        core.Departed(Departure.Acked, exit.Message.Size);
                        break;
                    case ExitKind.DeadLettered:
                    case ExitKind.Discarded when exit.Condemned.Info is not null:
                        core.DeadLettered(exit.Condemned, isKept: exit.Kind == ExitKind.DeadLettered);
                        break;
                    case ExitKind.Discarded:
                        core.Departed(Departure.Discarded, exit.Message.Size);
                        break;
                    default:
                        core.Stay(exit.Message, moment, ref aftermath, exit.Delay);
                        break;
                }
            }
        }
    }

    private sealed class UndoStep(Transfer transfer, QueueConductor queue, bool nothingWritten) : ITransferStep
    {
        public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
        {
            bool isUnknown = queue.IsDurable && !nothingWritten;
            foreach (Arrival arrival in transfer._arrivals)
            {
                if (arrival.Queue != queue || isUnknown)
                    continue;
                core.GiveBackEntitled(1, arrival.Message.Size);
                core.Counts.Letters -= arrival.IsDeadLetter ? 1 : 0;
            }
            foreach ((QueueConductor of, Victims victims) in transfer._victims)
            {
                if (of == queue && !isUnknown)
                    core.NotEvicted(victims, moment, ref aftermath);
            }
            foreach (Exit exit in transfer._exits)
            {
                if (exit.Queue != queue)
                    continue;
                if (nothingWritten && exit.Delivery is null)
                    core.Dispatcher.Slots?.Free(exit.Slot);
                if (nothingWritten && exit.Delivery is { } delivery)
                    core.UndoLeave(delivery, exit.End, moment);
                else if (exit.Condemned.Info is not null)
                    core.Stay(exit.Message, moment, ref aftermath, QueueCore.RefusalPause);
                else if (!isUnknown)
                    core.Stay(exit.Message, moment, ref aftermath);
            }
            // The leases that are given back would outlive those that the close took away.
            if (queue.Closure is not null)
                core.Dispatcher.LoseAllLeases(ref aftermath);
        }
    }

    private QueueConductor? FindGone() =>
        _newcomer is { Queue.Commits.IsGone: true } ? _newcomer.Queue : _arrivals.Find(static arrival => arrival.Queue.Commits.IsGone)?.Queue;

    private HashSet<QueueConductor> Queues()
    {
        var queues = new HashSet<QueueConductor>();
        foreach ((QueueConductor queue, _) in _victims)
            queues.Add(queue);
        foreach (Arrival arrival in _arrivals)
            queues.Add(arrival.Queue);
        foreach (Exit exit in _exits)
            queues.Add(exit.Queue);
        return queues;
    }

    private void Finish(Exception? error)
    {
        _error = error;
        broker.Scheduler.Schedule(this);
    }
}

/// <summary>A message that arrives in a queue with a <see cref="Transfer"/>.</summary>
internal sealed class Arrival(QueueConductor queue, Message message, DeadLetterInfo? deadLetter)
{
    private long _enqueuedAt;
    private EncodedMessage _encoded;

    public QueueConductor Queue => queue;

    public Message Message => message;

    public bool IsDeadLetter => deadLetter is not null;

    public long DueTicks { get; private set; }

    public long Sequence { get; set; }

    public QueuedMessage Queued => new(message, Sequence, _enqueuedAt,
        DueTicks == 0 && deadLetter is null ? null : new MessageHistory { ScheduledTicks = DueTicks, DeadLetter = deadLetter });

    public void Prepare(in Moment moment)
    {
        _enqueuedAt = moment.Now;
        DueTicks = message.IsScheduled ? StoredMessage.DueTicksOf(message, moment) : 0;
        if (!queue.IsDurable)
            return;
        _encoded = MessageRecord.Encode(message, deadLetter);
        MessageRecord.Stamp(ref _encoded, moment.Utc);
    }

    public void WriteTo(StoreBatch batch, long sequence)
    {
        Sequence = sequence;
        StoreKey key = StoredMessage.KeyOf(queue.Id, message.Priority, DueTicks, sequence);
        StoredMessage.Write(batch, key, _encoded, message.Size);
    }
}

/// <summary>How a message leaves a queue with a <see cref="Transfer"/>.</summary>
internal enum ExitKind
{
    /// <summary>Acked.</summary>
    Acked,
    /// <summary>To the dead letters, where it arrives with the same transfer.</summary>
    DeadLettered,
    /// <summary>Given up and not kept.</summary>
    Discarded,
    /// <summary>It does not leave: nacked or released, it comes back.</summary>
    Returned,
}

/// <summary>A message that leaves a queue with a <see cref="Transfer"/>; until that is decided it counts as leaving.</summary>
internal sealed class Exit(QueueConductor queue, QueuedMessage message, ExitKind kind, CondemnedMessage condemned = default, TimeSpan delay = default, long dueTicks = 0)
{
    public QueueConductor Queue => queue;

    public QueuedMessage Message => message;

    public ExitKind Kind { get; set; } = kind;

    public CondemnedMessage Condemned => condemned;

    public TimeSpan Delay => delay;

    public long DueTicks => dueTicks;

    /// <summary>Of a transaction: the delivery that ends, which is its consumer's again if the store refuses.</summary>
    public InFlightDelivery? Delivery { get; init; }

    /// <summary>How it ends without an ack.</summary>
    public DeliveryEnd? End { get; init; }

    /// <summary>Of its delivery, in the witness; 0 for none.</summary>
    public int Slot => Delivery?.Slot ?? condemned.Slot;
}

/// <summary>Takes a claimed delivery out of its queue, as its settlement says.</summary>
internal sealed class LeaveStep(InFlightDelivery delivery, Settlement settlement) : ITransferStep
{
    public Exit? Result { get; private set; }

    public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
    {
        core.BeginLeave(delivery);
        delivery.TryMove(LeaseState.Committing, LeaseState.Settled);
        if (settlement.Kind == SettlementKind.Ack)
        {
            Result = new Exit(delivery.Queue, delivery.Queued, ExitKind.Acked) { Delivery = delivery };
            return;
        }
        DeliveryEnd end = RedeliveryPolicy.EndOf(settlement);
        RedeliveryDecision decision = core.Decide(delivery, end, settlement, out QueuedMessage message, mayBeUndone: true);
        switch (decision.Fate)
        {
            case Fate.DeadLetter:
                Result = new Exit(delivery.Queue, message, ExitKind.DeadLettered, new CondemnedMessage(message, core.Obituary(message, decision.Reason, settlement, moment))) { Delivery = delivery, End = end };
                break;
            case Fate.Discard:
                Result = new Exit(delivery.Queue, message, ExitKind.Discarded) { Delivery = delivery, End = end };
                break;
            default:
                message.History!.IsStored |= delivery.Queue.IsDurable && end == DeliveryEnd.Failed;
                Result = new Exit(delivery.Queue, message, ExitKind.Returned, default, decision.Delay, decision.Delay > TimeSpan.Zero ? moment.UtcTicksAfter(decision.Delay) : 0) { Delivery = delivery, End = end };
                break;
        }
    }
}

/// <summary>Takes places for arrivals: as the overflow policy says or, for those entitled by a lease they replace, without waiting.</summary>
internal sealed class ReserveStep(int messages, long bytes, bool isEntitled) : ITransferStep
{
    public int Messages => messages;

    public long Bytes => bytes;

    public GateVerdict Verdict { get; private set; }

    /// <summary>Those that make room; null for none.</summary>
    public Victims? Victims { get; set; }

    public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
    {
        Verdict = core.Judge(messages, bytes, mayWait: !isEntitled, moment, ref aftermath, out Victims? victims, mayBeUndone: true);
        Victims = victims;
        if (isEntitled && Verdict == GateVerdict.Refuse)
        {
            core.Counts.Refused -= messages;
            Verdict = GateVerdict.Admit;
        }
        // Counted when it joins the line.
        if (Verdict == GateVerdict.Wait)
            core.Counts.Waited--;
        if (Verdict != GateVerdict.Admit)
            return;
        core.TakeEntitled(messages, bytes);
        // Dead letters: nobody has sent them.
        core.Counts.Letters += isEntitled ? messages : 0;
    }
}

/// <summary>Takes places for arrivals that replace messages which leave: full or not, whatever the overflow policy.</summary>
internal sealed class ReplaceStep(int messages, long bytes) : ITransferStep
{
    public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath) => core.TakeEntitled(messages, bytes);
}

/// <summary>Gives places back that were taken for arrivals which do not come.</summary>
internal sealed class GiveBackStep(int messages, long bytes, Victims? victims) : ITransferStep
{
    public void Take(QueueCore core, in Moment moment, ref Aftermath aftermath)
    {
        core.GiveBackEntitled(messages, bytes);
        if (victims is not null)
            core.NotEvicted(victims, moment, ref aftermath);
    }
}
