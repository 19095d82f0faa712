using System.Globalization;

namespace QueueKit.Testing.Contract;

/// <summary>Values in words, for what was expected and what was found.</summary>
internal static class Expect
{
    private const int Shown = 12;

    public static string Describe<T>(T value) => value switch
    {
        null => "nothing",
        string text => text,
        byte[] { Length: > 32 } bytes => $"{bytes.Length} bytes, hash {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes))[..16]}",
        byte[] bytes => $"bytes {Convert.ToHexString(bytes)}",
        System.Collections.IEnumerable all => Describe(all.Cast<object?>().ToArray()),
        IFormattable number => number.ToString(null, CultureInfo.InvariantCulture),
        _ => value.ToString() ?? "",
    };

    private static string Describe(object?[] all) =>
        $"{all.Length} [{string.Join(", ", all.Take(Shown).Select(Describe))}{(all.Length > Shown ? ", …" : "")}]";

    public static string FirstDifference(IReadOnlyList<string> expected, IReadOnlyList<string> found)
    {
        for (int i = 0; i < Math.Max(expected.Count, found.Count); i++)
        {
            (string left, string right) = (i < expected.Count ? expected[i] : "nothing", i < found.Count ? found[i] : "nothing");
            if (left != right)
                return $"{found.Count} records for {expected.Count}; at {i} {right} instead of {left}";
        }
        return "the same";
    }
}
