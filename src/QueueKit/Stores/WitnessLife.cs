using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;
using System.Text;

namespace QueueKit.Stores;

/// <summary>The page of a witness that changes while a store is open: what the present life of the store, from its opening to its end, has come to.</summary>
/// <remarks>A field each, written by plain stores into mapped memory. After <see cref="Detach"/> nothing is written any more.</remarks>
internal sealed class WitnessLife
{
    /// <summary>Where the slots begin: behind one page with the owner, the life, and the poison.</summary>
    public const int PageBytes = 4096;

    /// <summary>Where this part begins, behind the owner's sector.</summary>
    public const int Offset = WitnessOwner.Length;

    private const int PoisonOffset = 1024;
    private const int MaxPoisonBytes = 1020;

    // Little-endian, each field aligned and written at once:
    //
    //  512       528           536       544       552       560                568         576          1024             1028
    //  | boot id | incarnation | clean   | written | flushed | doubtful through | untracked | blocks     | poison length  | poison, UTF-8 |
    //  | 16 B    | i64         | i64 0/1 | i64     | i64     | i64              | i64       | i64, ≥ 1   | i32, 0: none   |               |
    //
    //  boot id           the run of the machine in which the life began
    //  incarnation       a number no other life of the store had
    //  clean             1 while no life is under way: the last one was ended in good order, and the slots hold what lasts beyond it
    //  written, flushed  the numbers of the last commits that the store has confirmed so safe
    //  doubtful through  of messages up to this number nobody knows whether they were delivered in an earlier life
    //  untracked         deliveries out that found no slot
    //  blocks            how many blocks of slots there are

    private readonly MemoryMappedViewAccessor _view;
    private volatile bool _isDetached;

    public WitnessLife(MemoryMappedViewAccessor view) => _view = view;

    public Guid Boot
    {
        get
        {
            Span<byte> bytes = stackalloc byte[16];
            for (int i = 0; i < bytes.Length; i++)
                bytes[i] = _view.ReadByte(Offset + i);
            return new Guid(bytes);
        }
        set
        {
            Span<byte> bytes = stackalloc byte[16];
            value.TryWriteBytes(bytes);
            Write(512, BinaryPrimitives.ReadInt64LittleEndian(bytes));
            Write(520, BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]));
        }
    }

    public long Incarnation { get => _view.ReadInt64(528); set => Write(528, value); }

    public bool IsClean { get => _view.ReadInt64(536) != 0; set => Write(536, value ? 1 : 0); }

    public long Written { get => _view.ReadInt64(544); set => Write(544, value); }

    public long Flushed { get => _view.ReadInt64(552); set => Write(552, value); }

    public long DoubtfulThrough { get => _view.ReadInt64(560); set => Write(560, value); }

    public long Untracked { get => _view.ReadInt64(568); set => Write(568, value); }

    public long Blocks { get => _view.ReadInt64(576); set => Write(576, value); }

    public string? Poison
    {
        get
        {
            int length = Math.Min(_view.ReadInt32(PoisonOffset), MaxPoisonBytes);
            if (length <= 0)
                return null;
            byte[] text = new byte[length];
            _view.ReadArray(PoisonOffset + 4, text, 0, length);
            return Encoding.UTF8.GetString(text);
        }
        set
        {
            if (_isDetached)
                return;
            byte[] text = new byte[MaxPoisonBytes];
            int length = 0;
            if (value is not null)
                Encoding.UTF8.GetEncoder().Convert(value.Length == 0 ? "?" : value, text, flush: true, out _, out length, out _);
            // The text first: with its length it counts.
            _view.WriteArray(PoisonOffset + 4, text, 0, length);
            Interlocked.MemoryBarrier();
            _view.Write(PoisonOffset, length);
        }
    }

    /// <summary>The sector of a store's first life: nothing has happened. Beside a store that exists it says that it knows nothing of what has.</summary>
    public static byte[] Blank(bool storeExists)
    {
        byte[] sector = new byte[512];
        BinaryPrimitives.WriteInt64LittleEndian(sector.AsSpan(536 - Offset), storeExists ? 0 : 1);
        BinaryPrimitives.WriteInt64LittleEndian(sector.AsSpan(576 - Offset), 1);
        return sector;
    }

    /// <summary>Several queues count at once.</summary>
    public unsafe void AddUntracked(int by)
    {
        if (!_isDetached)
            Interlocked.Add(ref *(long*)(_view.SafeMemoryMappedViewHandle.DangerousGetHandle() + (nint)_view.PointerOffset + 568), by);
    }

    /// <summary>Brings it onto the disk.</summary>
    /// <exception cref="IOException">It did not get there.</exception>
    public void Flush() => _view.Flush();

    /// <summary>Ends the writing.</summary>
    public void Detach()
    {
        _isDetached = true;
        WitnessFile.Retire(_view);
    }

    private void Write(long offset, long value)
    {
        if (_isDetached)
            return;
        _view.Write(offset, value);
        // What is written next must not be there before this.
        Interlocked.MemoryBarrier();
    }
}
