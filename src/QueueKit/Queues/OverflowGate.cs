namespace QueueKit.Queues;

/// <summary>What the gate says to a send.</summary>
internal enum GateVerdict
{
    /// <summary>There is room.</summary>
    Admit,
    /// <summary>Wait in line.</summary>
    Wait,
    /// <summary>No room, and the sender is told so.</summary>
    Refuse,
    /// <summary>No room: the newcomer is dropped.</summary>
    Drop,
    /// <summary>There is room once the oldest ready messages have left.</summary>
    Evict,
}

/// <summary>The limits of a queue, what they are taken up by, and the senders that wait for room, first come first served.</summary>
/// <remarks>
/// Invariants: messages and bytes count everything admitted and not yet gone; ordinary sends never lift them above the limits;
/// a sender waits only while there is no room for the first in line (or sending is paused).
/// </remarks>
internal sealed class OverflowGate
{
    private PendingSend? _firstWaiting;
    private PendingSend? _lastWaiting;
    private int _waitingCount;

    public OverflowPolicy Policy { get; set; }

    public long MaxMessages { get; set; }

    public long MaxBytes { get; set; }

    /// <summary>While set, nobody is admitted but those who hold a lease already.</summary>
    public bool IsPaused { get; set; }

    public long Messages { get; private set; }

    public long Bytes { get; private set; }

    public long PeakMessages { get; private set; }

    public int WaitingCount => _waitingCount;

    /// <summary>The same without the lock: an ack looks here, behind a full fence, whether it has to let somebody in.</summary>
    public bool HasWaitingVolatile => Volatile.Read(ref _waitingCount) != 0;

    public long FreeMessages => MaxMessages - Messages;

    public long FreeBytes => MaxBytes - Bytes;

    /// <summary>Places given out in advance: counted in messages and bytes, taken or not.</summary>
    public PrepaidPlaces Prepaid { get; } = new();

    public long Overshoot => Math.Max(0, Messages - MaxMessages);

    /// <summary>Judges a send of <paramref name="messages"/> with <paramref name="bytes"/> in all: takes nothing.</summary>
    public GateVerdict Judge(long messages, long bytes, bool mayWait, long readyMessages, long readyBytes)
    {
        if (HasRoomNow(messages, bytes))
            return GateVerdict.Admit;
        Prepaid.CallBack(this);
        if (HasRoomNow(messages, bytes))
            return GateVerdict.Admit;
        if (IsPaused)
            return mayWait ? GateVerdict.Wait : GateVerdict.Refuse;
        switch (Policy)
        {
            case OverflowPolicy.DropNewest:
                return GateVerdict.Drop;
            case OverflowPolicy.DropOldest:
                bool enough = Messages - readyMessages + messages <= MaxMessages && Bytes - readyBytes + bytes <= MaxBytes;
                return _waitingCount == 0 && enough ? GateVerdict.Evict : GateVerdict.Drop;
            case OverflowPolicy.Reject:
                return GateVerdict.Refuse;
            default:
                return mayWait ? GateVerdict.Wait : GateVerdict.Refuse;
        }
    }

    /// <summary>Whether a send that comes now is admitted at once: there is room, and nobody to overtake.</summary>
    public bool HasRoomNow(long messages, long bytes) => _waitingCount == 0 && !IsPaused && HasRoom(messages, bytes);

    public bool HasRoom(long messages, long bytes) => Messages + messages <= MaxMessages && Bytes + bytes <= MaxBytes;

    /// <summary>Takes places, whether there are any or not: the verdict, or a lease already held, is the right to them.</summary>
    public void Take(long messages, long bytes)
    {
        Messages += messages;
        Bytes += bytes;
        NotePeak();
    }

    /// <summary>Counts places that nobody stands on yet.</summary>
    public void Lend(long messages, long bytes)
    {
        Messages += messages;
        Bytes += bytes;
    }

    /// <summary>Looks how many messages there are: after each arrival, and before a departure that prepaid arrivals may have preceded.</summary>
    public void NotePeak()
    {
        long messages = Messages - Prepaid.CountUnused();
        if (messages > PeakMessages)
            PeakMessages = messages;
    }

    /// <summary>Gives places back.</summary>
    public void GiveBack(long messages, long bytes)
    {
        Messages -= messages;
        Bytes -= bytes;
    }

    /// <summary>Puts a sender at the end of the line.</summary>
    public void Join(PendingSend sender)
    {
        sender.PreviousWaiting = _lastWaiting;
        sender.NextWaiting = null;
        if (_lastWaiting is null)
            _firstWaiting = sender;
        else
            _lastWaiting.NextWaiting = sender;
        _lastWaiting = sender;
        Volatile.Write(ref _waitingCount, _waitingCount + 1);
    }

    /// <summary>Takes a sender out of the line, wherever it stands; its place is gone with it.</summary>
    public void Leave(PendingSend sender)
    {
        if (sender.PreviousWaiting is null)
            _firstWaiting = sender.NextWaiting;
        else
            sender.PreviousWaiting.NextWaiting = sender.NextWaiting;
        if (sender.NextWaiting is null)
            _lastWaiting = sender.PreviousWaiting;
        else
            sender.NextWaiting.PreviousWaiting = sender.PreviousWaiting;
        sender.PreviousWaiting = sender.NextWaiting = null;
        Volatile.Write(ref _waitingCount, _waitingCount - 1);
    }

    /// <summary>Takes the whole line out: its first, which is linked to the others by <see cref="PendingSend.NextWaiting"/>.</summary>
    public PendingSend? TakeLine()
    {
        PendingSend? first = _firstWaiting;
        _firstWaiting = _lastWaiting = null;
        Volatile.Write(ref _waitingCount, 0);
        return first;
    }

    /// <summary>The first in line if there is room for it now.</summary>
    public PendingSend? NextAdmissible() =>
        _firstWaiting is { } first && !IsPaused && HasRoom(first.MessageCount, first.Bytes) ? first : null;

    /// <summary>The first in line, room or not.</summary>
    public PendingSend? FirstWaiting => _firstWaiting;
}
