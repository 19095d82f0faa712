using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>Messages of one queue that consumers had when the process ended: one of them may be the reason. They go before all others, but only one at a time in the whole broker, so that the next end has a culprit.</summary>
/// <remarks>Under the queue's lock. Empty but for the time after a crash, and asked in every dispatch: that must cost nothing.</remarks>
internal sealed class Suspects(QueueConductor queue)
{
    private PriorityQueue<QueuedMessage, (int Band, long Sequence)>? _waiting;

    public bool IsEmpty => _waiting is null;

    public long Count => _waiting?.Count ?? 0;

    public long Bytes { get; private set; }

    /// <summary>Whether one could be handed out now.</summary>
    public bool CanDeliver => _waiting is not null && queue.Broker.Ward.IsFree;

    public void Add(in QueuedMessage message)
    {
        (_waiting ??= new()).Enqueue(message, (-message.Band, message.Sequence));
        Bytes += message.Size;
        queue.Broker.Ward.Register(queue);
    }

    /// <summary>Takes the next one, if no other is out; it is in the ward then.</summary>
    public bool TryTake(out QueuedMessage message)
    {
        if (_waiting is not null && queue.Broker.Ward.TryEnter(_waiting.Peek().Sequence))
            return TryTakeAny(out message);
        message = default;
        return false;
    }

    /// <summary>Takes one that is not to be handed out.</summary>
    public bool TryTakeAny(out QueuedMessage message)
    {
        if (_waiting is null)
        {
            message = default;
            return false;
        }
        message = _waiting.Dequeue();
        Bytes -= message.Size;
        if (_waiting.Count == 0)
            _waiting = null;
        return true;
    }

    /// <summary>No consumer has it any more.</summary>
    public void Leave(long sequence) => queue.Broker.Ward.Leave(sequence);

    /// <summary>When the oldest of them, or of what is counted already, was enqueued.</summary>
    public long? OldestEnqueuedAt(long? other)
    {
        if (_waiting is null)
            return other;
        long oldest = _waiting.UnorderedItems.Min(static item => item.Element.EnqueuedAt);
        return Math.Min(other ?? oldest, oldest);
    }
}

/// <summary>Where the one suspect is that a consumer has. Safe for any thread and under any lock.</summary>
internal sealed class SuspectWard(BrokerContext broker)
{
    private readonly Lock _gate = new();
    private QueueConductor[] _queues = [];
    private long _inside;

    public bool IsFree => Volatile.Read(ref _inside) == 0;

    /// <summary>Adds a queue that has suspects: it is told when the ward is free.</summary>
    public void Register(QueueConductor queue)
    {
        if (Volatile.Read(ref _queues).Contains(queue))
            return;
        // A leaf: nothing is done in it that could wait.
        lock (_gate)
        {
            if (!_queues.Contains(queue))
                Volatile.Write(ref _queues, [.. _queues, queue]);
        }
    }

    /// <summary>Lets a suspect in, if the ward is empty.</summary>
    public bool TryEnter(long sequence) => Interlocked.CompareExchange(ref _inside, sequence, 0) == 0;

    /// <summary>Lets it out: consumers of any queue may wait for the next.</summary>
    public void Leave(long sequence)
    {
        if (Interlocked.CompareExchange(ref _inside, 0, sequence) == sequence)
            broker.Scheduler.Schedule(new NextTurn(Volatile.Read(ref _queues)));
    }

    private sealed class NextTurn(QueueConductor[] queues) : WorkItem
    {
        protected override void Run()
        {
            foreach (QueueConductor queue in queues)
                queue.Upkeep.Look();
        }
    }
}
