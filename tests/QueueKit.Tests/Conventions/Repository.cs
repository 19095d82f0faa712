using System.Text.RegularExpressions;

namespace QueueKit.Tests.Conventions;

/// <summary>The checkout that the tests were built from, for the conventions that are tests.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    public static string Read(string path) => File.ReadAllText(Path.Combine(Root, path));

    /// <summary>The files below a folder, as paths from the root with forward slashes, in order.</summary>
    public static IReadOnlyList<string> Files(string folder, string pattern = "*") =>
        [.. Directory.EnumerateFiles(Path.Combine(Root, folder), pattern, SearchOption.AllDirectories)
            .Select(path => Path.GetRelativePath(Root, path).Replace('\\', '/'))
            .Order(StringComparer.Ordinal)];

    /// <summary>The project files of the packages; deeper down are those that templates make.</summary>
    public static IEnumerable<string> Packages => Files("src", "*.csproj").Where(path => path.Split('/').Length == 3);

    /// <summary>Every file that people write, wherever it stands.</summary>
    public static IEnumerable<string> TextFiles() =>
        from folder in (string[])["src", "tests", "samples", "benchmarks", ".ci", ".config"]
        from path in Files(folder)
        where Path.GetExtension(path) is ".cs" or ".csproj" or ".props" or ".targets" or ".md" or ".txt" or ".json" or ""
        select path;

    /// <summary>Where a pattern matches, as "path:line: text".</summary>
    public static IEnumerable<string> Matches(IEnumerable<string> paths, Regex pattern) =>
        from path in paths
        let text = Read(path)
        from Match match in pattern.Matches(text)
        select $"{path}:{1 + text.AsSpan(0, match.Index).Count('\n')}: {match.Value.ReplaceLineEndings(" ")}";

    /// <summary>Asserts that there are none, and shows them all if there are.</summary>
    public static void AssertNone(IEnumerable<string> violations, string rule)
    {
        string[] found = [.. violations];
        Assert.That(found, Is.Empty, $"{rule}{Environment.NewLine}{string.Join(Environment.NewLine, found)}");
    }

    private static string FindRoot()
    {
        string start = TestContext.CurrentContext.TestDirectory;
        for (DirectoryInfo? folder = new(start); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "QueueKit.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"No folder above {start} holds QueueKit.sln: run the tests from a build inside the checkout.");
    }
}
