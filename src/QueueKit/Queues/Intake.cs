using System.Runtime.CompilerServices;

namespace QueueKit.Queues;

/// <summary>How plain messages come into a transient queue, the quick ways: without the lock where it is busy, otherwise in one short hold; and the numbers of its messages.</summary>
/// <remarks>Those of a durable queue are given out by the pipeline.</remarks>
internal sealed class Intake(ArrivalRing? arrivals, QueueBooks books, Dispatcher dispatcher, QueueAudit audit)
{
    // So much has to be ready before sends need no lock: with less to do, whoever comes next may well be a consumer that waits.
    private const int Backlog = 16;

    private long _lastNumber;

    /// <summary>Puts what has arrived without the lock in its lane: the last part of the first beat.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Collect()
    {
        if (arrivals is { HasArrivals: true })
            TakeAll(arrivals);
    }

    /// <summary>Calls back the tickets that let sends come without the lock: from here on the queue's numbers, and its last place, are this hold's.</summary>
    public void Stop()
    {
        if (arrivals is not { IsOpen: true })
            return;
        arrivals.CallBack(books.Gate);
        Collect();
    }

    /// <summary>Lets sends come without the lock, if there is ample room and enough to do.</summary>
    public void OfferTickets()
    {
        if (arrivals is not null && dispatcher.Ready.Count >= Backlog && dispatcher.Consumers.IsEmpty && books.Gate.WaitingCount == 0 && !books.Gate.IsPaused)
            arrivals.GiveOut(books.Gate, _lastNumber);
    }

    /// <summary>The plain case of a send to a transient queue: room at once, no consumer to serve, nothing to delay or to put before others. 0 if it is not that.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long TryAppend(Message message, long now)
    {
        audit.AssertInvariants();
        Stop();
        if (!message.IsPlain || !dispatcher.Consumers.IsEmpty || !books.Gate.HasRoomNow(1, message.Size))
            return 0;
        books.Gate.Take(1, message.Size);
        books.Counts.Accepted++;
        dispatcher.Ready.Append(new QueuedMessage(message, ++_lastNumber, now));
        OfferTickets();
        return _lastNumber;
    }

    /// <summary>The same for a batch; 0 if one of its messages is not plain.</summary>
    public long TryAppendAll(ReadOnlySpan<Message> messages, long bytes, long now)
    {
        audit.AssertInvariants();
        Stop();
        if (!dispatcher.Consumers.IsEmpty || !books.Gate.HasRoomNow(messages.Length, bytes))
            return 0;
        foreach (Message message in messages)
        {
            if (!message.IsPlain)
                return 0;
        }
        long first = _lastNumber + 1;
        books.Gate.Take(messages.Length, bytes);
        books.Counts.Accepted += messages.Length;
        foreach (Message message in messages)
            dispatcher.Ready.Append(new QueuedMessage(message, ++_lastNumber, now));
        OfferTickets();
        return first;
    }

    /// <summary>Gives out numbers, and returns the first; behind <see cref="Stop"/>.</summary>
    public long NextNumber(int count = 1)
    {
        long first = _lastNumber + 1;
        _lastNumber += count;
        return first;
    }

    private void TakeAll(ArrivalRing ring)
    {
        int count = ring.Count;
        long bytes = 0;
        for (int i = 0; i < count; i++)
        {
            QueuedMessage message = ring.Take();
            bytes += message.Size;
            _lastNumber = message.Sequence;
            dispatcher.Ready.Append(message);
        }
        ring.Taken(count);
        books.Gate.GiveBack(0, count * ArrivalRing.BytesPerTicket - bytes);
        books.Counts.Accepted += count;
        books.Gate.NotePeak();
    }
}
