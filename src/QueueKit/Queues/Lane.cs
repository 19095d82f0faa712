using QueueKit.Collections;

namespace QueueKit.Queues;

/// <summary>A FIFO of ready messages by their numbers: fresh ones in the order of arrival, and beside them those that came back, which keep their place.</summary>
internal sealed class Lane
{
    private readonly SegmentedQueue<QueuedMessage> _fresh = new();
    private PriorityQueue<QueuedMessage, long>? _returned;

    public int Count => _fresh.Count + (_returned?.Count ?? 0);

    /// <summary>The head: the message that is next. The lane must not be empty.</summary>
    public QueuedMessage Head => ReturnedIsNext ? _returned!.Peek() : _fresh.Peek();

    private bool ReturnedIsNext => _returned is { Count: > 0 } && (_fresh.Count == 0 || _returned.Peek().Sequence < _fresh.Peek().Sequence);

    /// <summary>Adds a message whose number is higher than all others here.</summary>
    public void Append(in QueuedMessage message) => _fresh.Enqueue(message);

    /// <summary>Puts a message in its place by its number.</summary>
    public void Insert(in QueuedMessage message) => (_returned ??= new()).Enqueue(message, message.Sequence);

    /// <summary>Takes the head. The lane must not be empty.</summary>
    public QueuedMessage Take()
    {
        if (ReturnedIsNext)
            return _returned!.Dequeue();
        _fresh.TryDequeue(out QueuedMessage message);
        return message;
    }
}
