using System.Text.RegularExpressions;
using QueueKit.Stores;

namespace QueueKit.Tests.Conventions;

public class ArchitectureTests
{
    private const string Core = "src/QueueKit";

    [Test]
    public void EveryFolderOfTheCoreHasItsPlaceAmongTheArrows() =>
        Assert.That(FoldersOfTheCore(), Is.SubsetOf(DependencyArrows.InsideTheCore.Keys), "A new folder needs its line in DependencyArrows and in src/README.md.");

    [Test]
    public void TheArrowsOfTheCoreHaveNoCycle()
    {
        // Taking away, again and again, the folders that know nothing but what is taken away already leaves exactly the cycles.
        var left = DependencyArrows.InsideTheCore.ToDictionary();
        while (left.FirstOrDefault(arrow => !arrow.Value.Any(left.ContainsKey)) is { Key: not null } leaf)
            left.Remove(leaf.Key);

        Assert.That(left.Keys, Is.Empty);
    }

    [Test]
    public void TheSourceOfAFolderMentionsOnlyWhatItsArrowsAllow() =>
        Repository.AssertNone(
            from folder in FoldersOfTheCore()
            from path in Repository.Files($"{Core}/{folder}", "*.cs")
            from other in DependencyArrows.ForbiddenMentions(folder, Repository.Read(path))
            select $"{path} mentions {other}",
            "Arrows inside the core go one way (DependencyArrows). Move the type, or turn the call around.");

    [Test]
    public void TheTypesOfAFolderReferOnlyToWhatItsArrowsAllow() =>
        Repository.AssertNone(
            from type in typeof(MessageBroker).Assembly.GetTypes()
            let folder = type.Namespace?.Split('.') is ["QueueKit", var name, ..] ? name : null
            where folder is not null
            from reference in DependencyArrows.ForbiddenReferences(folder, type)
            select reference,
            "Arrows inside the core go one way (DependencyArrows). Move the type, or turn the call around.");

    [Test]
    public void TheQueuesKnowOfStoresTheContractOnly()
    {
        string[] stores = [.. typeof(MessageBroker).Assembly.GetTypes()
            .Where(type => type.IsClass && (type.IsAssignableTo(typeof(IMessageStore)) || type.IsAssignableTo(typeof(IMessageStoreProvider))))
            .Select(type => Regex.Escape(type.Name))];

        Assert.That(stores, Is.Not.Empty);
        Repository.AssertNone(
            Repository.Matches(Repository.Files($"{Core}/Queues", "*.cs"), new Regex($@"\b({string.Join('|', stores)})\b")),
            "Queues use IMessageStore, whichever store is behind it.");
    }

    [Test]
    public void ANamespaceIsAFolder() =>
        Repository.AssertNone(
            from path in Repository.Files(Core, "*.cs")
            let expected = Path.GetDirectoryName(path)!.Replace('\\', '/')["src/".Length..].Replace('/', '.')
            where !Repository.Read(path).Contains($"\nnamespace {expected};", StringComparison.Ordinal) && !Repository.Read(path).StartsWith($"namespace {expected};", StringComparison.Ordinal)
            select $"{path} is not in the namespace {expected}",
            "A newcomer finds a type by its namespace.");

    [Test]
    public void EveryPackageRefersToTheCoreAndToNoOtherPackageOfOurs() =>
        Repository.AssertNone(
            from path in Repository.Packages
            from reference in DependencyArrows.ForbiddenProjectReferences(Path.GetFileNameWithoutExtension(path), Repository.Read(path))
            select reference,
            "Every arrow points into the core; what two packages share belongs into it.");

    [TestCase("Stores", "using QueueKit.Queues;", ExpectedResult = new[] { "Queues" })]
    [TestCase("Stores", "global using static QueueKit.Queues.MessageState;", ExpectedResult = new[] { "Queues" })]
    [TestCase("Stores", "using Core = QueueKit.Queues.QueueCore;", ExpectedResult = new[] { "Queues" })]
    [TestCase("Stores", "namespace QueueKit.Stores; class A { Queues.Lane? _lane; }", ExpectedResult = new[] { "Queues" })]
    [TestCase("Stores", "/// <see cref=\"QueueKit.Queues.Lane\"/>", ExpectedResult = new[] { "Queues" })]
    [TestCase("Stores", "using QueueKit.Collections; // Queues know stores. Stores do not know queues.", ExpectedResult = new string[0])]
    [TestCase("Stores", "int n = broker.Queues.Count;", ExpectedResult = new string[0])]
    [TestCase("Queues", "using QueueKit.Stores;", ExpectedResult = new string[0])]
    [TestCase("Scheduling", "using QueueKit.Collections;", ExpectedResult = new string[0])]
    [TestCase("Collections", "using QueueKit.Scheduling;", ExpectedResult = new[] { "Scheduling" })]
    [TestCase("Diagnostics", "using QueueKit.Queues;\nusing QueueKit.Stores;", ExpectedResult = new[] { "Queues", "Stores" })]
    public IEnumerable<string> AForbiddenMentionIsFound(string folder, string source) => [.. DependencyArrows.ForbiddenMentions(folder, source)];

    [Test]
    public void AForbiddenReferenceIsFoundWhereverATypeCanHaveIt()
    {
        // To the folder "Collections" the store contract is forbidden; each of these has it in one place only.
        Type[] offenders = [typeof(InAField), typeof(InASignature), typeof(InALocal), typeof(InABase)];

        Assert.That(offenders.Select(type => DependencyArrows.ForbiddenReferences("Collections", type).Count()), Is.All.EqualTo(1));
        Assert.That(DependencyArrows.ForbiddenReferences("Queues", typeof(InAField)), Is.Empty);
    }

    [TestCase("QueueKit.Sqlite", "<ProjectReference Include=\"..\\QueueKit\\QueueKit.csproj\" />", ExpectedResult = 0)]
    [TestCase("QueueKit.Sqlite", "<ProjectReference Include=\"..\\QueueKit.LiteDB\\QueueKit.LiteDB.csproj\" />", ExpectedResult = 1)]
    [TestCase("QueueKit.Sqlite", "<ProjectReference Include=\"../QueueKit.Hosting/QueueKit.Hosting.csproj\" />", ExpectedResult = 1)]
    [TestCase("QueueKit.Sqlite", "<PackageReference Include=\"QueueKit.LiteDB\" />", ExpectedResult = 1)]
    [TestCase("QueueKit.Sqlite", "<PackageReference Include=\"Microsoft.Data.Sqlite\" />", ExpectedResult = 0)]
    [TestCase("QueueKit", "<ProjectReference Include=\"..\\QueueKit.LiteDB\\QueueKit.LiteDB.csproj\" />", ExpectedResult = 1)]
    [TestCase("QueueKit", "<PackageReference Include=\"Microsoft.Extensions.Logging.Abstractions\" />", ExpectedResult = 0)]
    [TestCase("QueueKit", "<PackageReference Include=\"Polly.Core\" />", ExpectedResult = 1)]
    public int AForbiddenProjectReferenceIsFound(string project, string reference) =>
        DependencyArrows.ForbiddenProjectReferences(project, $"<Project><ItemGroup>{reference}</ItemGroup></Project>").Count();

    private static IEnumerable<string> FoldersOfTheCore() =>
        Directory.EnumerateDirectories(Path.Combine(Repository.Root, Core)).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal);

    private sealed class InAField
    {
        public readonly List<StoreKey[]> Keys = [];
    }

    private static class InASignature
    {
        public static void Take(in StoreKey key) => ArgumentOutOfRangeException.ThrowIfZero(key.GetHashCode());
    }

    private static class InALocal
    {
        public static string Describe()
        {
            StoreKey key = default;
            return key.ToString();
        }
    }

    private sealed class InABase : List<StoreKey>;
}
