using System.Diagnostics;

namespace OrdersWithSqlite;

/// <summary>Ends the process on purpose, as a crash or a kill would: at once, with nothing cleaned up.</summary>
/// <param name="random">Chance.</param>
/// <param name="rate">How often, from 0 to 1.</param>
internal sealed class Mishaps(Random random, double rate)
{
    private readonly Lock _lock = new();

    /// <summary>A moment at which it would hurt.</summary>
    public void MayHappen(string when)
    {
        lock (_lock)
        {
            if (random.NextDouble() >= rate)
                return;
        }
        Console.WriteLine($"crash: {when}");
        Console.Out.Flush();
        Process.GetCurrentProcess().Kill();
    }
}
