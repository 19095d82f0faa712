namespace QueueKit.Stores;

/// <summary>A record, or the place where one was.</summary>
internal struct RecordEntry
{
    public RunKey Key;
    public ReadOnlyMemory<byte> Head;
    public ReadOnlyMemory<byte> Body;
    public bool IsLive;
}

/// <summary>A sorted array of records within a <see cref="SortedRun"/>.</summary>
/// <remarks>The entries from <see cref="Start"/> to before <see cref="End"/> ascend by key; the first and the last of them are live, those between may be dead.
/// An entry that is dead or outside keeps no memory of a message alive.</remarks>
internal sealed class RecordChunk(int capacity)
{
    /// <summary>Large enough that the list of chunks stays short, small enough that an insertion moves little: 14 KiB.</summary>
    public const int FullCapacity = 256;

    /// <summary>Where a run begins: most prefixes may hold a record or two.</summary>
    public const int SmallCapacity = 4;

    public RecordEntry[] Entries { get; private set; } = new RecordEntry[capacity];

    public int Capacity => Entries.Length;

    public int Start { get; private set; }

    public int End { get; private set; }

    /// <summary>The live entries.</summary>
    public int Live { get; private set; }

    public RunKey FirstKey => Entries[Start].Key;

    public RunKey LastKey => Entries[End - 1].Key;

    /// <summary>Adds a record behind all others; there must be room at the end.</summary>
    public void Append(RunKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        Set(End, key, head, body);
        End++;
        Live++;
    }

    /// <summary>The place of a key or, where it is not, the complement of the place of the next higher one.</summary>
    public int Find(RunKey key)
    {
        RecordEntry[] entries = Entries;
        int low = Start;
        int high = End - 1;

        // Sequences at even distances, which is what one queue or several busy ones make, are where they count to.
        RunKey first = entries[low].Key;
        long distance = key.Sequence - first.Sequence;
        long span = entries[high].Key.Sequence - first.Sequence;
        if (distance >= 0 && distance <= span && span <= int.MaxValue)
        {
            int guess = low + (span == high - low ? (int)distance : (int)((uint)distance * (ulong)(high - low) / Math.Max((uint)span, 1)));
            if (entries[guess].Key == key)
                return guess;
        }

        while (low <= high)
        {
            int middle = (int)((uint)(low + high) >> 1);
            RunKey found = entries[middle].Key;
            if (found == key)
                return middle;
            if (found < key)
                low = middle + 1;
            else
                high = middle - 1;
        }
        return ~low;
    }

    /// <summary>Adds or replaces a record whose key is not behind the last; false when there is no room.</summary>
    public bool TryPut(RunKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        int index = Find(key);
        if (index >= 0)
        {
            if (!Entries[index].IsLive)
                Live++;
            Set(index, key, head, body);
            return true;
        }

        index = ~index;
        if (index > Start && !Entries[index - 1].IsLive)
        {
            index--;
        }
        else if (index == Start && Start > 0)
        {
            index = --Start;
        }
        else if (Entries[index].IsLive)
        {
            if (End < Capacity)
            {
                Array.Copy(Entries, index, Entries, index + 1, End - index);
                End++;
            }
            else if (Start > 0)
            {
                Array.Copy(Entries, Start, Entries, Start - 1, index - Start);
                Start--;
                index--;
            }
            else
            {
                return false;
            }
        }
        Set(index, key, head, body);
        Live++;
        return true;
    }

    /// <summary>Removes the live record at <paramref name="index"/>.</summary>
    public void Kill(int index)
    {
        Clear(ref Entries[index]);
        Live--;
        Trim();
    }

    /// <summary>Removes the live records from <paramref name="from"/> to before <paramref name="to"/>.</summary>
    public void KillRange(int from, int to)
    {
        for (int i = from; i < to; i++)
        {
            if (!Entries[i].IsLive)
                continue;
            Clear(ref Entries[i]);
            Live--;
        }
        Trim();
    }

    /// <summary>Forgets where dead entries were, so that the chunk can be filled from the beginning.</summary>
    public void Reset() => Start = End = 0;

    /// <summary>Makes room at the end by moving the live entries together or by growing; false when the chunk is of full size and more than half full.</summary>
    public bool TryMakeRoom()
    {
        if (Live * 2 <= Capacity)
            MoveInto(Entries);
        else if (Capacity < FullCapacity)
            MoveInto(new RecordEntry[Math.Min(FullCapacity, Capacity * 4)]);
        else
            return false;
        return true;
    }

    /// <summary>Keeps a record that stays behind its neighbours from holding a whole chunk.</summary>
    public void ShrinkIfSparse()
    {
        if (Live * 8 <= Capacity && Capacity > SmallCapacity * 4)
            MoveInto(new RecordEntry[Live * 2]);
    }

    /// <summary>Moves the upper half to an empty chunk.</summary>
    public RecordChunk SplitInto(RecordChunk other)
    {
        int middle = (Start + End) / 2;
        for (int i = middle; i < End; i++)
        {
            if (!Entries[i].IsLive)
                continue;
            other.Entries[other.End++] = Entries[i];
            Clear(ref Entries[i]);
        }
        other.Live = other.End;
        Live -= other.Live;
        Trim();
        return other;
    }

    private void Set(int index, RunKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        ref RecordEntry entry = ref Entries[index];
        entry.Key = key;
        entry.Head = head;
        entry.Body = body;
        entry.IsLive = true;
    }

    private static void Clear(ref RecordEntry entry)
    {
        entry.Head = default;
        entry.Body = default;
        entry.IsLive = false;
    }

    private void Trim()
    {
        RecordEntry[] entries = Entries;
        while (Start < End && !entries[Start].IsLive)
            Start++;
        while (End > Start && !entries[End - 1].IsLive)
            End--;
    }

    private void MoveInto(RecordEntry[] target)
    {
        int count = 0;
        for (int i = Start; i < End; i++)
        {
            if (!Entries[i].IsLive)
                continue;
            if (target != Entries || count != i)
            {
                target[count] = Entries[i];
                Clear(ref Entries[i]);
            }
            count++;
        }
        Entries = target;
        Start = 0;
        End = count;
    }
}

/// <summary>Keeps empty chunks, so that a backlog that moves along allocates nothing.</summary>
internal sealed class ChunkPool
{
    private const int Limit = 64;
    private readonly Stack<RecordChunk> _chunks = new(Limit);

    public RecordChunk Rent() => _chunks.TryPop(out RecordChunk? chunk) ? chunk : new RecordChunk(RecordChunk.FullCapacity);

    public void Return(RecordChunk chunk)
    {
        if (chunk.Capacity != RecordChunk.FullCapacity || _chunks.Count == Limit)
            return;
        chunk.Reset();
        _chunks.Push(chunk);
    }
}
