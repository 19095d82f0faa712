using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What the store's answers mean to a queue: a commit is applied, a refusal puts everything back, after a failure nobody knows.</summary>
internal sealed class QueueCommits(QueueConductor queue) : ICommitTarget
{
    public void Committed(ReadOnlySpan<CommitWork> run, ref WakeList wakes) => queue.Step(new Share(queue, run), ref wakes, static (core, share, in moment, ref aftermath) =>
    {
        foreach (CommitWork work in share.Run)
        {
            switch (work)
            {
                case PendingSend send:
                    core.Stored(send, moment, ref aftermath);
                    if (share.Queue.Deletion is { } deletion)
                        send.Fail(deletion);
                    else
                        send.Accept(share.Queue.Durability);
                    aftermath.Wakes.Add(send);
                    break;
                case PendingSettle settle:
                    core.Departed(settle.Departure, settle.Message.Size);
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
                core.Stay(x.settle.Message, moment, ref aftermath, x.settle.Receive is null ? default : QueueCore.RefusalPause);
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

    // A queue's share of a batch.
    private readonly ref struct Share(QueueConductor queue, ReadOnlySpan<CommitWork> run)
    {
        public QueueConductor Queue { get; } = queue;

        public ReadOnlySpan<CommitWork> Run { get; } = run;
    }
}
