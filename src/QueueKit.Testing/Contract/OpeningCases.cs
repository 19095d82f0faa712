using System.Globalization;
using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Opening, closing, who may, and what is in the way.</summary>
internal static class OpeningCases
{
    private const string Same = "open, close, open gives the same state, at either level";
    private const string OneOwner = "whoever opened the store is its only owner until it disposes it";
    private const string Untouched = "what is not a store of a known format is refused as unreadable, with its place and a remedy, and nothing is touched";
    private const string Counted = "what a broker counts is part of each commit: it counts the same when it is opened again";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Same, static run => IsTheSame(run, FlushLevel.Written), "TheStateIsTheSameAfterOpeningAgain(Written)"),
        Cases.New(Same, static run => IsTheSame(run, FlushLevel.Flushed), "TheStateIsTheSameAfterOpeningAgain(Flushed)"),
        Cases.New(OneOwner, ASecondOpenerIsRefusedAndTheFirstGoesOn),
        Cases.New(OneOwner, StoreAbilities.Durable, ASecondOpenerIsToldWhoHasTheStore),
        Cases.New(OneOwner, ClosingTwiceIsClosingOnce),
        Cases.New(OneOwner, AnOpeningThatIsGivenUpLeavesTheStoreToOthers),
        Cases.New(Untouched, StoreAbilities.Durable | StoreAbilities.Formats, AStoreOfANewerFormatIsRefusedAndNotTouched),
        Cases.New(Untouched, StoreAbilities.Durable | StoreAbilities.Formats, WhatIsNoStoreIsRefusedAndNotTouched),
        Cases.New(Counted, ABrokerCountsTheSameWhenItIsOpenedAgain),
    ];

    private static async Task IsTheSame(ContractRun run, FlushLevel level)
    {
        run.Commit(static batch => batch.PutSequences(Enumerable.Range(1, 100)), level);
        run.Commit(static batch => batch.DeleteRange(Key(10), Key(20)), level);
        run.Commit(static batch => batch.Delete(Key(30)), level);
        run.Commit(static batch => batch.Put(Key(40), Bytes(50, seed: 9), Bytes(60, seed: 9)), level);

        await run.ReopenAsync().ConfigureAwait(false);
        run.ExpectTheModel("opened again");

        run.Commit(static batch => batch.Delete(Key(50)), level);
    }

    private static async Task ASecondOpenerIsRefusedAndTheFirstGoesOn(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));

        run.Fault(StoreFault.InUse, await ContractRun.RefusalAsync(() => run.Provider.OpenAsync(run.Token)).ConfigureAwait(false), "a second opening");

        run.Commit(static batch => batch.PutSequences(2));
        run.Equal([1, 2], run.ReadSequences(), "what the first one has");
    }

    // By another provider, as another part of the process would, or another process.
    private static async Task ASecondOpenerIsToldWhoHasTheStore(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));

        StoreException? refusal = await ContractRun.RefusalAsync(() => run.Place.CreateProvider().OpenAsync(run.Token)).ConfigureAwait(false);

        run.Fault(StoreFault.InUse, refusal, "a second opening");
        string owner = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        run.True(refusal!.Message.Contains(owner, StringComparison.Ordinal), $"a message that names the owner, process {owner}", refusal.Message);
        run.True(refusal.Message.Contains(run.InFolder.Folder, StringComparison.Ordinal), $"a message that names the place, {run.InFolder.Folder}", refusal.Message);
    }

    private static async Task ClosingTwiceIsClosingOnce(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        IMessageStore first = run.Store;

        await first.DisposeAsync().ConfigureAwait(false);
        await first.DisposeAsync().ConfigureAwait(false);
        run.Store = await run.Provider.OpenAsync(run.Token).ConfigureAwait(false);
        await first.DisposeAsync().ConfigureAwait(false);

        run.Fault(StoreFault.InUse, await ContractRun.RefusalAsync(() => run.Provider.OpenAsync(run.Token)).ConfigureAwait(false), "an opening after the first session was closed a third time");
        run.Commit(static batch => batch.PutSequences(2));
    }

    private static async Task AnOpeningThatIsGivenUpLeavesTheStoreToOthers(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        await run.Store.DisposeAsync().ConfigureAwait(false);

        bool isGivenUp = false;
        try
        {
            await (await run.Provider.OpenAsync(new CancellationToken(canceled: true)).ConfigureAwait(false)).DisposeAsync().ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            isGivenUp = true;
        }

        run.Equal(true, isGivenUp, "an opening with a cancelled token is given up");
        run.Store = await run.Provider.OpenAsync(run.Token).ConfigureAwait(false);
    }

    private static async Task AStoreOfANewerFormatIsRefusedAndNotTouched(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        await run.Store.DisposeAsync().ConfigureAwait(false);
        string folder = run.InFolder.Copy(run.InFolder.Folder);
        run.InFolder.MakeNewer(folder);
        await ExpectRefusedUntouched(run, folder, "newer").ConfigureAwait(false);
        run.Store = await run.Provider.OpenAsync(run.Token).ConfigureAwait(false);
    }

    private static async Task WhatIsNoStoreIsRefusedAndNotTouched(ContractRun run)
    {
        string folder = Directory.CreateDirectory(run.InFolder.NewFolder()).FullName;
        run.InFolder.MakeForeign(folder);
        await ExpectRefusedUntouched(run, folder, "not a store").ConfigureAwait(false);
    }

    private static async Task ExpectRefusedUntouched(ContractRun run, string folder, string word)
    {
        SortedDictionary<string, byte[]> before = StoreInFolder.ReadFiles(folder);

        StoreException? refusal = await ContractRun.RefusalAsync(() => run.InFolder.CreateProviderIn(folder).OpenAsync(run.Token)).ConfigureAwait(false);

        run.Fault(StoreFault.Unreadable, refusal, "opening it");
        run.True(refusal!.Message.Contains(folder, StringComparison.Ordinal), $"a message that names the place, {folder}", refusal.Message);
        run.True(refusal.Message.Contains(word, StringComparison.OrdinalIgnoreCase), $"a message that says '{word}'", refusal.Message);
        SortedDictionary<string, byte[]> after = StoreInFolder.ReadFiles(folder);
        foreach ((string name, byte[] bytes) in before)
        {
            // The witness is the lock: it notes who has tried.
            if (!name.EndsWith("-witness", StringComparison.Ordinal))
                run.Equal(bytes, after.GetValueOrDefault(name, []), $"the file {name} afterwards");
        }
    }

    private static async Task ABrokerCountsTheSameWhenItIsOpenedAgain(ContractRun run)
    {
        await run.Store.DisposeAsync().ConfigureAwait(false);
        var sent = new Traffic(run.Place.Seed);
        QueueSnapshot[] before = [];
        await Traffic.WithBrokerAsync(run, run.Provider, async broker =>
        {
            await sent.RunAsync(broker, 150).ConfigureAwait(false);
            before = Traffic.Snapshots(broker);
        }).ConfigureAwait(false);
        await Traffic.WithBrokerAsync(run, run.Provider, async again =>
        {
            foreach ((QueueSnapshot expected, QueueSnapshot found) in before.Zip(Traffic.Snapshots(again)))
            {
                run.Equal(expected.Messages, found.Messages, "the number of messages of a queue");
                run.Equal(expected.Bytes, found.Bytes, "the bytes of a queue");
                run.Equal(expected.Delayed.Messages, found.Delayed.Messages, "the number of delayed messages of a queue");
            }
            sent.ExpectExactly(run, await Traffic.DrainAsync(again).ConfigureAwait(false), "opened again");
        }).ConfigureAwait(false);
        run.IsOutcomeUnknown = true;
    }
}
