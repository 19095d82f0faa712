using System.Diagnostics;
using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>Messages on their way into a busy transient queue: with a ticket a send leaves its message here without the queue's lock, and whoever takes the lock next puts it in its lane.</summary>
/// <remarks>
/// A ticket is a place that the gate has given out in advance, and a number: tickets left and the last number given out lie in one word, so one compare-and-swap
/// takes both, and the number says where in the ring the message goes. Every lock hold begins with <see cref="Take"/>, so that behind the first beat
/// everything sent before it is where it belongs. There are no tickets while a consumer waits (somebody has to serve it), while a sender waits or sending is paused, and
/// whenever an exact count is needed: then they are called back, under the lock, and the numbers are the lock's again.
/// <para>Invariant, under the lock: the places given out are the tickets left and the messages in the ring.</para>
/// </remarks>
internal sealed class ArrivalRing
{
    /// <summary>The largest message that goes this way; each ticket has paid for so much.</summary>
    public const int BytesPerTicket = 4096;

    // A producer takes the lock once for so many messages if no consumer does. Small, because a queue that was busy once keeps its ring.
    private const int Size = 256;
    private const int FewestTickets = 16;
    private const int PartOfRoom = 2;

    // The word: tickets above, the last number below. At ten million messages a second the numbers last for fourteen years.
    private const int NumberBits = 52;
    private const long OneTicket = 1L << NumberBits;
    private const long NumberMask = OneTicket - 1;

    private Word? _shared;
    private Slot[]? _slots;
    // The last number that is in its lane.
    private long _taken;
    private Tally _out;

    private sealed class Word : CacheLines
    {
        public long Value;
#pragma warning disable CA1823, IDE0051, CS0169 // Nobody's: see CacheLines.
        private readonly Lines _behind;
#pragma warning restore CA1823, IDE0051, CS0169
    }

    // Published by its number, which is written last.
    private struct Slot
    {
        public Message? Message;
        public long EnqueuedAt;
        public long Number;
    }

    /// <summary>Places that are out: tickets and messages in the ring. Guarded by the queue's lock.</summary>
    public Tally Out => _out;

    /// <summary>Tickets that nobody has taken; under the lock, and only fewer a moment later.</summary>
    public long Unused => _shared is { } shared ? Volatile.Read(ref shared.Value) >> NumberBits : 0;

    /// <summary>Whether a message is in the ring or on its way there.</summary>
    public bool HasArrivals => _shared is { } shared && (Volatile.Read(ref shared.Value) & NumberMask) != _taken;

    /// <summary>Whether the numbers are given out here.</summary>
    public bool IsOpen => _out.Messages != 0;

    /// <summary>Leaves a message, on no lock. Returns its number; 0 if there is no ticket.</summary>
    public long TryAdd(Message message, long now)
    {
        if (Volatile.Read(ref _shared) is not { } shared)
            return 0;
        long seen = Volatile.Read(ref shared.Value);
        while (seen >= OneTicket)
        {
            long before = Interlocked.CompareExchange(ref shared.Value, seen - OneTicket + 1, seen);
            if (before == seen)
            {
                long number = (seen & NumberMask) + 1;
                Put(message, now, number);
                return number;
            }
            seen = before;
        }
        return 0;
    }

    /// <summary>The same for several at once, all or none. Returns the number of the first.</summary>
    public long TryAddAll(ReadOnlySpan<Message> messages, long now)
    {
        if (Volatile.Read(ref _shared) is not { } shared)
            return 0;
        long seen = Volatile.Read(ref shared.Value);
        while (seen >> NumberBits >= messages.Length)
        {
            long before = Interlocked.CompareExchange(ref shared.Value, seen - messages.Length * OneTicket + messages.Length, seen);
            if (before == seen)
            {
                long first = (seen & NumberMask) + 1;
                for (int i = 0; i < messages.Length; i++)
                    Put(messages[i], now, first + i);
                return first;
            }
            seen = before;
        }
        return 0;
    }

    /// <summary>How many messages there are to take; under the lock, and more a moment later.</summary>
    public int Count => _shared is { } shared ? (int)((Volatile.Read(ref shared.Value) & NumberMask) - _taken) : 0;

    /// <summary>Takes the next message out, of those that <see cref="Count"/> has told of; under the lock, and then <see cref="Taken"/>.</summary>
    public QueuedMessage Take()
    {
        long number = _taken + 1;
        ref Slot slot = ref _slots![number & (Size - 1)];
        // Its sender has the number and is about to write: nobody behind it may go first.
        if (Volatile.Read(ref slot.Number) != number)
            WaitFor(ref slot, number);
        var message = new QueuedMessage(slot.Message!, number, slot.EnqueuedAt);
        slot.Message = null;
        _taken = number;
        return message;
    }

    /// <summary>So many are in the queue now.</summary>
    public void Taken(int count) => _out.Remove((long)count * BytesPerTicket, count);

    /// <summary>Gives tickets out from the room that the gate has left, if that is ample; under the lock, with nothing in the ring that was there when the lock was taken.</summary>
    /// <param name="gate">Whose places they are.</param>
    /// <param name="lastNumber">The last number given out by the lock.</param>
    public void GiveOut(OverflowGate gate, long lastNumber)
    {
        long most = Math.Min(Size, Math.Min(gate.FreeMessages, gate.FreeBytes / BytesPerTicket) / PartOfRoom);
        if (most < FewestTickets)
            return;
        if (!IsOpen)
        {
            _slots ??= new Slot[Size];
            _taken = lastNumber;
            Lend(gate, most);
            Word word = _shared ?? new Word();
            Volatile.Write(ref word.Value, most * OneTicket | lastNumber);
            // With the word everything is there that a ticket leads to.
            Volatile.Write(ref _shared, word);
            return;
        }
        Word shared = _shared!;
        long seen = Volatile.Read(ref shared.Value);
        while (true)
        {
            long left = seen >> NumberBits;
            long more = Math.Min(most, Size - ((seen & NumberMask) - _taken) - left);
            // A few tickets more are not worth the swap.
            if (more < FewestTickets || left > Size / 2)
                return;
            long before = Interlocked.CompareExchange(ref shared.Value, seen + more * OneTicket, seen);
            if (before == seen)
            {
                Lend(gate, more);
                return;
            }
            seen = before;
        }
    }

    /// <summary>Calls the tickets back that nobody has taken; under the lock. What is in the ring then has to be taken out, and then the numbers are the lock's.</summary>
    public void CallBack(OverflowGate gate)
    {
        if (_shared is not { } shared)
            return;
        long seen = Volatile.Read(ref shared.Value);
        while (seen >= OneTicket)
        {
            long before = Interlocked.CompareExchange(ref shared.Value, seen & NumberMask, seen);
            if (before == seen)
            {
                long tickets = seen >> NumberBits;
                gate.GiveBack(tickets, tickets * BytesPerTicket);
                _out.Remove(tickets * BytesPerTicket, tickets);
                return;
            }
            seen = before;
        }
    }

    private void Lend(OverflowGate gate, long tickets)
    {
        gate.Lend(tickets, tickets * BytesPerTicket);
        _out.Add(tickets * BytesPerTicket, tickets);
    }

    private void Put(Message message, long now, long number)
    {
        ref Slot slot = ref _slots![number & (Size - 1)];
        Debug.Assert(slot.Message is null, "Nobody gets a ticket for a place that is taken.");
        slot.Message = message;
        slot.EnqueuedAt = now;
        Volatile.Write(ref slot.Number, number);
    }

    // Three instructions away, unless the system has put the sender aside; it might do that to the owner of a lock as well.
    private static void WaitFor(ref Slot slot, long number)
    {
        SpinWait spinner = default;
        while (Volatile.Read(ref slot.Number) != number)
            spinner.SpinOnce();
    }
}
