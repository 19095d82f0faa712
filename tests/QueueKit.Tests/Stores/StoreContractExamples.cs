using QueueKit.Sqlite;
using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores;

/// <summary>What the README of the package shows, and that a store which breaks its word is told which one.</summary>
public class StoreContractExamples
{
    // <store>
    private sealed class MyStoreUnderTest : StoreInFolder
    {
        public override StoreAbilities Abilities => StoreAbilities.Durable | StoreAbilities.Backup;

        public override IMessageStoreProvider CreateProviderIn(string folder) => new SqliteStore(Path.Combine(folder, "queue.db"));
    }
    // </store>

    // <nunit>
    private static IEnumerable<StoreContractCase> Cases => StoreContract.CasesFor(StoreAbilities.Durable | StoreAbilities.Backup);

    [TestCaseSource(nameof(Cases))]
    public async Task MyStoreKeepsTheContract(StoreContractCase one)
    {
        await using var store = new MyStoreUnderTest();
        await one.RunAsync(store);
    }
    // </nunit>

    [Test]
    public void EveryCaseHasANameOfItsOwnAndAPromise()
    {
        Assert.That(StoreContract.Cases.Select(static one => one.Name), Is.Unique.And.All.Matches<string>(static name => name?.Contains(' ') == false));
        Assert.That(StoreContract.Cases.Select(static one => one.Promise), Is.All.Not.Empty);
        Assert.That(StoreContract.Case(StoreContract.Cases[3].Name), Is.SameAs(StoreContract.Cases[3]));
        Assert.That(() => StoreContract.Case("NoSuchCase"), Throws.ArgumentException.With.Message.Contains("NoSuchCase"));
    }

    [Test]
    public async Task AStoreThatCannotDoWhatACaseNeedsIsToldSo()
    {
        StoreContractCase one = StoreContract.Cases.First(static one => one.Needs == StoreAbilities.PowerCuts);
        await using var store = new MyStoreUnderTest();

        Assert.That(async () => await one.RunAsync(store), Throws.ArgumentException.With.Message.Contains(nameof(StoreAbilities.PowerCuts)).And.Message.Contains(one.Name));
    }

    // A suite that finds nothing proves nothing: each of these stores breaks one promise.
    [TestCase(Lie.ForgetsDeletes, "ADeletedRecordIsGone")]
    [TestCase(Lie.EndsRangesLate, "ARangeDeleteTakesItsFirstKeyAndLeavesTheOneItEndsAt")]
    [TestCase(Lie.SwapsHeadAndBody, "ARecordComesBackWithItsHeadAndItsBodyApart(3,4)")]
    [TestCase(Lie.SaysThereIsMore, "AReadThatFindsTheEndSaysSo")]
    [TestCase(Lie.TearsBatches, "ARecordTooLargeIsRefusedWithItsWholeBatchAndTheStoreGoesOn")]
    [TestCase(Lie.GoesOnAfterAFailure, "AfterAFailedCommitEveryFurtherOneIsStoppedAndTheNextOpeningFindsAllOrNothingOfIt")]
    [TestCase(Lie.FlushesNothing, "APowerCutLeavesWhatWasFlushedAndWholeCommits")]
    [TestCase(Lie.LetsASecondOwnerIn, "ASecondOpenerIsRefusedAndTheFirstGoesOn")]
    public async Task AStoreThatLiesIsFoundOut(Lie lie, string name)
    {
        StoreContractCase one = StoreContract.Case(name);
        await using var store = new LyingStore(lie);

        StoreContractException violation = await Assert.ThrowsAsync<StoreContractException>(async () => await one.RunAsync(store));

        Assert.That((violation.CaseName, violation.Promise), Is.EqualTo((name, one.Promise)));
        Assert.That(violation.Message, Does.Contain(violation.Expected).And.Contain(violation.Found));
        Assert.That(violation.Found, Is.Not.EqualTo(violation.Expected));
    }
}
