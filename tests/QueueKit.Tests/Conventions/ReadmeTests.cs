namespace QueueKit.Tests.Conventions;

/// <summary>C# in a README is quoted from code that compiles.</summary>
/// <remarks>
/// Above every block of C# stands <c>&lt;!-- quote: PATH --&gt;</c> with a path from the repository's root: the block is that file's text.
/// With <c>PATH#REGION</c> it is what stands between the lines <c>// &lt;REGION&gt;</c> and <c>// &lt;/REGION&gt;</c>, indentation trimmed.
/// </remarks>
public class ReadmeTests
{
    private static IEnumerable<string> Readmes => ["README.md", .. ((string[])["src", "tests", "samples", "benchmarks"]).SelectMany(folder => Repository.Files(folder, "README.md"))];

    [TestCaseSource(nameof(Readmes))]
    public void EveryBlockOfCSharpIsQuotedFromCodeThatCompiles(string readme) =>
        Repository.AssertNone(Deviations(readme, Repository.Read(readme)), "Copy the block from the code it names, or name some.");

    [Test]
    public void TheFirstExampleIsTheWholeOfHelloQueue()
    {
        const string hello = "samples/HelloQueue/Program.cs";

        Assert.That(Blocks(Repository.Read("README.md")).First().Quote, Is.EqualTo(hello));
        Assert.That(Lines(Repository.Read(hello)), Has.Length.LessThan(30));
    }

    [TestCase("```csharp\nint x;\n```", "the line above")]
    [TestCase("1. One:\n   ```C#\n   int x;\n   ```", "the line above")]
    [TestCase("<!-- quote: samples/HelloQueue/Program.cs -->\n```cs\nint x;\n```", "differs")]
    [TestCase("<!-- quote: samples/NoSuchFile.cs -->\n```csharp\n```", "no file")]
    [TestCase("<!-- quote: samples/HelloQueue/Program.cs#nowhere -->\n```csharp\n```", "no lines")]
    public void ABlockThatIsNotQuotedIsFound(string readme, string complaint) =>
        Assert.That(Deviations("README.md", readme).Single(), Does.Contain(complaint));

    [TestCase("```\nplain\n```\n\n```sh\ndotnet test\n```")]
    [TestCase("```json\n```csharp\n```")]
    public void AnotherLanguageNeedsNoQuote(string readme) => Assert.That(Deviations("README.md", readme), Is.Empty);

    [Test]
    public void ARegionIsQuotedWithoutItsIndentation() =>
        Assert.That(Region(["{", "    // <a>", "    if (x)", "", "        y();", "    // </a>", "}"], "a"), Is.EqualTo((string[])["if (x)", "", "    y();"]));

    private static IEnumerable<string> Deviations(string readme, string text)
    {
        foreach ((int line, string? quote, string[] code) in Blocks(text))
        {
            string where = $"{readme}:{line}";
            string[] parts = quote?.Split('#') ?? [];
            if (quote is null)
                yield return $"{where}: the line above the block is not <!-- quote: PATH#REGION -->";
            else if (!File.Exists(Path.Combine(Repository.Root, parts[0])))
                yield return $"{where}: there is no file {parts[0]}";
            else if ((parts is [_, var region] ? Region(Lines(Repository.Read(parts[0])), region) : Lines(Repository.Read(parts[0]))) is not { } expected)
                yield return $"{where}: {parts[0]} has no lines '// <{parts[1]}>' and '// </{parts[1]}>'";
            else if (FirstDifference(code, expected) is { } difference)
                yield return $"{where}: differs from {quote}; {difference}";
        }
    }

    private static IEnumerable<(int Line, string? Quote, string[] Code)> Blocks(string text)
    {
        string[] lines = Lines(text);
        for (int i = 0; i < lines.Length; i++)
        {
            if (!IsFence(lines[i]))
                continue;
            string[] code = [.. lines.Skip(i + 1).TakeWhile(line => !IsFence(line))];
            if (lines[i].Trim().TrimStart('`').TrimStart().ToLowerInvariant().Split(' ')[0] is "csharp" or "cs" or "c#")
                yield return (i + 1, i == 0 ? null : QuoteIn(lines[i - 1]), code);
            i += code.Length + 1;
        }
    }

    private static bool IsFence(string line) => line.TrimStart().StartsWith("```", StringComparison.Ordinal);

    private static string? QuoteIn(string line) =>
        line.StartsWith("<!-- quote:", StringComparison.Ordinal) && line.EndsWith("-->", StringComparison.Ordinal) ? line["<!-- quote:".Length..^"-->".Length].Trim() : null;

    private static string[]? Region(string[] lines, string name)
    {
        int start = Array.FindIndex(lines, line => line.Trim() == $"// <{name}>");
        int end = Array.FindIndex(lines, line => line.Trim() == $"// </{name}>");
        if (start < 0 || end <= start + 1)
            return null;
        string[] region = lines[(start + 1)..end];
        int indentation = region.Where(line => line.Length > 0).Min(line => line.Length - line.TrimStart().Length);
        return [.. region.Select(line => line.Length > 0 ? line[indentation..] : line)];
    }

    private static string? FirstDifference(string[] code, string[] expected)
    {
        for (int i = 0; i < Math.Max(code.Length, expected.Length); i++)
        {
            (string? actual, string? wanted) = (code.ElementAtOrDefault(i), expected.ElementAtOrDefault(i));
            if (actual != wanted)
                return $"its line {i + 1} is '{actual ?? "(missing)"}' and should be '{wanted ?? "(nothing)"}'";
        }
        return null;
    }

    private static string[] Lines(string text) => [.. text.TrimEnd().Split('\n').Select(line => line.TrimEnd())];
}
