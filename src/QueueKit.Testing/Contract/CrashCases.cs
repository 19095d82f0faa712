using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Processes that are killed and power that is cut, also while the store recovers from that.</summary>
internal static class CrashCases
{
    private const int SectorBytes = 512;

    private const string Killed = "what was committed at either level survives the process";
    private const string Cut = "what was flushed survives a power cut, and whatever is there behind it is whole commits in their order";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Killed, StoreAbilities.Durable, AKilledProcessLeavesEveryCommit),
        Cases.New(Killed, StoreAbilities.Durable, AKilledBrokerLeavesWhatWasConfirmedAndNothingThatWasAcknowledged),
        Cases.New(Killed, StoreAbilities.Durable, AProcessThatIsKilledWhileItRecoversLeavesEveryCommitToo),
        Cases.New(Cut, StoreAbilities.PowerCuts, APowerCutLeavesWhatWasFlushedAndWholeCommits),
        Cases.New(Cut, StoreAbilities.Durable, SectorsThatWereNotFlushedMayBeThereOrNotAndNoCommitIsTorn),
    ];

    private static async Task AKilledProcessLeavesEveryCommit(ContractRun run)
    {
        for (int i = 0; i < 20; i++)
        {
            run.Commit(batch => batch.PutSequences(Enumerable.Range(i * 10, 20)), i % 2 == 0 ? FlushLevel.Written : FlushLevel.Flushed);
            run.Commit(batch => batch.DeleteRange(Key(i * 10), Key(i * 10 + 5)), FlushLevel.Written);
        }

        string killed = run.InFolder.Copy(run.InFolder.Folder);

        await ExpectIn(run, killed, run.Model, "after a kill").ConfigureAwait(false);
        await ExpectIn(run, killed, run.Model, "after a kill, opened a second time").ConfigureAwait(false);
    }

    private static async Task AKilledBrokerLeavesWhatWasConfirmedAndNothingThatWasAcknowledged(ContractRun run)
    {
        await run.Store.DisposeAsync().ConfigureAwait(false);
        var sent = new Traffic(run.Place.Seed);
        string killed = "";
        await Traffic.WithBrokerAsync(run, run.Provider, async broker =>
        {
            await sent.RunAsync(broker, 100).ConfigureAwait(false);
            killed = run.InFolder.Copy(run.InFolder.Folder);
        }).ConfigureAwait(false);
        await Traffic.WithBrokerAsync(run, run.InFolder.CreateProviderIn(killed), async again =>
            sent.ExpectExactly(run, await Traffic.DrainAsync(again).ConfigureAwait(false), "after a kill")).ConfigureAwait(false);
        run.IsOutcomeUnknown = true;
    }

    private static async Task AProcessThatIsKilledWhileItRecoversLeavesEveryCommitToo(ContractRun run)
    {
        for (int i = 0; i < 10; i++)
            run.Commit(batch => batch.PutSequences(Enumerable.Range(i * 10, 20)), FlushLevel.Written);
        string killed = run.InFolder.Copy(run.InFolder.Folder);
        // Each opening is itself copied while it is open, before and after it has committed: what a kill would leave then.
        for (int life = 0; life < 3; life++)
        {
            IMessageStore store = await run.InFolder.CreateProviderIn(killed).OpenAsync(run.Token).ConfigureAwait(false);
            await using (store.ConfigureAwait(false))
            {
                await ExpectIn(run, run.InFolder.Copy(killed), run.Model, $"killed in recovery {life}").ConfigureAwait(false);
                run.Commit(batch => batch.PutSequences(1_000 + life), FlushLevel.Written);
                var batch = new StoreBatch();
                batch.PutSequences(1_000 + life);
                store.Commit(batch, FlushLevel.Written);
                killed = run.InFolder.Copy(killed);
            }
        }
        await ExpectIn(run, killed, run.Model, "after three lives").ConfigureAwait(false);
    }

    private static async Task APowerCutLeavesWhatWasFlushedAndWholeCommits(ContractRun run)
    {
        var random = new Random(run.Place.Seed);
        for (int cut = 0; cut < 20; cut++)
        {
            List<StoreModel> possible = [run.Model.Copy()];
            for (int left = random.Next(1, 8); left > 0; left--)
            {
                bool isFlushed = random.Next(3) == 0;
                run.Commit(batch => AnySteps(batch, random), isFlushed ? FlushLevel.Flushed : FlushLevel.Written);
                if (isFlushed)
                    possible.Clear();
                possible.Add(run.Model.Copy());
            }
            run.Place.CutPower();
            await run.ReopenAsync().ConfigureAwait(false);
            StoreModel found = ExpectOneOf(run, run.Store, possible, $"seed {run.Place.Seed}, power cut {cut}");
            run.Model.Become(found);
        }
    }

    // Everything flushed is in the first copy; of what the second has besides, any sectors may be on the disk.
    private static async Task SectorsThatWereNotFlushedMayBeThereOrNotAndNoCommitIsTorn(ContractRun run)
    {
        for (int i = 0; i < 5; i++)
            run.Commit(batch => batch.PutSequences(Enumerable.Range(i * 10, 20)));
        SortedDictionary<string, byte[]> flushed = StoreInFolder.ReadFiles(run.InFolder.Folder);
        List<StoreModel> possible = [run.Model.Copy()];
        for (int i = 0; i < 6; i++)
        {
            run.Commit(
                batch =>
                {
                    batch.PutSequences(Enumerable.Range(100 + (i * 10), 20));
                    batch.DeleteRange(Key(i * 10), Key((i * 10) + 5));
                },
                FlushLevel.Written);
            possible.Add(run.Model.Copy());
        }
        SortedDictionary<string, byte[]> written = StoreInFolder.ReadFiles(run.InFolder.Folder);

        for (int seed = run.Place.Seed; seed < run.Place.Seed + 25; seed++)
        {
            string folder = run.InFolder.NewFolder();
            StoreInFolder.Write(Cut(flushed, written, new Random(seed)), folder);
            IMessageStore store = await OpenAsync(run, folder, $"power cut, seed {seed}").ConfigureAwait(false);
            await using (store.ConfigureAwait(false))
                ExpectOneOf(run, store, possible, $"power cut, seed {seed}");
        }

        static SortedDictionary<string, byte[]> Cut(SortedDictionary<string, byte[]> flushed, SortedDictionary<string, byte[]> written, Random random)
        {
            var left = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
            foreach ((string name, byte[] after) in written)
            {
                // After a power cut the witness is worth as much as none: it may be of any moment.
                if (!name.EndsWith("-witness", StringComparison.Ordinal))
                    left.Add(name, Mix(flushed.GetValueOrDefault(name, []), after, random));
            }
            return left;
        }

        static byte[] Mix(byte[] before, byte[] after, Random random)
        {
            int length = random.Next(3) switch { 0 => before.Length, 1 => after.Length, _ => random.Next(Math.Min(before.Length, after.Length), Math.Max(before.Length, after.Length) + 1) };
            byte[] mixed = new byte[length];
            for (int at = 0; at < length; at += SectorBytes)
            {
                byte[] from = random.Next(2) == 0 ? before : after;
                int count = Math.Min(SectorBytes, Math.Min(length, from.Length) - at);
                if (count > 0)
                    from.AsSpan(at, count).CopyTo(mixed.AsSpan(at));
            }
            return mixed;
        }
    }

    private static async Task<IMessageStore> OpenAsync(ContractRun run, string folder, string when)
    {
        try
        {
            return await run.InFolder.CreateProviderIn(folder).OpenAsync(run.Token).ConfigureAwait(false);
        }
        catch (StoreException error)
        {
            throw run.Violation($"{when}: a store that opens", $"{error.Fault}: {error.Message}", error);
        }
    }

    private static async Task ExpectIn(ContractRun run, string folder, StoreModel model, string when)
    {
        IMessageStore store = await OpenAsync(run, folder, when).ConfigureAwait(false);
        await using (store.ConfigureAwait(false))
            run.ExpectHolds(store, model, when);
    }

    private static StoreModel ExpectOneOf(ContractRun run, IMessageStore store, List<StoreModel> possible, string when)
    {
        string[] found = run.Describe(store);
        return possible.Find(state => state.Describe().AsSpan().SequenceEqual(found))
            ?? throw run.Violation($"{when}: the state after the last flushed commit or one of the {possible.Count - 1} behind it", $"another one, of {found.Length} records");
    }
}
