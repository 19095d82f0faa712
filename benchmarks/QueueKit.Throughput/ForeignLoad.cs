using System.Globalization;

namespace QueueKit.Throughput;

/// <summary>How much of the processors everybody else took: with one of two cores gone, two threads no longer compete for a lock, and every ratio is another one.</summary>
internal sealed class ForeignLoad
{
    private const string Statistics = "/proc/stat";

    // The unit of the kernel's statistics (USER_HZ).
    private const double TicksPerSecond = 100;

    private readonly (double Busy, double All)? _start = Machine();
    private readonly double _ownStart = Own();

    /// <summary>The share since this object was made, 0 to 1; null where the system does not tell.</summary>
    public double? Share
    {
        get
        {
            if (_start is not { } start || Machine() is not { } now || now.All <= start.All)
                return null;
            double foreign = now.Busy - start.Busy - (Own() - _ownStart);
            return Math.Clamp(foreign / (now.All - start.All), 0, 1);
        }
    }

    private static double Own() => Environment.CpuUsage.TotalTime.TotalSeconds;

    // Seconds of all processors together, from the first line: cpu user nice system idle iowait irq softirq steal …
    private static (double Busy, double All)? Machine()
    {
        if (!OperatingSystem.IsLinux() || !File.Exists(Statistics))
            return null;
        double[] seconds = [.. File.ReadLines(Statistics).First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1).Take(8)
            .Select(static text => double.Parse(text, CultureInfo.InvariantCulture) / TicksPerSecond)];
        double all = seconds.Sum();
        return (all - seconds[3] - seconds[4], all);
    }
}
