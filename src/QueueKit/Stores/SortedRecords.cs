using System.Diagnostics;

namespace QueueKit.Stores;

/// <summary>Records in the order of their keys: what <see cref="InMemoryMessageStore"/> keeps. Has no lock.</summary>
/// <remarks>One <see cref="SortedRun"/> for each prefix of keys, because a broker writes many ends at once: one for each queue, band and group.</remarks>
internal sealed class SortedRecords
{
    // A queue that goes back and forth between none and one must not build its run anew each time, and a million groups used once must not stay.
    private const int EmptyRunLimit = 1024;

    private readonly Dictionary<RunPrefix, SortedRun> _runs = [];
    private readonly SortedSet<SortedRun> _order = new(Comparer<SortedRun>.Create(static (left, right) => left.Prefix.CompareTo(right.Prefix)));
    private readonly List<SortedRun> _emptied = [];
    private readonly ChunkPool _pool = new();
    private SortedRun? _last;

    /// <summary>The runs, empty ones that are kept included.</summary>
    public int RunCount => _runs.Count;

    public void Put(in StoreKey key, in ReadOnlyMemory<byte> head, in ReadOnlyMemory<byte> body)
    {
        RunPrefix prefix = RunPrefix.Of(key);
        SortedRun run = _last is { } last && last.Prefix == prefix ? last : GetOrAddRun(prefix);
        run.Put(RunKey.Of(key), head, body);
    }

    public bool TryGet(in StoreKey key, out ReadOnlyMemory<byte> head, out ReadOnlyMemory<byte> body)
    {
        if (FindRun(RunPrefix.Of(key)) is { } run)
            return run.TryGet(RunKey.Of(key), out head, out body);
        head = body = default;
        return false;
    }

    public void Delete(in StoreKey key)
    {
        SortedRun? run = FindRun(RunPrefix.Of(key));
        if (run is null || !run.Delete(RunKey.Of(key)) || run.Count != 0)
            return;
        NoteIfEmpty(run);
        SweepEmptyRuns();
    }

    public void DeleteRange(in StoreKey from, in StoreKey to)
    {
        if (from >= to)
            return;
        foreach (SortedRun run in RunsBetween(from, to))
        {
            (SortedRun.Position first, SortedRun.Position end) = Within(run, from, to);
            if (run.Count == 0)
                continue;
            run.DeleteRange(first, end);
            NoteIfEmpty(run);
        }
        SweepEmptyRuns();
    }

    /// <summary>Adds records to <paramref name="page"/> in ascending order until it is full; true when more lie in the range.</summary>
    public bool Read(in StoreKey from, in StoreKey to, int maxCount, long maxBytes, StorePage page)
    {
        if (from >= to)
            return false;
        foreach (SortedRun run in RunsBetween(from, to))
        {
            (SortedRun.Position first, SortedRun.Position end) = Within(run, from, to);
            if (run.Read(first, end, maxCount, maxBytes, page))
                return true;
        }
        return false;
    }

    private SortedSet<SortedRun> RunsBetween(in StoreKey from, in StoreKey to) =>
        _order.GetViewBetween(new SortedRun(RunPrefix.Of(from), _pool), new SortedRun(RunPrefix.Of(to), _pool));

    private static (SortedRun.Position First, SortedRun.Position End) Within(SortedRun run, in StoreKey from, in StoreKey to) =>
        (run.Prefix == RunPrefix.Of(from) ? run.LowerBound(RunKey.Of(from)) : run.Begin,
         run.Prefix == RunPrefix.Of(to) ? run.LowerBound(RunKey.Of(to)) : run.End);

    private SortedRun? FindRun(RunPrefix prefix)
    {
        if (_last is { } last && last.Prefix == prefix)
            return last;
        if (!_runs.TryGetValue(prefix, out SortedRun? run))
            return null;
        _last = run;
        return run;
    }

    private SortedRun GetOrAddRun(RunPrefix prefix)
    {
        if (!_runs.TryGetValue(prefix, out SortedRun? run))
        {
            run = new SortedRun(prefix, _pool);
            _runs.Add(prefix, run);
            bool isNew = _order.Add(run);
            Debug.Assert(isNew, "a run is in the order exactly when it is in the dictionary");
        }
        _last = run;
        return run;
    }

    private void NoteIfEmpty(SortedRun run)
    {
        if (run.Count != 0 || run.IsNotedEmpty)
            return;
        run.IsNotedEmpty = true;
        _emptied.Add(run);
    }

    private void SweepEmptyRuns()
    {
        if (_emptied.Count < EmptyRunLimit)
            return;
        foreach (SortedRun run in _emptied)
        {
            run.IsNotedEmpty = false;
            if (run.Count != 0)
                continue;
            _runs.Remove(run.Prefix);
            _order.Remove(run);
            run.Release();
        }
        _emptied.Clear();
        _last = null;
    }
}
