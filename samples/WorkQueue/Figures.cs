namespace WorkQueue;

/// <summary>How figures are written for people.</summary>
internal static class Figures
{
    public static string Count(long number) => $"{number:N0}";

    public static string Plural(long number, string one, string? many = null) => $"{number:N0} {(number == 1 ? one : many ?? one + "s")}";

    public static string Bytes(double bytes) => bytes switch
    {
        < 1_000 => $"{bytes:0} B",
        < 1_000_000 => $"{bytes / 1_000:0.0} kB",
        < 1_000_000_000 => $"{bytes / 1_000_000:0.0} MB",
        _ => $"{bytes / 1_000_000_000:0.00} GB",
    };

    public static string Duration(TimeSpan time) => time switch
    {
        { TotalSeconds: < 1 } => $"{time.TotalMilliseconds:0} ms",
        { TotalSeconds: < 100 } => $"{time.TotalSeconds:0.##} s",
        _ => $"{(int)time.TotalMinutes}:{time.Seconds:00} min",
    };

    public static double PerSecond(double amount, TimeSpan time) => time > TimeSpan.Zero ? amount / time.TotalSeconds : 0;
}
