namespace QueueKit.Queues;

/// <summary>The consumers that wait and have a free place, in turn: round-robin, however many places each has.</summary>
/// <remarks>Invariant: a consumer is in the ring exactly while it waits and has a free place.</remarks>
internal sealed class ConsumerRing
{
    private Consumer? _first;
    private Consumer? _last;
    // Those that wait for credit: kept only so that closing the queue finds them.
    private HashSet<Consumer>? _withoutCredit;

    public bool IsEmpty => _first is null;

    /// <summary>All receives that wait, in the ring or for credit.</summary>
    public int WaitingCount { get; private set; }

    public void Wait(PendingReceive receive)
    {
        receive.Consumer.AddWaiting(receive);
        WaitingCount++;
        Refresh(receive.Consumer);
    }

    /// <summary>Takes a receive that gave up out; it leaves nothing behind.</summary>
    public void Leave(PendingReceive receive)
    {
        receive.Consumer.RemoveWaiting(receive);
        WaitingCount--;
        Refresh(receive.Consumer);
    }

    /// <summary>Any receive that waits, with credit or without.</summary>
    public PendingReceive? AnyWaiting => _first?.FirstWaiting ?? _withoutCredit?.FirstOrDefault()?.FirstWaiting;

    /// <summary>Whose turn it is; the ring must not be empty. The receive stays until <see cref="Served"/>.</summary>
    public PendingReceive Next => _first!.FirstWaiting;

    /// <summary>Takes the receive whose turn it was out, and sends its consumer to the end of the line.</summary>
    public void Served(PendingReceive receive)
    {
        Consumer consumer = receive.Consumer;
        consumer.RemoveWaiting(receive);
        WaitingCount--;
        Unlink(consumer);
        Refresh(consumer);
    }

    /// <summary>Puts a consumer in or out, as its waits and its credit now say.</summary>
    public void Refresh(Consumer consumer)
    {
        bool belongs = consumer.IsWaiting && consumer.HasFreePlace;
        if (consumer.IsWaiting && !belongs)
            (_withoutCredit ??= []).Add(consumer);
        else
            _withoutCredit?.Remove(consumer);
        if (belongs == consumer.IsInRing)
            return;
        if (belongs)
            Link(consumer);
        else
            Unlink(consumer);
    }

    private void Link(Consumer consumer)
    {
        consumer.IsInRing = true;
        consumer.PreviousInRing = _last;
        if (_last is null)
            _first = consumer;
        else
            _last.NextInRing = consumer;
        _last = consumer;
    }

    private void Unlink(Consumer consumer)
    {
        consumer.IsInRing = false;
        if (consumer.PreviousInRing is null)
            _first = consumer.NextInRing;
        else
            consumer.PreviousInRing.NextInRing = consumer.NextInRing;
        if (consumer.NextInRing is null)
            _last = consumer.PreviousInRing;
        else
            consumer.NextInRing.PreviousInRing = consumer.PreviousInRing;
        consumer.PreviousInRing = consumer.NextInRing = null;
    }
}
