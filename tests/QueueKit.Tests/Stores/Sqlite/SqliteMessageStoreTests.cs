using Microsoft.Data.Sqlite;
using QueueKit.Sqlite;
using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores.Sqlite;

public class SqliteMessageStoreTests
{
    private static IEnumerable<TestCaseData> Cases => ContractTests.For(DiskStoreUnderTest.All);

    [TestCaseSource(nameof(Cases))]
    public Task Contract(StoreContractCase one) => DiskStoreUnderTest.RunAsync(one, static disk => new UnderTest(disk) { Seed = ContractTests.Seed });

    private sealed class UnderTest(SmallDisk? disk) : DiskStoreUnderTest(disk)
    {
        private bool _failsNextWrite;

        public override IMessageStoreProvider CreateProviderIn(string folder) => new SqliteStore(
            Path.Combine(folder, "queue.db"), new SqliteStoreOptions { MinFreeBytes = IsOnSmallDisk ? MinFreeBytes : 0 }, static () => TimeProvider.System, FailIfTold);

        public override void FailNextCommit() => _failsNextWrite = true;

        public override void MakeNewer(string folder)
        {
            using var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = Path.Combine(folder, "queue.db"), Pooling = false }.ToString());
            connection.Open();
            using SqliteCommand command = connection.CreateCommand();
            command.CommandText = "PRAGMA user_version = 9";
            command.ExecuteNonQuery();
        }

        public override void MakeForeign(string folder) => File.WriteAllText(Path.Combine(folder, "queue.db"), "Dear diary,");

        private void FailIfTold()
        {
            if (!_failsNextWrite)
                return;
            _failsNextWrite = false;
            throw new IOException("Input/output error");
        }
    }
}
