using System.Collections.Concurrent;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;

namespace QueueKit.Stores;

/// <summary>What a slot says of its message.</summary>
internal enum SlotState : byte
{
    /// <summary>Nothing: the slot is free.</summary>
    None = 0,
    /// <summary>On its way to a consumer, which has not seen it.</summary>
    Offered,
    /// <summary>A consumer has it.</summary>
    Started,
    /// <summary>A consumer had it and is done with it, but the store has not heard of that; or one had it in an earlier life of the store.</summary>
    Seen,
    /// <summary>As <see cref="Offered"/>, but another consumer has seen it before.</summary>
    OfferedAgain,
}

/// <summary>A slot that was taken when the witness was opened.</summary>
internal readonly record struct WitnessedDelivery(int Slot, uint Queue, long Sequence, SlotState State, bool IsSuspect, byte Band = 0);

/// <summary>A handful of free slots: what queues take from the witness and give back, so that they meet there only once in a while.</summary>
internal sealed class SlotMagazine
{
    public const int Size = 64;

    private readonly int[] _slots = new int[Size];

    public int Count { get; private set; }

    public bool IsFull => Count == Size;

    public void Push(int slot) => _slots[Count++] = slot;

    public int Pop() => _slots[--Count];
}

/// <summary>The part of a witness that holds the deliveries: blocks of slots, mapped into memory. A slot belongs to one queue at a time, which writes it under its own lock; only the start of a delivery is written without.</summary>
/// <remarks>
/// Slots are numbered from 1 on; 0 is none. What is written is in the hands of the operating system at once and survives the process.
/// After <see cref="Detach"/> late writers write to memory that nobody reads: a delivery outlives its broker, and must not crash the process.
/// </remarks>
internal sealed unsafe class WitnessSlots
{
    public const int PerBlock = 16 * 1024;
    public const int BlockBytes = PerBlock * SlotBytes;

    private const int SlotBytes = 16;
    private const int BlockShift = 14;
    private const ulong StateBits = 7UL << 32;
    private const ulong SuspectBit = 1UL << 35;
    private const ulong SequenceBits = ~0UL << 40;
    // Grows when it has fewer spare slots than half a block: the time to write a block must not be shorter than that to hand them all out.
    private const int LowWater = PerBlock / 2 / SlotMagazine.Size;

    // A slot, little-endian; aligned, so that each half is written at once or not at all:
    //
    //  0              8           12                                  16
    //  | sequence i64 | queue u32 | state, suspect, band, low bits of sequence |
    //
    //  The second half, as one u64: bits 0-31 queue, 32-34 state, 35 suspect, 36-39 band (the priority), 40-63 the low bits of the sequence.
    //  Taken: the sequence first, then the second half with a release. Free: the second half is zero.
    //  The sequence's bits are there for a start that comes too late: it finds another message's delivery and changes nothing.

    private static readonly nint s_nowhere = (nint)NativeMemory.AllocZeroed(BlockBytes);

    private readonly ConcurrentStack<SlotMagazine> _depot = new();
    private readonly ConcurrentStack<SlotMagazine> _emptyMagazines = new();
    private readonly List<MemoryMappedViewAccessor> _views = [];
    private nint[] _blocks = [];
    private int _full;
    private int _growthAsked;

    public int Blocks => _blocks.Length;

    /// <summary>How many slots can be taken without growing; those that queues keep as change are not counted.</summary>
    public int Free => Volatile.Read(ref _full) * SlotMagazine.Size;

    /// <summary>Told, once until a block is added, that there are few left. Called under the lock of a queue.</summary>
    public Action? GrowthWanted { get; set; }

    public static ulong Word(uint queue, long sequence, SlotState state, bool suspect, byte band = 0) =>
        queue | ((ulong)state << 32) | (suspect ? SuspectBit : 0) | ((ulong)band << 36) | ((ulong)sequence & 0xFF_FFFF) << 40;

    /// <summary>Reads the slots of a witness as it was found.</summary>
    /// <returns>False if one of them says what no slot can say.</returns>
    public static bool TryRead(ReadOnlySpan<byte> blocks, List<WitnessedDelivery> into)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(blocks);
        for (int i = 0; i < words.Length / 2; i++)
        {
            ulong word = words[2 * i + 1];
            if (word == 0)
                continue;
            long sequence = (long)words[2 * i];
            var delivery = new WitnessedDelivery(i + 1, (uint)word, sequence, StateOf(word), (word & SuspectBit) != 0, (byte)((word >> 36) & 15));
            if (delivery.State is SlotState.None or > SlotState.OfferedAgain || delivery.Band > Message.MaxPriority || sequence <= 0 || ((word ^ ((ulong)sequence << 40)) & SequenceBits) != 0)
                return false;
            into.Add(delivery);
        }
        return true;
    }

    /// <summary>Whether no slot of a block is taken. The sequences of free ones stay as they were.</summary>
    public static bool AreFree(ReadOnlySpan<byte> block)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(block);
        for (int i = 1; i < words.Length; i += 2)
        {
            if (words[i] != 0)
                return false;
        }
        return true;
    }

    /// <summary>Adds a block that has been written. Its slots are free at once or, while the witness is being opened, from <see cref="Open"/> on.</summary>
    public void AddBlock(MemoryMappedViewAccessor view, bool isFree)
    {
        int first = _blocks.Length * PerBlock + 1;
        _views.Add(view);
        // Slots keep their addresses: a writer that still sees the old table finds in it every slot that it can have.
        Volatile.Write(ref _blocks, [.. _blocks, view.SafeMemoryMappedViewHandle.DangerousGetHandle() + (nint)view.PointerOffset]);
        for (int slot = first; isFree && slot < first + PerBlock;)
        {
            var magazine = new SlotMagazine();
            while (!magazine.IsFull)
                magazine.Push(slot++);
            Give(magazine);
        }
        Volatile.Write(ref _growthAsked, 0);
    }

    /// <summary>Begins with what is to be kept, each as seen; every other slot is free.</summary>
    /// <param name="kept">What is to be kept, by slot.</param>
    /// <param name="step">Does what it is given; each is a step after which the process may end.</param>
    public void Open(IReadOnlyDictionary<int, WitnessedDelivery> kept, Action<Action> step)
    {
        var magazine = new SlotMagazine();
        // Counted down, so that the lowest slots are taken first: they lie close together.
        for (int slot = _blocks.Length * PerBlock; slot > 0; slot--)
        {
            int number = slot;
            if (kept.TryGetValue(slot, out WitnessedDelivery delivery))
            {
                step(() => Set(number, Word(delivery.Queue, delivery.Sequence, SlotState.Seen, delivery.IsSuspect, delivery.Band)));
                continue;
            }
            if (*(ulong*)(At(slot) + 8) != 0)
                step(() => Set(number, 0));
            magazine.Push(slot);
            if (magazine.IsFull)
            {
                Give(magazine);
                magazine = new SlotMagazine();
            }
        }
    }

    /// <summary>Takes a full magazine; null if there is none at the moment.</summary>
    public SlotMagazine? TryTake()
    {
        bool taken = _depot.TryPop(out SlotMagazine? magazine);
        if ((taken ? Interlocked.Decrement(ref _full) : 0) < LowWater && Volatile.Read(ref _growthAsked) == 0 && Interlocked.Exchange(ref _growthAsked, 1) == 0)
            GrowthWanted?.Invoke();
        return magazine;
    }

    /// <summary>Takes a full one back.</summary>
    public void Give(SlotMagazine magazine)
    {
        Interlocked.Increment(ref _full);
        _depot.Push(magazine);
    }

    /// <summary>An empty magazine, to be filled.</summary>
    public SlotMagazine TakeEmpty() => _emptyMagazines.TryPop(out SlotMagazine? magazine) ? magazine : new SlotMagazine();

    /// <summary>Takes an empty one back.</summary>
    public void GiveEmpty(SlotMagazine magazine) => _emptyMagazines.Push(magazine);

    /// <summary>Puts a delivery on record.</summary>
    public void Take(int slot, long sequence, ulong word)
    {
        byte* at = At(slot);
        *(long*)at = sequence;
        Volatile.Write(ref *(ulong*)(at + 8), word);
    }

    public void Set(int slot, ulong word) => Volatile.Write(ref *(ulong*)(At(slot) + 8), word);

    /// <summary>Changes what a slot says, if it says <paramref name="from"/>.</summary>
    public void Change(int slot, ulong from, ulong to) => Interlocked.CompareExchange(ref *(ulong*)(At(slot) + 8), to, from);

    /// <summary>Whether a slot is that message's, in whatever state.</summary>
    public bool IsOf(int slot, uint queue, long sequence)
    {
        byte* at = At(slot);
        return *(ulong*)(at + 8) is not 0 and var word && (uint)word == queue && *(long*)at == sequence;
    }

    /// <summary>The store is closed in good order: nothing is out any more. What a consumer had is marked as seen.</summary>
    /// <exception cref="IOException">It is not on the disk.</exception>
    public void ComeToRest()
    {
        for (int slot = 1; slot <= _blocks.Length * PerBlock; slot++)
        {
            ulong word = *(ulong*)(At(slot) + 8);
            if (word == 0)
                continue;
            bool isKept = StateOf(word) != SlotState.Offered || (word & SuspectBit) != 0;
            Set(slot, isKept ? (word & ~StateBits) | ((ulong)SlotState.Seen << 32) : 0);
        }
        foreach (MemoryMappedViewAccessor view in _views)
            view.Flush();
    }

    /// <summary>Ends the writing: the file is not this process's any more.</summary>
    public void Detach()
    {
        Volatile.Write(ref _blocks, [.. _blocks.Select(static _ => s_nowhere)]);
        _views.ForEach(WitnessFile.Retire);
    }

    private static SlotState StateOf(ulong word) => (SlotState)((word & StateBits) >> 32);

    private byte* At(int slot) => (byte*)Volatile.Read(ref _blocks)[(slot - 1) >> BlockShift] + ((slot - 1) & (PerBlock - 1)) * SlotBytes;
}
