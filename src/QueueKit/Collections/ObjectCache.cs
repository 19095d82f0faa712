using System.Collections.Concurrent;

namespace QueueKit.Collections;

/// <summary>Spare objects for reuse: one per thread for the common case of return and rent on the same thread, the rest shared.</summary>
internal static class ObjectCache<T> where T : class, new()
{
    // More than this many idle ones are left to the collector.
    private const int MaxShared = 4096;

    private static readonly ConcurrentQueue<T> s_shared = new();
    private static int s_sharedCount;

    [ThreadStatic]
    private static T? t_spare;

    public static T Rent()
    {
        T? spare = t_spare;
        if (spare is not null)
        {
            t_spare = null;
            return spare;
        }
        if (Volatile.Read(ref s_sharedCount) > 0 && s_shared.TryDequeue(out spare))
        {
            Interlocked.Decrement(ref s_sharedCount);
            return spare;
        }
        return new T();
    }

    /// <summary>Takes an object back; it must hold on to nothing.</summary>
    public static void Return(T item)
    {
        if (t_spare is null)
        {
            t_spare = item;
        }
        else if (Volatile.Read(ref s_sharedCount) < MaxShared)
        {
            Interlocked.Increment(ref s_sharedCount);
            s_shared.Enqueue(item);
        }
    }
}
