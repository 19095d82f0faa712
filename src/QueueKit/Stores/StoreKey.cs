using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace QueueKit.Stores;

/// <summary>The key of a record: ordered by its parts from left to right.</summary>
/// <param name="Kind">What the record is.</param>
/// <param name="Queue">The queue's id, never reused; 0 where the record belongs to no queue.</param>
/// <param name="Band">Of messages: the band, such that the highest priority sorts first.</param>
/// <param name="Group">Of messages: the ordering key's group; 0 for none.</param>
/// <param name="Order">What orders within the above before the number does: a due time, for example. 0 where the number decides alone.</param>
/// <param name="Sequence">The message's number.</param>
[Experimental("QUEUEKIT001")]
[StructLayout(LayoutKind.Auto)]
public readonly record struct StoreKey(StoreKind Kind, uint Queue, byte Band, ulong Group, long Order, long Sequence) : IComparable<StoreKey>
{
    /// <summary>The length of <see cref="WriteTo"/>, in bytes.</summary>
    public const int ByteLength = 30;

    /// <summary>The key before all others of its kind.</summary>
    public static StoreKey First(StoreKind kind) => new(kind, 0, 0, 0, long.MinValue, long.MinValue);

    /// <summary>The key before all others of its kind and queue.</summary>
    public static StoreKey First(StoreKind kind, uint queue) => new(kind, queue, 0, 0, long.MinValue, long.MinValue);

    /// <summary>The first key behind all those of a kind: the end of its range.</summary>
    public static StoreKey After(StoreKind kind) => First(kind + 1);

    /// <summary>The first key behind all those of a kind and queue: the end of their range.</summary>
    public static StoreKey After(StoreKind kind, uint queue) => queue == uint.MaxValue ? After(kind) : First(kind, queue + 1);

    /// <summary>The smallest key behind this one: where to go on reading after it.</summary>
    public StoreKey Next()
    {
        if (Sequence != long.MaxValue)
            return this with { Sequence = Sequence + 1 };
        if (Order != long.MaxValue)
            return this with { Order = Order + 1, Sequence = long.MinValue };
        if (Group != ulong.MaxValue)
            return this with { Group = Group + 1, Order = long.MinValue, Sequence = long.MinValue };
        return Band != byte.MaxValue ? new StoreKey(Kind, Queue, (byte)(Band + 1), 0, long.MinValue, long.MinValue) : After(Kind, Queue);
    }

    /// <summary>Whether <paramref name="left"/> sorts first.</summary>
    public static bool operator <(StoreKey left, StoreKey right) => left.CompareTo(right) < 0;

    /// <summary>Whether <paramref name="left"/> sorts first or is the same.</summary>
    public static bool operator <=(StoreKey left, StoreKey right) => left.CompareTo(right) <= 0;

    /// <summary>Whether <paramref name="left"/> sorts last.</summary>
    public static bool operator >(StoreKey left, StoreKey right) => left.CompareTo(right) > 0;

    /// <summary>Whether <paramref name="left"/> sorts last or is the same.</summary>
    public static bool operator >=(StoreKey left, StoreKey right) => left.CompareTo(right) >= 0;

    /// <inheritdoc/>
    public int CompareTo(StoreKey other)
    {
        int order = Kind.CompareTo(other.Kind);
        if (order == 0)
            order = Queue.CompareTo(other.Queue);
        if (order == 0)
            order = Band.CompareTo(other.Band);
        if (order == 0)
            order = Group.CompareTo(other.Group);
        if (order == 0)
            order = Order.CompareTo(other.Order);
        return order != 0 ? order : Sequence.CompareTo(other.Sequence);
    }

    // The bytes, big-endian, so that memcmp orders them like CompareTo (the sign of the two longs is flipped):
    //
    //   0      1           5      6            14           22              30
    //   | kind | queue u32 | band | group  u64 | order  i64 | sequence  i64 |

    /// <summary>Writes the key so that the order of the bytes is the order of the keys.</summary>
    public void WriteTo(Span<byte> destination)
    {
        destination[0] = (byte)Kind;
        BinaryPrimitives.WriteUInt32BigEndian(destination[1..], Queue);
        destination[5] = Band;
        BinaryPrimitives.WriteUInt64BigEndian(destination[6..], Group);
        BinaryPrimitives.WriteUInt64BigEndian(destination[14..], (ulong)Order ^ (1UL << 63));
        BinaryPrimitives.WriteUInt64BigEndian(destination[22..], (ulong)Sequence ^ (1UL << 63));
    }

    /// <summary>Reads what <see cref="WriteTo"/> wrote.</summary>
    public static StoreKey Read(ReadOnlySpan<byte> source) => new(
        (StoreKind)source[0],
        BinaryPrimitives.ReadUInt32BigEndian(source[1..]),
        source[5],
        BinaryPrimitives.ReadUInt64BigEndian(source[6..]),
        (long)(BinaryPrimitives.ReadUInt64BigEndian(source[14..]) ^ (1UL << 63)),
        (long)(BinaryPrimitives.ReadUInt64BigEndian(source[22..]) ^ (1UL << 63)));
}

/// <summary>The kinds of records; part of the stored format.</summary>
[Experimental("QUEUEKIT001")]
public enum StoreKind : byte
{
    /// <summary>About the store itself: format, the number of the last commit.</summary>
    Meta = 1,
    /// <summary>A queue: its id, name and options.</summary>
    Queue = 2,
    /// <summary>A commit's own record: its number and what it changed in the counts of messages.</summary>
    Delta = 3,
    /// <summary>What failed attempts left behind, by the message's number. Absent for a message that never failed.</summary>
    Attempts = 4,
    /// <summary>A message with a due time: delayed by its sender.</summary>
    Parked = 5,
    /// <summary>How far a source of messages has been moved into the queues: see <see cref="BrokerTransaction.MoveWatermark"/>.</summary>
    Watermark = 6,
    /// <summary>A message, by band, group and number. The last kind there is: appending to the end of an index is the quickest way into it.</summary>
    Message = 128,
}
