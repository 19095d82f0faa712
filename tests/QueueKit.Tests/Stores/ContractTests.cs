using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores;

/// <summary>The cases of the package's contract as tests of one store, each by its name.</summary>
internal static class ContractTests
{
    // For another one: dotnet test --filter MessageStoreTests -- 'TestRunParameters.Parameter(name="ContractSeed",value="4711")'
    public static int Seed { get; } = TestContext.Parameters.Get("ContractSeed", 1);

    /// <summary>The cases for a store that can do so much.</summary>
    public static IEnumerable<TestCaseData> For(StoreAbilities abilities) => StoreContract.CasesFor(abilities).Select(static one => new TestCaseData(one).SetName(one.Name));
}

/// <summary>A store on a disk whose next commit can be made to fail and which, where a case fills its disk, lies on a small one.</summary>
internal abstract class DiskStoreUnderTest : StoreInFolder
{
    /// <summary>What all three stores on a disk can do.</summary>
    public const StoreAbilities All = StoreAbilities.Durable | StoreAbilities.FailingCommits | StoreAbilities.Backup | StoreAbilities.Formats | StoreAbilities.DiskFull;

    /// <summary>The low-water mark where the disk can be filled.</summary>
    protected const long MinFreeBytes = 16L << 20;

    private readonly SmallDisk? _disk;

    protected DiskStoreUnderTest(SmallDisk? disk)
        : base(disk is null ? Directory.CreateTempSubdirectory("queuekit-test-").FullName : Directory.CreateDirectory(disk.File("store")).FullName) => _disk = disk;

    public override StoreAbilities Abilities => All;

    protected bool IsOnSmallDisk => _disk is not null;

    public override void FillDisk() => _disk!.Fill(leave: MinFreeBytes / 2);

    public override void EmptyDisk() => _disk!.Empty();

    /// <summary>Runs a case; where it fills its disk, on a small one, if this machine lets us mount one.</summary>
    public static async Task RunAsync(StoreContractCase one, Func<SmallDisk?, DiskStoreUnderTest> create)
    {
        var folder = new TestFolder();
        try
        {
            using SmallDisk? disk = one.Needs.HasFlag(StoreAbilities.DiskFull) ? await SmallDisk.Mount(folder, megabytes: 96) : null;
            await using DiskStoreUnderTest store = create(disk);
            await one.RunAsync(store);
        }
        finally
        {
            // A witness that was let go of is unmapped by the next opening; on a disk that is to go, now.
            WitnessFile.ReleaseRetired();
            folder.Delete();
        }
    }

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        if (_disk is null)
            Directory.Delete(Folder, recursive: true);
    }
}
