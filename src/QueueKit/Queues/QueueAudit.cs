using System.Diagnostics;
using QueueKit.Diagnostics;

namespace QueueKit.Queues;

/// <summary>Looks at a whole queue at once: for a snapshot, and to check the invariants in Debug builds.</summary>
internal sealed class QueueAudit(QueueConductor conductor, QueueBooks books, Dispatcher dispatcher, DelayedMessages delayed)
{
    public QueueSnapshot Snapshot(in Moment moment)
    {
        long now = moment.Now;
        // What stays out is on its way into the store.
        books.Gate.Prepaid.CallBack(books.Gate);
        Tally prepaid = books.Gate.Prepaid.Out;
        Tally setAside = default;
        long redelivered = 0;
        long? readySince = dispatcher.Suspects.OldestEnqueuedAt(dispatcher.Ready.OldestEnqueuedAt());
        foreach (InFlightDelivery delivery in dispatcher.SetAside())
        {
            setAside.Add(delivery.Size);
            redelivered += delivery.IsRedelivered ? 1 : 0;
            readySince = Math.Min(readySince ?? long.MaxValue, delivery.EnqueuedAtMonotonic);
        }
        StateSnapshot Of(MessageState state, long? since = null) =>
            new(CountOf(state).Messages, CountOf(state).Bytes, since is { } start ? TimeSpan.FromTicks(Math.Max(0, now - start)) : null);
        // Receivers take what is set aside without the lock: where no message is left in a state by this count, no age is either.
        static StateSnapshot Shift(StateSnapshot state, Tally by, int sign) =>
            new(state.Messages + sign * by.Messages, state.Bytes + sign * by.Bytes, state.Messages + sign * by.Messages == 0 ? null : state.OldestAge);
        return new QueueSnapshot
        {
            Name = conductor.Name,
            Durability = conductor.Durability,
            Messages = books.Gate.Messages,
            Bytes = books.Gate.Bytes,
            PeakMessages = books.Gate.PeakMessages,
            Storing = Shift(Of(MessageState.Storing), prepaid, 1),
            Ready = Shift(Of(MessageState.Ready, readySince), setAside, 1),
            Paged = new StateSnapshot(dispatcher.Ready.Paged.Messages, dispatcher.Ready.Paged.Bytes, null),
            PagedDelayed = new StateSnapshot(delayed.Paged.Messages, delayed.Paged.Bytes, null),
            Delayed = Of(MessageState.Delayed, delayed.OldestEnqueuedAt()),
            InFlight = Shift(Of(MessageState.InFlight, dispatcher.InFlight.OldestHandOver()), setAside, -1),
            Leaving = Of(MessageState.Leaving),
            WaitingSenders = books.Gate.WaitingCount,
            WaitingReceivers = dispatcher.Consumers.WaitingCount,
            Overshoot = books.Gate.Overshoot,
            Paused = (books.Gate.IsPaused ? QueueFlow.Sending : 0) | (dispatcher.IsPaused ? QueueFlow.Receiving : 0),
            Counts = books.Counts.ToCounts() with { Accepted = books.Counts.Accepted + prepaid.Messages, Delivered = books.Counts.Delivered - setAside.Messages, Redelivered = books.Counts.Redelivered - redelivered },
        };
    }

    /// <summary>Reads the queue for its instruments.</summary>
    public void Read(QueueReading reading, in Moment moment)
    {
        QueueSnapshot snapshot = Snapshot(moment);
        ref QueueCounters counts = ref books.Counts;
        reading.Depth = snapshot.Messages;
        reading.InFlight = snapshot.InFlight.Messages;
        reading.OldestAge = snapshot.Ready.OldestAge?.TotalSeconds ?? (snapshot.Ready.Messages == 0 ? 0 : null);
        reading[Happened.Sent] = snapshot.Counts.Accepted - counts.Letters;
        reading[Happened.SendsDropped] = counts.DroppedNewest;
        reading[Happened.SendsRefused] = counts.Refused;
        reading[Happened.SendsFailed] = counts.NotStored;
        // Receivers take what is set aside without the lock, also between the two looks: what is counted as processed cannot be more than was delivered.
        reading[Happened.Processed] = Math.Min(snapshot.Counts.Delivered, counts.ToHandlers - dispatcher.SetAside().Count(static delivery => delivery.Consumer.ForHandlers));
        reading[Happened.Received] = snapshot.Counts.Delivered - reading[Happened.Processed];
        reading[Happened.Redelivered] = snapshot.Counts.Redelivered;
        reading[Happened.OldestDropped] = counts.Dropped;
        reading[Happened.DeadRejected] = counts.DeadRejected;
        reading[Happened.DeadExhausted] = counts.DeadExhausted;
        reading[Happened.DeadOverflow] = counts.DeadLettered - counts.DeadRejected - counts.DeadExhausted;
    }

    [Conditional("DEBUG")]
    public void AssertInvariants()
    {
        Tally sum = default;
        foreach (MessageState state in Enum.GetValues<MessageState>())
            sum.Add(CountOf(state).Bytes, CountOf(state).Messages);
        Tally prepaid = books.Gate.Arrivals?.Out ?? books.Gate.Prepaid.Out;
        sum.Add(prepaid.Bytes, prepaid.Messages);
        Debug.Assert(books.Gate.Messages == sum.Messages, "Every admitted message is in exactly one state.");
        Debug.Assert(books.Gate.Bytes == sum.Bytes, "The bytes of the gate are those of the states.");
        Debug.Assert(dispatcher.Consumers.IsEmpty || dispatcher.Ready.IsEmpty || dispatcher.IsPaused, "No consumer with a free place waits while a message is ready.");
        Debug.Assert(books.Gate.NextAdmissible() is null, "No sender waits while there is room for the first in line.");
        Debug.Assert(books.Storing is { Messages: >= 0, Bytes: >= 0 } && books.Leaving is { Messages: >= 0, Bytes: >= 0 }, "No state holds less than nothing.");
        Debug.Assert(books.Counts.Recovered + books.Counts.Accepted == books.Counts.Acked + books.Counts.DeadLettered + books.Counts.Discarded + books.Counts.Dropped + books.Counts.Purged + books.Gate.Messages - prepaid.Messages,
            "What was accepted is settled, dropped, purged or still here.");
    }

    private Tally CountOf(MessageState state) => state switch
    {
        MessageState.Storing => books.Storing,
        MessageState.Ready => new Tally
        {
            Messages = dispatcher.Ready.Count + dispatcher.Ready.Paged.Messages + dispatcher.Suspects.Count,
            Bytes = dispatcher.Ready.Bytes + dispatcher.Ready.Paged.Bytes + dispatcher.Suspects.Bytes,
        },
        MessageState.Delayed => new Tally { Messages = delayed.Count, Bytes = delayed.Bytes },
        MessageState.InFlight => new Tally { Messages = dispatcher.InFlight.Count, Bytes = dispatcher.InFlight.Bytes },
        _ => books.Leaving,
    };
}
