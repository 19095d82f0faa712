using QueueKit.RocksDB;
using QueueKit.RocksDB.Engine;
using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores.RocksDB;

public class RocksMessageStoreTests
{
    private static IEnumerable<TestCaseData> Cases => ContractTests.For(DiskStoreUnderTest.All);

    [TestCaseSource(nameof(Cases))]
    public Task Contract(StoreContractCase one) => DiskStoreUnderTest.RunAsync(one, static disk => new UnderTest(disk) { Seed = ContractTests.Seed });

    private sealed class UnderTest(SmallDisk? disk) : DiskStoreUnderTest(disk)
    {
        private bool _failsNextWrite;

        public override IMessageStoreProvider CreateProviderIn(string folder) => CreateProviderOfBackup(Path.Combine(folder, "queue"));

        public override IMessageStoreProvider CreateProviderOfBackup(string folder) => new RocksDBStore(
            folder, new RocksDBStoreOptions { MinFreeBytes = IsOnSmallDisk ? MinFreeBytes : 0 }, static () => TimeProvider.System, FailIfTold);

        public override void FailNextCommit() => _failsNextWrite = true;

        public override void MakeNewer(string folder)
        {
            using RocksEngine engine = RocksEngine.Open(Path.Combine(folder, "queue"), RocksMode.ReadWrite, new RocksDBStoreOptions());
            engine.Write(FormatRecord.Batch(version: 9), isFlushed: true);
            engine.Flush();
        }

        public override void MakeForeign(string folder) =>
            File.WriteAllText(Path.Combine(Directory.CreateDirectory(Path.Combine(folder, "queue")).FullName, "letter.txt"), "Dear diary,");

        private void FailIfTold()
        {
            if (!_failsNextWrite)
                return;
            _failsNextWrite = false;
            throw new IOException("Input/output error");
        }
    }
}
