using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>What is done to a queue as a whole, now and then: options, pause, purge, snapshot, recovery, the end. Each is one step under the conductor's lock.</summary>
internal readonly struct QueueUpkeep(QueueConductor queue)
{
    /// <summary>Counts the messages of a lane that the store holds; they are read when it is their turn.</summary>
    public void Recover(int band, Tally messages, long lastSequence) =>
        queue.Step((band, messages, lastSequence), static (core, x, in _, ref _) => core.Recover(x.band, x.messages, x.lastSequence));

    /// <summary>Counts a band's scheduled messages that the store holds; they are read as their time comes.</summary>
    public void RecoverScheduled(int band, Tally messages, long lastSequence) =>
        queue.Step((band, messages, lastSequence), static (core, x, in _, ref _) => core.RecoverScheduled(x.band, x.messages, x.lastSequence));

    /// <summary>What makes messages of stored records.</summary>
    public LanePages Pages
    {
        get
        {
            var pages = new LanePages[1];
            queue.Step(pages, static (core, pages, in _, ref _) => pages[0] = core.Pages!);
            return pages[0];
        }
    }

    /// <summary>Looks at the clock for the first time, after recovery.</summary>
    public void Start()
    {
        LanePages? pages = null;
        queue.Step((Action<LanePages?>)(own => pages = own), static (core, set, in _, ref _) => set(core.Gate.Policy == OverflowPolicy.DropOldest ? core.Pages : null));
        pages?.ReadFirst();
    }

    /// <summary>Whoever waits may be served now, though nothing in this queue has changed.</summary>
    public void Look() => queue.Step(0, static (_, _, in _, ref _) => { });

    /// <summary>Sees to it that so many deliveries find slots in the witness, which cannot grow under a lock.</summary>
    public void MakeRoomForDeliveries(int count)
    {
        if (!queue.IsDurable || queue.Broker.Witness is not { } witness || count <= witness.Slots.Free)
            return;
        int[] wanted = [count];
        queue.Step(wanted, static (core, wanted, in _, ref _) => wanted[0] = core.Dispatcher.CountUpTo(wanted[0]));
        while (witness.Slots.Free < wanted[0] && WitnessGrowth.TryGrow(witness, queue.Log)) { }
    }

    /// <summary>Makes options effective.</summary>
    public void Apply(QueueOptions options) => queue.Step((queue, options), static (core, x, in moment, ref aftermath) =>
    {
        core.Apply(x.options);
        // Whoever waits for more than there can ever be now would block the line behind it.
        for (PendingSend? send = core.Gate.FirstWaiting; send is not null;)
        {
            PendingSend? next = send.NextWaiting;
            if (send.Bytes > core.Gate.MaxBytes || send.MessageCount > core.Gate.MaxMessages)
            {
                core.Gate.Leave(send);
                send.Fail(QueueErrors.Oversized(x.queue.Name, x.options, x.queue.Broker.MaxMessageBytes, send.Bytes, send.MessageCount));
                aftermath.Wakes.Add(send);
            }
            send = next;
        }
    });

    public void SetPaused(QueueFlow flow, bool paused)
    {
        queue.EnsureOpen();
        queue.Step((queue, flow, paused), static (core, x, in moment, ref aftermath) =>
        {
            if ((x.flow & QueueFlow.Sending) != 0)
            {
                core.Gate.Prepaid.CallBack(core.Gate);
                core.Gate.IsPaused = x.paused;
                if (!x.paused)
                    JudgeLine(core, x.queue.Name, moment, ref aftermath);
            }
            if ((x.flow & QueueFlow.Receiving) != 0)
                core.Dispatcher.IsPaused = x.paused;
            if (core.Dispatcher.IsPaused)
                core.Dispatcher.TakeBackSetAside();
        });
    }

    public QueueSnapshot Snapshot()
    {
        var result = new QueueSnapshot[1];
        queue.Step(result, static (core, result, in moment, ref _) => result[0] = core.Audit.Snapshot(moment) with { Unreadable = core.Pages?.Unreadable ?? 0 });
        return result[0];
    }

    /// <inheritdoc cref="Purge"/>
    public async ValueTask<long> PurgeAsync(CancellationToken ct)
    {
        ct.ThrowIfCancellationRequested();
        // One after the other: a second one would find, among what the first is removing, what was scheduled since.
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task before = queue.Commits.FollowPurge(ended.Task);
        try
        {
            if (!before.IsCompleted)
                await before.CountedOn(queue.Broker.Scheduler);
            var purge = new Purge(queue);
            queue.Step(purge, static (core, purge, in moment, ref aftermath) => purge.Begin(core));
            await purge.RunAsync().CountedOn(queue.Broker.Scheduler);
            return purge.Count;
        }
        finally
        {
            ended.SetResult();
        }
    }

    /// <summary>Closes the queue to everybody: every wait ends, and every later call gets <paramref name="reason"/>. Leases stay until <see cref="LoseLeases"/>.</summary>
    public void Close(Exception reason, bool deleted) => queue.Step((queue, reason, deleted), static (core, x, in moment, ref aftermath) =>
    {
        if (x.queue.Closure is not null)
            return;
        x.queue.Closure = x.reason;
        x.queue.Deletion = x.deleted ? x.reason : null;
        core.Gate.Prepaid.CallBack(core.Gate);
        core.Dispatcher.TakeBackSetAside();
        // A receiver hears of the end by false; a single receive has to be told why.
        core.EndWaits(x.reason, receive => receive.IsSignal ? null : x.reason, ref aftermath);
    });

    /// <summary>Closes the queue for good; of a durable one, if the store takes the deletion: <see cref="EndDeletion"/>.</summary>
    public void BeginDeletion(QueueNotFoundException reason)
    {
        if (queue.IsDurable)
            queue.Step(queue, static (_, queue, in _, ref _) => queue.Commits.Undecided = []);
        Close(reason, deleted: true);
    }

    /// <summary>The store has answered: the queue is gone or, if the deletion was refused, open again with what was in it. Sends that were committed meanwhile are told.</summary>
    /// <param name="error">Why it is not deleted; null if it is.</param>
    public void EndDeletion(StoreException? error) => queue.Step((queue, error), static (core, x, in moment, ref aftermath) =>
    {
        Exception? toSenders = x.error is { Fault: not StoreFault.Refused } failure ? x.queue.Broker.Tell(failure) : null;
        if (x.error is { Fault: StoreFault.Refused })
            x.queue.Closure = x.queue.Deletion = null;
        foreach (PendingSend send in x.queue.Commits.Undecided ?? [])
        {
            if ((toSenders ?? x.queue.Deletion) is { } reason)
                send.Fail(QueueErrors.Again(reason));
            else
                send.Accept(x.queue.Durability);
            aftermath.Wakes.Add(send);
        }
        x.queue.Commits.Undecided = null;
    });

    /// <summary>The store has stopped: whoever waits on a durable queue is told.</summary>
    public void StoreStopped(StoreException fault) => queue.Step(fault, static (core, fault, in _, ref aftermath) =>
    {
        core.Dispatcher.TakeBackSetAside();
        core.EndWaits(fault, _ => fault, ref aftermath);
    });

    /// <summary>Takes every lease away: the broker is closed, or the queue deleted.</summary>
    public void LoseLeases() => queue.Step(0, static (core, _, in _, ref aftermath) => core.Dispatcher.LoseAllLeases(ref aftermath));

    // Sending goes on: under a policy that lets nobody wait, whoever the pause has put in line is judged now, in order.
    private static void JudgeLine(QueueCore core, string name, in Moment moment, ref Aftermath aftermath)
    {
        if (core.Gate.Policy == OverflowPolicy.Backpressure)
            return;
        // Out of the line first, all of them: while others stand in it, whoever finds no room is taken for one that overtakes.
        for (PendingSend? send = core.Gate.TakeLine(); send is not null;)
        {
            PendingSend? next = send.NextWaiting;
            send.PreviousWaiting = send.NextWaiting = null;
            GateVerdict verdict = core.Judge(send.MessageCount, send.Bytes, mayWait: true, moment, ref aftermath, out Victims? victims, send.IsReservation);
            if (verdict == GateVerdict.Admit)
            {
                core.Admit(send, victims, moment, ref aftermath);
            }
            else
            {
                if (verdict == GateVerdict.Drop)
                    send.Complete(new SendReceipt(SendOutcome.Dropped));
                else
                    send.Fail(QueueErrors.Full(name, core.Options, waited: false));
                aftermath.Wakes.Add(send);
            }
            send = next;
        }
    }
}
