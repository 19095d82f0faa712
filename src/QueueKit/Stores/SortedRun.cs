namespace QueueKit.Stores;

/// <summary>The first parts of a <see cref="StoreKey"/>, packed so that they compare as two numbers.</summary>
/// <param name="Place">Kind, queue and band.</param>
/// <param name="Group">The group.</param>
internal readonly record struct RunPrefix(ulong Place, ulong Group) : IComparable<RunPrefix>
{
    public static RunPrefix Of(in StoreKey key) => new(((ulong)key.Kind << 40) | ((ulong)key.Queue << 8) | key.Band, key.Group);

    public int CompareTo(RunPrefix other)
    {
        int order = Place.CompareTo(other.Place);
        return order != 0 ? order : Group.CompareTo(other.Group);
    }

    public StoreKey Join(RunKey key) => new((StoreKind)(Place >> 40), (uint)(Place >> 8), (byte)Place, Group, key.Order, key.Sequence);
}

/// <summary>The last parts of a <see cref="StoreKey"/>: what orders the records within a <see cref="SortedRun"/>.</summary>
internal readonly record struct RunKey(long Order, long Sequence)
{
    public static RunKey Of(in StoreKey key) => new(key.Order, key.Sequence);

    public static bool operator <(RunKey left, RunKey right) =>
        left.Order != right.Order ? left.Order < right.Order : left.Sequence < right.Sequence;

    public static bool operator >(RunKey left, RunKey right) => right < left;
}

/// <summary>The records that share a <see cref="RunPrefix"/>, in ascending order: cheap to extend at the end and to shorten at the beginning.</summary>
/// <remarks>
/// A list of sorted chunks. A deleted record leaves a dead entry in its place, so that the entries of consecutive sequences stay at consecutive places
/// and are found without a search; dead entries at either end of a chunk are cut off, and a chunk without a live entry leaves the list.
/// </remarks>
internal sealed class SortedRun(RunPrefix prefix, ChunkPool pool)
{
    // The chunks are _chunks[_start.._end]: not empty, keys ascending from one to the next. Only a run without records may keep one empty chunk.
    private RecordChunk?[] _chunks = [];
    private int _start;
    private int _end;
    private int _hint;

    public RunPrefix Prefix { get; } = prefix;

    /// <summary>The records.</summary>
    public long Count { get; private set; }

    /// <summary>Whether <see cref="SortedRecords"/> has noted that the run became empty.</summary>
    public bool IsNotedEmpty { get; set; }

    /// <summary>Where a record is, or would be.</summary>
    internal readonly record struct Position(int Chunk, int Index);

    public Position Begin => Count == 0 ? new(_end, 0) : new(_start, _chunks[_start]!.Start);

    public Position End => new(_end, 0);

    public void Put(RunKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        if (Count != 0 && !(key > _chunks[_end - 1]!.LastKey))
        {
            PutInside(key, head, body);
            return;
        }

        RecordChunk chunk = _end == _start ? AddChunk(new RecordChunk(RecordChunk.SmallCapacity)) : _chunks[_end - 1]!;
        if (chunk.End == chunk.Capacity)
            chunk = MakeRoomAtEnd(chunk);
        chunk.Append(key, head, body);
        Count++;
    }

    public bool TryGet(RunKey key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body)
    {
        if (Count != 0 && FindChunk(key) is int place && place < _end)
        {
            RecordChunk chunk = _chunks[place]!;
            int index = chunk.Find(key);
            if (index >= 0 && chunk.Entries[index].IsLive)
            {
                head = chunk.Entries[index].Head;
                body = chunk.Entries[index].Body;
                return true;
            }
        }
        head = body = default;
        return false;
    }

    public bool Delete(RunKey key)
    {
        if (Count == 0)
            return false;
        int place = FindChunk(key);
        if (place == _end)
            return false;
        RecordChunk chunk = _chunks[place]!;
        int index = chunk.Find(key);
        if (index < 0 || !chunk.Entries[index].IsLive)
            return false;

        chunk.Kill(index);
        Count--;
        if (chunk.Live == 0)
            Drop(place);
        else if (place > _start && place < _end - 1)
            chunk.ShrinkIfSparse();
        return true;
    }

    /// <summary>Deletes the records from <paramref name="from"/> to before <paramref name="to"/>.</summary>
    public void DeleteRange(Position from, Position to)
    {
        int kept = from.Chunk;
        int place = from.Chunk;
        for (; place < _end && place <= to.Chunk; place++)
        {
            RecordChunk chunk = _chunks[place]!;
            int first = place == from.Chunk ? from.Index : chunk.Start;
            int last = place == to.Chunk ? to.Index : chunk.End;
            int before = chunk.Live;
            chunk.KillRange(first, last);
            Count -= before - chunk.Live;
            if (chunk.Live == 0)
                pool.Return(chunk);
            else
                _chunks[kept++] = chunk;
        }

        int tail = _end - place;
        Array.Copy(_chunks, place, _chunks, kept, tail);
        Array.Clear(_chunks, kept + tail, place - kept);
        _end = kept + tail;
    }

    /// <summary>The place of the first record at or behind <paramref name="key"/>.</summary>
    public Position LowerBound(RunKey key)
    {
        if (Count == 0)
            return End;
        int place = FindChunk(key);
        if (place == _end)
            return End;
        int index = _chunks[place]!.Find(key);
        return new(place, index >= 0 ? index : ~index);
    }

    /// <summary>Adds records to <paramref name="page"/> until it is full; true when one more was there that found no room.</summary>
    public bool Read(Position from, Position to, int maxCount, long maxBytes, StorePage page)
    {
        for (int place = from.Chunk; place < _end && place <= to.Chunk; place++)
        {
            RecordChunk chunk = _chunks[place]!;
            int first = place == from.Chunk ? from.Index : chunk.Start;
            int last = place == to.Chunk ? to.Index : chunk.End;
            for (int i = first; i < last; i++)
            {
                ref RecordEntry entry = ref chunk.Entries[i];
                if (!entry.IsLive)
                    continue;
                if (page.Records.Count >= maxCount || page.Bytes >= maxBytes)
                    return true;
                page.Add(Prefix.Join(entry.Key), entry.Head, entry.Body);
            }
        }
        return false;
    }

    /// <summary>Gives the chunk that an empty run has kept back to the pool.</summary>
    public void Release()
    {
        for (; _start < _end; _start++)
        {
            pool.Return(_chunks[_start]!);
            _chunks[_start] = null;
        }
    }

    private void PutInside(RunKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        while (true)
        {
            int place = FindChunk(key);
            RecordChunk chunk = _chunks[place]!;
            int before = chunk.Live;
            if (chunk.TryPut(key, head, body))
            {
                Count += chunk.Live - before;
                return;
            }
            if (!chunk.TryMakeRoom())
                InsertChunk(place + 1, chunk.SplitInto(pool.Rent()));
        }
    }

    private RecordChunk MakeRoomAtEnd(RecordChunk chunk)
    {
        if (chunk.Capacity == RecordChunk.FullCapacity)
            return AddChunk(pool.Rent());
        chunk.TryMakeRoom();
        return chunk;
    }

    /// <summary>The place of the first chunk whose last key is at or behind <paramref name="key"/>; the end if there is none.</summary>
    private int FindChunk(RunKey key)
    {
        int hint = _hint;
        if (hint >= _start && hint < _end && Holds(hint, key))
            return hint;
        if (++hint >= _start && hint < _end && Holds(hint, key))
            return _hint = hint;

        int low = _start;
        int high = _end;
        while (low < high)
        {
            int middle = (int)((uint)(low + high) >> 1);
            if (_chunks[middle]!.LastKey < key)
                low = middle + 1;
            else
                high = middle;
        }
        return _hint = low;
    }

    private bool Holds(int place, RunKey key)
    {
        RecordChunk chunk = _chunks[place]!;
        return !(key < chunk.FirstKey) && !(key > chunk.LastKey);
    }

    private RecordChunk AddChunk(RecordChunk chunk)
    {
        InsertChunk(_end, chunk);
        return chunk;
    }

    private void InsertChunk(int place, RecordChunk chunk)
    {
        if (_end == _chunks.Length)
        {
            int count = _end - _start;
            RecordChunk?[] chunks = count * 2 < _chunks.Length ? _chunks : new RecordChunk?[Math.Max(2, _chunks.Length * 2)];
            Array.Copy(_chunks, _start, chunks, 0, count);
            if (chunks == _chunks)
                Array.Clear(_chunks, count, _start);
            _chunks = chunks;
            place -= _start;
            _start = 0;
            _end = count;
        }
        Array.Copy(_chunks, place, _chunks, place + 1, _end - place);
        _chunks[place] = chunk;
        _end++;
    }

    private void Drop(int place)
    {
        RecordChunk chunk = _chunks[place]!;
        if (_end - _start == 1)
        {
            chunk.Reset();
            return;
        }
        if (place == _start)
        {
            _chunks[_start++] = null;
        }
        else
        {
            _end--;
            Array.Copy(_chunks, place + 1, _chunks, place, _end - place);
            _chunks[_end] = null;
        }
        pool.Return(chunk);
    }
}
