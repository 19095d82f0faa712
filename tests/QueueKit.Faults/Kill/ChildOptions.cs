using System.Globalization;

namespace QueueKit.Faults.Kill;

/// <summary>What the parent tells its child.</summary>
internal sealed record ChildOptions(string Store, string Folder, int Life, int Seed, bool Drain)
{
    public const int Producers = 4;
    public const int Workers = 3;

    /// <summary>What the id of a scheduled message ends with.</summary>
    public const char ScheduledMark = '~';

    public string[] ToArguments() =>
        ["child", Store, Folder, Life.ToString(CultureInfo.InvariantCulture), Seed.ToString(CultureInfo.InvariantCulture), Drain ? "drain" : "live"];

    public static ChildOptions Parse(string[] args) =>
        new(args[0], args[1], int.Parse(args[2], CultureInfo.InvariantCulture), int.Parse(args[3], CultureInfo.InvariantCulture), args[4] == "drain");
}
