using System.Diagnostics;

namespace QueueKit.Throughput;

/// <summary>What it took to carry the messages of one round.</summary>
/// <param name="Messages">How many.</param>
/// <param name="Seconds">How long.</param>
/// <param name="BytesPerMessage">Allocated for one, beside the caller's own <see cref="Message"/>.</param>
internal readonly record struct Round(long Messages, double Seconds, double BytesPerMessage)
{
    private static Message? s_sink;

    /// <summary>How many messages went into one commit, on average, where there are commits.</summary>
    public double? MeanBatch { get; init; }

    public double PerSecond => Messages / Seconds;

    // What the caller's own message costs, measured like everything else. The static field keeps it on the heap.
    private static double MessageBytes { get; } = MeasureMessage();

    /// <summary>Measures <paramref name="work"/>, which creates and carries <paramref name="messages"/> messages.</summary>
    public static async Task<Round> MeasureAsync(long messages, Func<Task> work)
    {
        // Every round starts from the same heap, and none pays for the garbage of the one before.
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        double own = MessageBytes;
        long bytes = GC.GetTotalAllocatedBytes(precise: true);
        long start = Stopwatch.GetTimestamp();
        await work();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        bytes = GC.GetTotalAllocatedBytes(precise: true) - bytes;
        return new Round(messages, seconds, (double)bytes / messages - own);
    }

    /// <summary>Says so, rather than time it, when a contender has lost or invented messages.</summary>
    public static void Expect(long expected, long actual, string what)
    {
        if (actual != expected)
            throw new InvalidOperationException($"{what}: expected {expected}, counted {actual}. The measurement is void.");
    }

    private static double MeasureMessage()
    {
        const int Count = 10_000;
        byte[] body = new byte[100];
        long bytes = GC.GetTotalAllocatedBytes(precise: true);
        for (int i = 0; i < Count; i++)
            Volatile.Write(ref s_sink, new Message(body));
        return (double)(GC.GetTotalAllocatedBytes(precise: true) - bytes) / Count;
    }
}
