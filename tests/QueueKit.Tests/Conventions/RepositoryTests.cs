using System.IO.Enumeration;
using System.Reflection;
using System.Text.RegularExpressions;

namespace QueueKit.Tests.Conventions;

public class RepositoryTests
{
    private const int LongestSourceFile = 600;

    [Test]
    public void TheTopLevelHoldsWhatIsAgreedAndNothingElse()
    {
        string[] ignored = [.. Repository.Read(".gitignore").Split('\n').Where(line => line.Length > 0 && line[0] != '#').Select(line => line.Trim('/')), ".git"];

        IEnumerable<string> entries = Directory.EnumerateFileSystemEntries(Repository.Root)
            .Select(path => Path.GetFileName(path))
            .Where(name => !ignored.Any(pattern => FileSystemName.MatchesSimpleExpression(pattern, name)));

        Assert.That(entries, Is.EquivalentTo((string[])
        [
            "src", "tests", "samples", "benchmarks", "QueueKit.sln", "README.md", "LICENSE",
            ".ci", ".config", ".editorconfig", ".gitattributes", ".gitignore",
            "Directory.Build.props", "Directory.Packages.props", "global.json",
        ]));
    }

    [Test]
    public void EveryPackageHasAReadmeAndAPublicApiFile()
    {
        // Without its two files the analyzer of the public API says nothing at all.
        IEnumerable<string> expected =
            from project in Repository.Packages
            from file in Repository.Read(project).Contains("<PackageType>Template<", StringComparison.Ordinal) ? (string[])["README.md"] : ["README.md", "PublicAPI.Shipped.txt", "PublicAPI.Unshipped.txt"]
            select $"{Path.GetDirectoryName(project)}/{file}";

        Repository.AssertNone(
            expected.Where(path => !File.Exists(Path.Combine(Repository.Root, path)) || Repository.Read(path).Trim().Length == 0),
            "Missing or empty:");
    }

    [Test]
    public void NothingIsLeftForLater() =>
        // In two halves, so that this file does not find itself.
        Repository.AssertNone(Repository.Matches(Repository.TextFiles(), new Regex($@"\b({"TO" + "DO"}|{"FIX" + "ME"}|{"HA" + "CK"})\b")), "Plans belong into issues.");

    [Test]
    public void NoSourceFileIsTooLongToReadInOneSitting() =>
        Repository.AssertNone(
            from path in Repository.Files("src", "*.cs")
            let lines = Repository.Read(path).Count(c => c == '\n')
            where lines > LongestSourceFile
            select $"{path} has {lines} lines",
            $"Above {LongestSourceFile} lines a concept inside wants its own name.");

    [Test]
    public void NoExceptionIsSwallowed() =>
        Repository.AssertNone(Repository.Matches(Repository.Files("src", "*.cs"), SwallowingCatch), "A catch acts on what it catches, or says why there is nothing to do.");

    [TestCase("try { F(); } catch { }", true)]
    [TestCase("try { F(); } catch (IOException) { }", true)]
    [TestCase("try { F(); }\ncatch (Exception e)\n{\n}", true)]
    [TestCase("try { F(); } catch (Exception) { /* never mind */ }", true)]
    [TestCase("try { F(); } catch\n{\n    // never mind\n}", true)]
    [TestCase("try { F(); } catch (Exception e) when (e is IOException) { }", true)]
    [TestCase("try { F(); }\ncatch (OperationCanceledException)\n{\n    // The caller gave up: nothing was taken.\n}", false)]
    [TestCase("try { F(); } catch (Exception e) { Fail(e); }", false)]
    [TestCase("try { F(); } catch { Undo(); throw; }", false)]
    public void ASwallowedExceptionIsFound(string source, bool swallows) => Assert.That(SwallowingCatch.IsMatch(source), Is.EqualTo(swallows));

    [Test]
    public void NoPathOfOneMachineIsNamed() =>
        Repository.AssertNone(
            Repository.Matches(Repository.TextFiles().Append("README.md"), new Regex($@"(?<![\w.]){"/"}(work|root|home|farm|tmp){"/"}\w+")),
            "A checkout works wherever it stands.");

    [Test]
    public void NoTestSleeps() =>
        // The compiler forbids it (BannedSymbols.txt); this finds whoever tells the compiler to look away, or waits in real time with the real clock.
        Repository.AssertNone(
            Repository.Matches(
                Repository.Files("tests", "*.cs"),
                new Regex($@"Thread\.{"Sleep"}\(|Task\.{"Delay"}\(([^,;]*|[^;]*TimeProvider\.{"System"}[^;]*);|#pragma warning disable {"RS0030"}")),
            "A test advances a virtual clock or waits for a signal.");

    [Test]
    public void EveryBannedSymbolExists() =>
        Repository.AssertNone(
            Repository.Read(".config/BannedSymbols.txt").Split('\n', StringSplitOptions.RemoveEmptyEntries)
                .Where(line => !line.StartsWith("//", StringComparison.Ordinal))
                .Select(line => line.Split(';')[0])
                .Where(id => !Exists(id)),
            "A symbol that does not exist bans nothing:");

    [TestCase("T:System.DateTime", true)]
    [TestCase("T:System.DateTim", false)]
    [TestCase("P:System.DateTime.UtcNow", true)]
    [TestCase("M:System.Guid.CreateVersion7", true)]
    [TestCase("M:System.Threading.SpinWait.SpinUntil(System.Func{System.Boolean},System.Int32)", true)]
    [TestCase("M:System.Threading.SpinWait.SpinUntil(System.Func{System.Boolean},System.UInt32)", false)]
    [TestCase("M:System.Random.#ctor", true)]
    [TestCase("M:System.Random.#ctor(System.TimeSpan)", false)]
    public void ABannedSymbolThatDoesNotExistIsFound(string id, bool exists) => Assert.That(Exists(id), Is.EqualTo(exists));

    // A catch of everything with nothing but comments inside, or a catch of something with nothing inside.
    private static readonly Regex SwallowingCatch = new(
        @"\bcatch\s*(\((System\.)?Exception(\s+\w+)?\)\s*)?(when\s*\([^{]*\)\s*)?\{(\s|//[^\n]*|/\*.*?\*/)*\}|\bcatch\s*\([^)]*\)\s*(when\s*\([^{]*\)\s*)?\{\s*\}",
        RegexOptions.Singleline);

    /// <summary>Whether a documentation id, of the forms used in BannedSymbols.txt, names something.</summary>
    private static bool Exists(string id)
    {
        string[] parts = id[2..].TrimEnd(')').Split('(');
        if (id[0] == 'T')
            return FindType(parts[0]) is not null;

        int dot = parts[0].LastIndexOf('.');
        string member = parts[0][(dot + 1)..].Replace('#', '.');
        string parameters = parts.Length > 1 ? parts[1] : "";
        return FindType(parts[0][..dot]) is { } type
            && type.GetMembers().Any(m => m.Name == member && (m is MethodBase method ? string.Join(',', method.GetParameters().Select(p => TypeId(p.ParameterType))) : "") == parameters);
    }

    private static Type? FindType(string name) => Type.GetType(name) ?? Type.GetType($"{name}, System");

    private static string TypeId(Type type) => type.IsConstructedGenericType
        ? $"{type.GetGenericTypeDefinition().FullName!.Split('`')[0]}{{{string.Join(',', type.GetGenericArguments().Select(TypeId))}}}"
        : type.FullName ?? type.Name;
}
