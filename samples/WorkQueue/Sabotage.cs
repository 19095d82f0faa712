namespace WorkQueue;

/// <summary>A way in which a consumer fails on purpose.</summary>
internal enum Mishap
{
    None = 0,
    /// <summary>It throws before it has done anything.</summary>
    ThrowBeforeWork,
    /// <summary>It throws when the file is in the index already, so that the same work comes back.</summary>
    ThrowAfterWork,
    /// <summary>It does its work and then hangs until its lease has timed out, so that its ack comes too late.</summary>
    StallAfterWork,
}

internal sealed class SabotageException() : Exception("Failed on purpose (--fail-rate).");

/// <summary>Decides which deliveries fail on purpose: the same seed picks the same ones, whichever consumer gets them.</summary>
internal sealed class Sabotage(double rate, int seed, int files)
{
    // A stall costs a consumer more than a lease: one failure in ten, but no more than about 25 however many files there are.
    private readonly double _stallShare = Math.Min(0.1, 25 / (rate * files));

    /// <summary>Later attempts are left alone, so that every file gets through at any rate.</summary>
    private const int LastAttempt = 3;

    public Mishap Choose(string path, int attempt)
    {
        if (rate == 0 || attempt > LastAttempt)
            return Mishap.None;
        var random = new Random(Fold(path, attempt));
        if (random.NextDouble() >= rate)
            return Mishap.None;
        if (random.NextDouble() < _stallShare)
            return Mishap.StallAfterWork;
        return random.Next(2) == 0 ? Mishap.ThrowBeforeWork : Mishap.ThrowAfterWork;
    }

    // FNV-1a: string.GetHashCode differs from process to process.
    private int Fold(string path, int attempt)
    {
        uint hash = 2166136261;
        foreach (char c in path)
            hash = (hash ^ c) * 16777619;
        hash = (hash ^ (uint)attempt) * 16777619;
        return (int)((hash ^ (uint)seed) * 16777619);
    }
}
