using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Collections;

/// <summary>A FIFO that grows without copying and gives memory back as it empties.</summary>
/// <remarks>A <see cref="Queue{T}"/> copies everything when it doubles, which under a lock is a pause that grows with the backlog; segments cost the same at any length.
/// Invariant: all segments but the first and the last are full; an empty queue has at most one segment.</remarks>
internal sealed class SegmentedQueue<T>
{
    private const int FirstLength = 8;
    private const int MaxLength = 512;

    private Segment? _first;
    private Segment? _last;
    // The longest of the segments emptied since the last one was added: in a steady flow it becomes the next one, and nothing is allocated.
    // (Were it simply the one emptied last, a flow over segments of several lengths would lose the long ones and allocate for ever.)
    private Segment? _spare;

    public int Count { get; private set; }

    public void Enqueue(in T item)
    {
        Segment? last = _last;
        if (last is null || last.End == last.Items.Length)
            last = AddSegment();
        last.Items[last.End++] = item;
        Count++;
    }

    /// <summary>The oldest item, in place; the queue must not be empty.</summary>
    public ref T Peek() => ref _first!.Items[_first.Start];

    public bool TryDequeue([MaybeNullWhen(false)] out T item)
    {
        if (Count == 0)
        {
            item = default;
            return false;
        }
        Segment first = _first!;
        item = first.Items[first.Start];
        first.Items[first.Start++] = default!;
        Count--;
        if (first.Start == first.End)
            Retire(first);
        return true;
    }

    public void Clear()
    {
        _first = _last = _spare = null;
        Count = 0;
    }

    private Segment AddSegment()
    {
        Segment? segment = _spare;
        _spare = null;
        segment ??= new Segment(_last is null ? FirstLength : Math.Min(_last.Items.Length * 2, MaxLength));
        if (_last is null)
            _first = segment;
        else
            _last.Next = segment;
        _last = segment;
        return segment;
    }

    private void Retire(Segment empty)
    {
        empty.Start = empty.End = 0;
        if (empty.Next is null)
            return;
        _first = empty.Next;
        empty.Next = null;
        if (_spare is null || empty.Items.Length >= _spare.Items.Length)
            _spare = empty;
    }

    private sealed class Segment(int length)
    {
        public readonly T[] Items = new T[length];
        public int Start;
        public int End;
        public Segment? Next;
    }
}
