using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores;

public class InMemoryMessageStoreTests
{
    private const StoreAbilities Abilities = StoreAbilities.FailingCommits | StoreAbilities.PowerCuts;

    private static IEnumerable<TestCaseData> Cases => ContractTests.For(Abilities);

    [TestCaseSource(nameof(Cases))]
    public async Task Contract(StoreContractCase one)
    {
        await using var store = new UnderTest { Seed = ContractTests.Seed };
        await one.RunAsync(store);
    }

    private sealed class UnderTest : StoreUnderTest
    {
        private readonly InMemoryMessageStore _store = new() { TracksFlushes = true };

        public override StoreAbilities Abilities => InMemoryMessageStoreTests.Abilities;

        public override IMessageStoreProvider CreateProvider() => _store;

        public override void FailNextCommit() => _store.FailNextCommit(written: true);

        public override void CutPower() => _store.CrashLosingUnflushed();
    }
}
