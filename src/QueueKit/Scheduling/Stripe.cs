using System.Numerics;

namespace QueueKit.Scheduling;

/// <summary>Which part of a counter that is kept in parts a thread uses: threads that run at the same time should not fetch one cache line from each other for every message.</summary>
internal static class Stripe
{
    /// <summary>How many parts there are: a power of two.</summary>
    public static readonly int Count = (int)BitOperations.RoundUpToPowerOf2((uint)Math.Clamp(Environment.ProcessorCount * 2, 2, 32));

    private static int s_threads;

    // Numbered from 1, so that 0 means none yet.
    [ThreadStatic]
    private static int t_number;

    /// <summary>The calling thread's part, below <see cref="Count"/>.</summary>
    public static int OfThread
    {
        get
        {
            int number = t_number;
            return number != 0 ? number - 1 : Assign();
        }
    }

    private static int Assign()
    {
        int stripe = Interlocked.Increment(ref s_threads) & (Count - 1);
        t_number = stripe + 1;
        return stripe;
    }
}

/// <summary>A number that fills two cache lines: processors fetch them in pairs.</summary>
[System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 128)]
internal struct PaddedLong
{
    [System.Runtime.InteropServices.FieldOffset(0)]
    public long Value;
}

/// <summary>Keeps what processors compete for away from what lies before it in memory: a base class's fields come first. The deriving class puts <see cref="Lines"/> behind.</summary>
internal abstract class CacheLines
{
#pragma warning disable CA1823, IDE0051, CS0169 // Nobody's, on purpose.
    private readonly Lines _before;
#pragma warning restore CA1823, IDE0051, CS0169

    /// <summary>Two cache lines.</summary>
    [System.Runtime.CompilerServices.InlineArray(16)]
    protected struct Lines
    {
        private long _first;
    }
}
