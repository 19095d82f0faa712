using System.Numerics;

namespace QueueKit.Queues;

/// <summary>Leases in the order in which they end, where that is the order in which they are added: a row to whose end all are added and from which any may leave.</summary>
/// <remarks>
/// Whoever leaves from the middle leaves a gap, and a delivery needs no more than its place in the row to be found. The gaps are closed when the row is full, so
/// however long one delivery stays, the row is never longer than four times what is in it (and <see cref="Shortest"/>).
/// </remarks>
internal sealed class LeaseRow
{
    private const int Shortest = 16;

    // A circle; its length is a power of two. What is not in use, and what has left, is null.
    private InFlightDelivery?[] _circle = [];
    private int _first;
    private int _used;

    /// <summary>How many are in the row.</summary>
    public int Count { get; private set; }

    /// <summary>How many it has room for.</summary>
    public int Length => _circle.Length;

    /// <summary>When the lease that was added last ends, or ended.</summary>
    public long LastDeadline { get; private set; } = long.MinValue;

    /// <summary>The first; null if there is none.</summary>
    public InFlightDelivery? First => _used == 0 ? null : _circle[_first];

    /// <summary>The deliveries, in order.</summary>
    public IEnumerable<InFlightDelivery> Deliveries
    {
        get
        {
            for (int i = 0; i < _used; i++)
            {
                if (_circle[(_first + i) & (_circle.Length - 1)] is { } delivery)
                    yield return delivery;
            }
        }
    }

    /// <summary>Adds one to the end; its deadline is not before <see cref="LastDeadline"/>, unless the row is empty.</summary>
    public void Add(InFlightDelivery delivery)
    {
        if (_used == _circle.Length)
            CloseGaps();
        InFlightDelivery?[] circle = _circle;
        int at = (_first + _used) & (circle.Length - 1);
        circle[at] = delivery;
        delivery.PlaceInRow = at;
        LastDeadline = delivery.Deadline;
        _used++;
        Count++;
    }

    /// <summary>Takes one out that is in.</summary>
    public void Remove(InFlightDelivery delivery)
    {
        InFlightDelivery?[] circle = _circle;
        circle[delivery.PlaceInRow] = null;
        Count--;
        // The first place is never a gap.
        while (_used > 0 && circle[_first] is null)
        {
            _first = (_first + 1) & (circle.Length - 1);
            _used--;
        }
        if (Count == 0 && circle.Length > 64 * Shortest)
            _circle = [];
    }

    private void CloseGaps()
    {
        int length = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Max(Shortest, Count * 2));
        InFlightDelivery?[] from = _circle, to = length == from.Length ? from : new InFlightDelivery?[length];
        int first = ReferenceEquals(from, to) ? _first : 0;
        int count = 0;
        for (int i = 0; i < _used; i++)
        {
            ref InFlightDelivery? place = ref from[(_first + i) & (from.Length - 1)];
            if (place is not { } delivery)
                continue;
            place = null;
            int at = (first + count++) & (length - 1);
            to[at] = delivery;
            delivery.PlaceInRow = at;
        }
        _circle = to;
        _first = first;
        _used = count;
    }
}
