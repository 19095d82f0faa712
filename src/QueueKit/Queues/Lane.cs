using QueueKit.Collections;

namespace QueueKit.Queues;

/// <summary>A FIFO of ready messages by their numbers: fresh ones in the order of arrival, and beside them those that came back, which keep their place.</summary>
/// <remarks>
/// Of a long backlog memory holds only the beginning. Invariant: what has a number below the cursor is loaded (or delivered, or leaving), and nothing from the
/// cursor on is: that lies in the store alone and is counted as paged.
/// </remarks>
internal sealed class Lane
{
    // The cursor of a lane that is loaded whole.
    private const long Whole = long.MaxValue;

    private readonly SegmentedQueue<QueuedMessage> _fresh = new();
    private PriorityQueue<QueuedMessage, long>? _returned;
    private Tally _paged;
    private long _returnedBytes;

    /// <summary>The loaded messages that came back, or were scheduled.</summary>
    public Tally Returned => new() { Messages = _returned?.Count ?? 0, Bytes = _returnedBytes };

    /// <summary>The loaded messages.</summary>
    public int Count => _fresh.Count + (_returned?.Count ?? 0);

    /// <summary>Whether a part of the lane is only in the store.</summary>
    public bool IsPaged => Cursor != Whole;

    /// <summary>Where the part begins that is only in the store.</summary>
    public long Cursor { get; private set; } = Whole;

    /// <summary>The last number in that part.</summary>
    public long LastPaged { get; private set; }

    /// <summary>What is only in the store.</summary>
    public Tally Paged => _paged;

    /// <summary>Whether the next message is loaded. One that came back may be younger than what has yet to be read.</summary>
    public bool HasNext => ReturnedIsNext ? _returned!.Peek().Sequence < Cursor : _fresh.Count > 0;

    /// <summary>The head: the oldest loaded message. There must be one.</summary>
    public QueuedMessage Head => ReturnedIsNext ? _returned!.Peek() : _fresh.Peek();

    private bool ReturnedIsNext => _returned is { Count: > 0 } && (_fresh.Count == 0 || _returned.Peek().Sequence < _fresh.Peek().Sequence);

    /// <summary>Adds a message whose number is higher than all others here.</summary>
    public void Append(in QueuedMessage message) => _fresh.Enqueue(message);

    /// <summary>Puts a message in its place by its number.</summary>
    public void Insert(in QueuedMessage message)
    {
        (_returned ??= new()).Enqueue(message, message.Sequence);
        _returnedBytes += message.Size;
    }

    /// <summary>Takes the head. There must be one.</summary>
    public QueuedMessage Take()
    {
        if (!ReturnedIsNext)
        {
            _fresh.TryDequeue(out QueuedMessage fresh);
            return fresh;
        }
        QueuedMessage message = _returned!.Dequeue();
        _returnedBytes -= message.Size;
        return message;
    }

    /// <summary>Leaves messages in the store, up to the number <paramref name="last"/>, which is higher than all others here.</summary>
    /// <param name="first">The lowest number they may have; of interest where nothing has been left there before.</param>
    /// <param name="last">The highest.</param>
    /// <param name="messages">How many they are, and how large.</param>
    public void LeaveInStore(long first, long last, Tally messages)
    {
        if (!IsPaged)
            Cursor = first;
        LastPaged = last;
        _paged.Add(messages.Bytes, messages.Messages);
    }

    /// <summary>Counts a message that was read from the store; whoever reads it decides where it goes.</summary>
    public void Unpage(long bytes) => _paged.Remove(bytes);

    /// <summary>Moves the cursor on: everything up to there has been read. At the end of the paged part the lane is whole again.</summary>
    public void MoveCursor(long to) => Cursor = to > LastPaged ? Whole : to;

    /// <summary>Takes what is only in the store out of the books: it is being deleted. The lane stays paged, so that what comes meanwhile stands behind it, until <see cref="MoveCursor"/>.</summary>
    public Tally TakePaged()
    {
        Tally paged = _paged;
        _paged = default;
        Cursor = LastPaged + 1;
        return paged;
    }

    /// <summary>It was not deleted: back to where it began.</summary>
    public void PutBackPaged(long first, Tally paged)
    {
        _paged.Add(paged.Bytes, paged.Messages);
        Cursor = first;
    }
}
