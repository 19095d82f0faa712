namespace QueueKit.Queues;

/// <summary>Sends that have to wait, and waits in a queue that end without what they waited for: cancelled, or out of time. None leaves its place taken.</summary>
internal readonly struct QueueWaits(QueueConductor queue)
{
    /// <summary>What a sender hears of the gate's verdict, if that is not to admit it.</summary>
    public ValueTask<SendReceipt> Answer(GateVerdict verdict, PendingSend? waiting, bool mayWait)
    {
        switch (verdict)
        {
            case GateVerdict.Wait:
                ValueTask<SendReceipt> result = waiting!.AsValueTask;
                waiting.Watch(queue.Broker.Timer);
                return result;
            case GateVerdict.Drop:
                return new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Dropped));
            default:
                return mayWait ? ValueTask.FromException<SendReceipt>(QueueErrors.Full(queue.Name, queue.Options, waited: false)) : new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Refused));
        }
    }

    /// <summary>Withdraws a send that waits for room; one that was admitted is left alone.</summary>
    public void CancelSend(PendingSend send) => EndSend(send, static (send, _, _) => new OperationCanceledException("The send was cancelled while it waited for room; nothing was sent.", send.Cancellation), null);

    /// <summary>Ends a send that has waited for room too long.</summary>
    public void GiveUpSend(PendingSend send, long now) => EndSend(send, static (_, name, options) => QueueErrors.Full(name, options, waited: true), now);

    public void CancelReceive(PendingReceive receive) => EndReceive(receive, static receive => new OperationCanceledException("The receive was cancelled; no message was taken.", receive.Cancellation), null);

    public void GiveUpReceive(PendingReceive receive, long now) => EndReceive(receive, static _ => null, now);

    private void EndSend(PendingSend send, Func<PendingSend, string, QueueOptions, Exception> reason, long? now) =>
        queue.Step((queue, options: queue.Options, send, reason, now), static (core, x, in moment, ref aftermath) =>
        {
            // Booking acks at the door may just have let it in.
            if (!x.send.IsWaiting)
                return;
            if (x.send.Deadline > x.now)
            {
                aftermath.Rearm = (x.send, x.send.Deadline);
                return;
            }
            core.Gate.Leave(x.send);
            if (x.now is not null)
                core.Counts.Refused += x.send.MessageCount;
            x.send.Fail(x.reason(x.send, x.queue.Name, x.options));
            aftermath.Wakes.Add(x.send);
        });

    private void EndReceive(PendingReceive receive, Func<PendingReceive, Exception?> reason, long? now) =>
        queue.Step((receive, reason, now), static (core, x, in moment, ref aftermath) =>
        {
            if (!x.receive.IsWaiting)
                return;
            if (x.receive.Deadline > x.now)
            {
                aftermath.Rearm = (x.receive, x.receive.Deadline);
                return;
            }
            core.Dispatcher.StopWaiting(x.receive);
            x.receive.Complete(null, x.reason(x.receive));
            aftermath.Wakes.Add(x.receive);
        });
}
