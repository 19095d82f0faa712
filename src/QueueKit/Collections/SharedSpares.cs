using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Collections;

/// <summary>Spare objects that any thread may take and give. Each kind of object keeps one more per thread in front of this, in a thread-static field of its own:
/// on a generic type that field would cost a dictionary look-up each time.</summary>
internal sealed class SharedSpares<T> where T : class
{
    // More than this many idle ones are left to the collector.
    private const int MaxCount = 4096;

    private readonly ConcurrentQueue<T> _spares = new();
    private int _count;

    public bool TryTake([NotNullWhen(true)] out T? spare)
    {
        if (Volatile.Read(ref _count) == 0 || !_spares.TryDequeue(out spare))
        {
            spare = null;
            return false;
        }
        Interlocked.Decrement(ref _count);
        return true;
    }

    /// <summary>Takes an object back; it must hold on to nothing.</summary>
    public void Give(T spare)
    {
        if (Volatile.Read(ref _count) >= MaxCount)
            return;
        Interlocked.Increment(ref _count);
        _spares.Enqueue(spare);
    }
}
