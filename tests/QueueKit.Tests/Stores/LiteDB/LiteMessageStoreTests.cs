using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores.LiteDB;

public class LiteMessageStoreTests
{
    private static IEnumerable<TestCaseData> Cases => ContractTests.For(DiskStoreUnderTest.All);

    [TestCaseSource(nameof(Cases))]
    public Task Contract(StoreContractCase one) => DiskStoreUnderTest.RunAsync(one, static disk => new UnderTest(disk) { Seed = ContractTests.Seed });

    private sealed class UnderTest(SmallDisk? disk) : DiskStoreUnderTest(disk)
    {
        private readonly FailingFileSystem _files = new();

        public override IMessageStoreProvider CreateProviderIn(string folder) => new LiteDBStore(
            Path.Combine(folder, "queue.db"), new LiteDBStoreOptions { MinFreeBytes = IsOnSmallDisk ? MinFreeBytes : 0 }, _files, static () => TimeProvider.System);

        public override void FailNextCommit() => _files.FailsNextWrite = true;

        public override void MakeNewer(string folder)
        {
            string path = Path.Combine(folder, "queue.db");
            byte[] data = File.ReadAllBytes(path);
            data[120]++;
            PageFormat.Seal(data.AsSpan(0, 8192));
            File.WriteAllBytes(path, data);
        }

        public override void MakeForeign(string folder) => File.WriteAllText(Path.Combine(folder, "queue.db"), "Dear diary,");
    }
}

/// <summary>The same contract on a disk that loses what was not flushed, sector by sector.</summary>
public class LiteMessageStoreOnSimulatedDiskTests
{
    private const StoreAbilities Abilities = StoreAbilities.PowerCuts | StoreAbilities.FailingCommits;

    private static IEnumerable<TestCaseData> Cases => ContractTests.For(Abilities);

    [TestCaseSource(nameof(Cases))]
    public async Task Contract(StoreContractCase one)
    {
        await using var store = new UnderTest(await SimulatedStore.NewDisk()) { Seed = ContractTests.Seed };
        await one.RunAsync(store);
    }

    private sealed class UnderTest(SimulatedDisk disk) : StoreUnderTest, IMessageStoreProvider
    {
        private SimulatedDisk _disk = disk;

        public override StoreAbilities Abilities => LiteMessageStoreOnSimulatedDiskTests.Abilities;

        public string Description => "LiteDB on a simulated disk";

        public override IMessageStoreProvider CreateProvider() => this;

        public ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) =>
            ct.IsCancellationRequested ? ValueTask.FromCanceled<IMessageStore>(ct) : new(SimulatedStore.Open(_disk, logBytes: 1 << 20));

        public override void FailNextCommit() => _disk.FailAt = _disk.Calls + 1;

        public override void CutPower() => _disk = _disk.AfterCrash();
    }
}
