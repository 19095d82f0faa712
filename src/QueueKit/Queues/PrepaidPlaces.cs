using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>Places that the gate has given out in advance, so that a send to a durable queue with ample room takes one without the queue's lock.</summary>
/// <remarks>
/// They are a loan: whoever needs an exact count, or every last place, calls them back first, under the lock. None are out while a sender
/// waits in line or sending is paused, so nobody is overtaken. Kept in shares, a thread always takes from the same; messages and bytes of
/// a share lie in one word, so that one compare-and-swap takes both.
/// Invariant, under the lock: the places given out are those in the shares plus those of sends that are on their way through the pipeline.
/// </remarks>
internal sealed class PrepaidPlaces
{
    // A share's word: messages above, bytes below.
    private const int ByteBits = 40;
    private const long OneMessage = 1L << ByteBits;
    private const long ByteMask = OneMessage - 1;

    // What a share gets at most: enough that the lock is taken for one send in thousands, and a small part of the room that is left.
    private const long MostMessages = 4096;
    private const long MostBytes = 64L * 1024 * 1024;
    private const int PartOfRoom = 16;
    // Less is not worth the trouble.
    private const long FewestMessages = 16;

    private PaddedLong[]? _shares;
    private Tally _out;

    /// <summary>Places that are out: taken or not. Guarded by the queue's lock.</summary>
    public Tally Out => _out;

    /// <summary>How many places nobody has taken; under the lock, and only fewer a moment later.</summary>
    public long CountUnused()
    {
        long unused = 0;
        if (_out.Messages != 0)
        {
            foreach (ref PaddedLong share in _shares.AsSpan())
                unused += Volatile.Read(ref share.Value) >> ByteBits;
        }
        return unused;
    }

    /// <summary>Takes places, on no lock; false if this thread's share has too few.</summary>
    public bool TryTake(int messages, long bytes)
    {
        if (Volatile.Read(ref _shares) is not { } shares || messages > MostMessages || bytes > MostBytes)
            return false;
        ref long word = ref ShareOf(shares).Value;
        long seen = Volatile.Read(ref word);
        while (seen >> ByteBits >= messages && (seen & ByteMask) >= bytes)
        {
            long before = Interlocked.CompareExchange(ref word, seen - (messages * OneMessage + bytes), seen);
            if (before == seen)
                return true;
            seen = before;
        }
        return false;
    }

    /// <summary>Fills this thread's share from the room that the gate has left, if that is ample and nobody waits; under the lock.</summary>
    public void Refill(OverflowGate gate)
    {
        long messages = Math.Min(MostMessages, gate.FreeMessages / PartOfRoom);
        long bytes = Math.Min(MostBytes, gate.FreeBytes / PartOfRoom);
        if (messages < FewestMessages || bytes < FewestMessages || !gate.HasRoomNow(messages, bytes))
            return;
        PaddedLong[] shares = _shares ?? new PaddedLong[Stripe.Count];
        ref long word = ref ShareOf(shares).Value;
        Return(gate, Interlocked.Exchange(ref word, 0));
        gate.Lend(messages, bytes);
        _out.Add(bytes, messages);
        Volatile.Write(ref word, messages * OneMessage + bytes);
        Volatile.Write(ref _shares, shares);
    }

    /// <summary>Calls back what nobody has taken; under the lock. What is out then belongs to sends that are being stored.</summary>
    public void CallBack(OverflowGate gate)
    {
        if (_out.Messages == 0)
            return;
        foreach (ref PaddedLong share in _shares.AsSpan())
        {
            if (Volatile.Read(ref share.Value) != 0)
                Return(gate, Interlocked.Exchange(ref share.Value, 0));
        }
    }

    /// <summary>The send that took places is stored, or is not: they are booked elsewhere now.</summary>
    public void Settle(int messages, long bytes) => _out.Remove(bytes, messages);

    private void Return(OverflowGate gate, long word)
    {
        long messages = word >> ByteBits;
        long bytes = word & ByteMask;
        gate.GiveBack(messages, bytes);
        _out.Remove(bytes, messages);
    }

    private static ref PaddedLong ShareOf(PaddedLong[] shares) => ref shares[Stripe.OfThread];
}
