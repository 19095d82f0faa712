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
    // Messages that have to leave before the first in line can come, and those that have left and are not booked.
    private long _missing;
    private long _freed;

    public OverflowPolicy Policy { get; set; }

    public long MaxMessages { get; set; }

    public long MaxBytes { get; set; }

    /// <summary>While set, nobody is admitted but those who hold a lease already.</summary>
    public bool IsPaused { get; set; }

    public long Messages { get; private set; }

    public long Bytes { get; private set; }

    public long PeakMessages { get; private set; }

    public int WaitingCount => _waitingCount;

    /// <summary>Whether acks that have been decided without the lock have to be booked, because somebody waits for their places: so many more were decided now. Called without the lock, behind a full fence.</summary>
    /// <remarks>A batch that waits for many places is not looked at for each of them.</remarks>
    public bool WaitsForRoomOf(int acks) => Volatile.Read(ref _waitingCount) != 0 && Interlocked.Add(ref _freed, acks) >= Volatile.Read(ref _missing);

    /// <summary>All acks are about to be booked: counts anew those that come from now on.</summary>
    /// <remarks>A full fence: an ack that the booking does not see must not have been counted before.</remarks>
    public void BeginBooking() => Interlocked.Exchange(ref _freed, 0);

    /// <summary>Nobody can be let in any more: notes what the first in line still waits for. False if so much has been acked already.</summary>
    public bool NoteMissing()
    {
        PendingSend first = _firstWaiting!;
        Volatile.Write(ref _missing, Bytes + first.Bytes <= MaxBytes ? Math.Max(1, Messages + first.MessageCount - MaxMessages) : 1);
        // An ack counts itself and then looks what is missing; here it is the other way round, so one of the two sees the other.
        Interlocked.MemoryBarrier();
        return Volatile.Read(ref _freed) < _missing;
    }

    public long FreeMessages => MaxMessages - Messages;

    public long FreeBytes => MaxBytes - Bytes;

    /// <summary>Places given out in advance: counted in messages and bytes, taken or not.</summary>
    public PrepaidPlaces Prepaid { get; } = new();

    /// <summary>Places given out in advance to sends of a transient queue; null for a durable one.</summary>
    public ArrivalRing? Arrivals { get; init; }

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

    /// <summary>The same for messages at a glance, without the lock: not to be relied upon.</summary>
    public bool SeemsToHaveRoom(long messages) => Volatile.Read(ref _waitingCount) == 0 && Messages + messages <= MaxMessages;

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
        long messages = Messages - (Arrivals is null ? Prepaid.CountUnused() : Arrivals.Unused);
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
