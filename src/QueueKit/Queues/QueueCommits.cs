using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What the store's answers mean to a queue: a commit is applied, a refusal puts everything back, after a failure nobody knows.</summary>
internal sealed class QueueCommits(QueueConductor queue) : ICommitTarget
{
    private Task _lastPurge = Task.CompletedTask;

    /// <summary>Writes the queue's own record, if the store has refused it; null otherwise. For the pipeline's thread.</summary>
    public Action<StoreBatch>? WriteUnstoredRecord { get; set; }

    /// <summary>Whether nothing may be put under the queue's id any more, because its deletion stands before in the order of the commits, or its declaration was refused. For the pipeline's thread.</summary>
    /// <remarks>Not everything that is admitted is in the pipeline before the queue closes: what is admitted without the lock, or needs places in several queues, comes a moment later. What it put there would belong to no queue.</remarks>
    public bool IsGone { get; set; }

    /// <summary>Sends that were committed after the queue's deletion had begun, and before the store has said what becomes of that; null while none is under way. Guarded by the queue's lock.</summary>
    public List<PendingSend>? Undecided { get; set; }

    /// <summary>Called before something is put under the queue's id: brings the queue's own record along if the store does not have it. False if the queue is gone.</summary>
    public bool TryBeginWrite(StoreBatch batch)
    {
        if (IsGone)
            return false;
        WriteUnstoredRecord?.Invoke(batch);
        return true;
    }

    /// <summary>Puts a purge behind the one before it, which is returned.</summary>
    public Task FollowPurge(Task ended) => Interlocked.Exchange(ref _lastPurge, ended);

    public void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes) => queue.Step(new Share(queue, run), ref wakes, static (core, share, in moment, ref aftermath) =>
    {
        foreach (CommitWork work in share.Run)
        {
            switch (work)
            {
                case PendingSend { IsTooLate: true } send:
                    EndTooLate(share.Queue, core, send, moment, ref aftermath);
                    break;
                case PendingSend send:
                    share.Queue.Commits.WriteUnstoredRecord = null;
                    core.Stored(send, moment, ref aftermath);
                    if (share.Queue.Commits.Undecided is { } undecided)
                    {
                        undecided.Add(send);
                        break;
                    }
                    send.Accept(share.Queue.Durability);
                    aftermath.Wakes.Add(send);
                    break;
                case PendingSettle settle:
                    core.Departed(settle.Departure, settle.Message.Size);
                    core.Dispatcher.Slots?.Free(settle.Slot);
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
    });

    /// <summary>A send was not written, because the queue is gone.</summary>
    public void TooLate(PendingSend send) =>
        queue.Step((queue, send), static (core, x, in moment, ref aftermath) => EndTooLate(x.queue, core, x.send, moment, ref aftermath));

    /// <summary>The store did not take a send.</summary>
    public void NotCommitted(PendingSend send, StoreException reason) => queue.Step((send, reason, told: queue.Broker.Tell(reason)), static (core, x, in moment, ref aftermath) =>
    {
        // After a failure nobody knows what is stored: the messages are in no state of this process any more, and the queue delivers nothing.
        if (x.reason.Fault == StoreFault.Refused)
            core.NotStored(x.send, moment, ref aftermath);
        x.send.Fail(x.told);
        aftermath.Wakes.Add(x.send);
    });

    /// <summary>The store did not take a departure.</summary>
    public void NotCommitted(PendingSettle settle, StoreException reason)
    {
        if (reason.Fault == StoreFault.Refused)
            queue.Log.SettleRefused(queue.Name, settle.Message.Sequence, reason.Message);
        queue.Step((settle, reason, told: queue.Broker.Tell(reason)), static (core, x, in moment, ref aftermath) =>
        {
            if (x.reason.Fault == StoreFault.Refused)
            {
                // Of what was to be handed over at most once nobody has had it this time; who had it before remains on record.
                if (x.settle is { Departure: Departure.HandedOver, Message.History: { } history })
                    history.Slot = x.settle.Slot;
                else
                    core.Dispatcher.Slots?.Free(x.settle.Slot);
                core.Stay(x.settle.Message, moment, ref aftermath, x.settle.Receive is null ? default : QueueCore.RefusalPause);
            }
            if (x.settle.Receive is { } receive)
            {
                receive.Complete(null, x.told);
                aftermath.Wakes.Add(receive);
            }
            x.settle.Complete(x.told);
            if (x.settle.NeedsWake())
                aftermath.Wakes.Add(x.settle);
        });
    }

    private static void EndTooLate(QueueConductor queue, QueueCore core, PendingSend send, in Moment moment, ref Aftermath aftermath)
    {
        core.NotStored(send, moment, ref aftermath);
        send.Fail(QueueErrors.Gone(queue.Name));
        aftermath.Wakes.Add(send);
    }

    // A queue's share of a batch.
    private readonly ref struct Share(QueueConductor queue, ReadOnlySpan<CommitWork> run)
    {
        public QueueConductor Queue { get; } = queue;

        public ReadOnlySpan<CommitWork> Run { get; } = run;
    }
}
