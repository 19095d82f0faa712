namespace QueueKit.Stores;

/// <summary>Which run of the machine this is: what a process wrote into memory that the operating system owns is lost with the run, not with the process.</summary>
internal static class BootId
{
    // How far two computations of the same start may lie apart where the system has no number for it: clocks are set while it runs. No machine starts twice within it.
    private const long Tolerance = 5 * TimeSpan.TicksPerSecond;

    // Linux has a random number for each start, which containers share with their host. Elsewhere it is the time of the start, marked by eight zeros:
    //
    //  0        8                        16
    //  | zeros  | ticks of the start i64 |

    /// <summary>The present run's.</summary>
    public static Guid Read(TimeProvider time)
    {
        const string Linux = "/proc/sys/kernel/random/boot_id";
        if (OperatingSystem.IsLinux() && File.Exists(Linux) && Guid.TryParse(File.ReadAllText(Linux).AsSpan().Trim(), out Guid id))
            return id;
#pragma warning disable RS0030 // How long the machine runs is no time of an application's, and no TimeProvider knows it.
        long started = time.GetUtcNow().UtcTicks - Environment.TickCount64 * TimeSpan.TicksPerMillisecond;
#pragma warning restore RS0030
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        BitConverter.TryWriteBytes(bytes[8..], started);
        return new Guid(bytes);
    }

    /// <summary>Whether both are of the same run. When in doubt they are not: that costs no more than a mark on messages.</summary>
    public static bool AreSame(Guid a, Guid b) =>
        a == b || (StartOf(a) is { } first && StartOf(b) is { } second && Math.Abs(first - second) < Tolerance);

    private static long? StartOf(Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes);
        long start = BitConverter.ToInt64(bytes[8..]);
        return BitConverter.ToInt64(bytes) == 0 && start != 0 ? start : null;
    }
}
