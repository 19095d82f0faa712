using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Copies of a store that is being used.</summary>
internal static class BackupCases
{
    private const int Records = 50;
    private const StoreAbilities Needs = StoreAbilities.Durable | StoreAbilities.Backup;
    private const string OneCommit = "a backup is the state after one commit: all that had returned when it began, perhaps some that came later, none in part";
    private const string AllOrNothing = "a backup that cannot be made is refused, leaves nothing, and the store goes on";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(OneCommit, Needs, ABackupIsOpenedWithEverythingAndTheStoreGoesOn),
        Cases.New(OneCommit, Needs, ABackupBesideCommitsIsTheStateAfterOneOfThem),
        Cases.New(OneCommit, Needs, TwoBackupsAtOnceAreBothWhole),
        Cases.New(OneCommit, Needs, ABackupIsOpenedByABrokerWithAllThatWasConfirmed),
        Cases.New(AllOrNothing, Needs, AFolderThatIsThereAlreadyIsRefusedAndTheStoreGoesOn),
        Cases.New(AllOrNothing, Needs, AFolderThatHasNoPlaceToLieInIsRefusedAndTheStoreGoesOn),
        Cases.New(AllOrNothing, Needs, ABackupThatIsGivenUpBeforeItBeganLeavesNothing),
    ];

    private static async Task ABackupIsOpenedWithEverythingAndTheStoreGoesOn(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(Enumerable.Range(1, 300)));
        run.Commit(static batch => batch.Put(Key(1_000), Bytes(10), Bytes(200_000)));
        run.Commit(static batch => batch.DeleteRange(Key(10), Key(50)), FlushLevel.Written);
        StoreModel then = run.Model.Copy();
        string folder = run.InFolder.NewFolder();

        await Backup(run).BackupAsync(folder, run.Token).ConfigureAwait(false);
        run.Commit(static batch => batch.PutSequences(2_000));
        run.Commit(static batch => batch.DeleteRange(Key(0), Key(200)));

        IMessageStore copy = await OpenAsync(run, folder).ConfigureAwait(false);
        await using (copy.ConfigureAwait(false))
        {
            run.ExpectHolds(copy, then, "the backup");
            var batch = new StoreBatch();
            batch.PutSequences(3_000);
            copy.Commit(batch, FlushLevel.Flushed);
        }
    }

    private static async Task ABackupBesideCommitsIsTheStateAfterOneOfThem(ContractRun run)
    {
        await BesideCommits(run, async returned =>
        {
            for (int i = 0; i < 3; i++)
            {
                long before = returned();
                string folder = run.InFolder.NewFolder();
                await Backup(run).BackupAsync(folder, run.Token).ConfigureAwait(false);
                await ExpectGeneration(run, folder, before, $"backup {i} beside commits").ConfigureAwait(false);
            }
        }).ConfigureAwait(false);
    }

    private static async Task TwoBackupsAtOnceAreBothWhole(ContractRun run)
    {
        await BesideCommits(run, async returned =>
        {
            long before = returned();
            string[] folders = [run.InFolder.NewFolder(), run.InFolder.NewFolder()];
            await Task.WhenAll(folders.Select(folder => Task.Run(() => Backup(run).BackupAsync(folder, run.Token).AsTask()))).ConfigureAwait(false);
            foreach (string folder in folders)
                await ExpectGeneration(run, folder, before, "one of two backups at once").ConfigureAwait(false);
        }).ConfigureAwait(false);
    }

    private static async Task ABackupIsOpenedByABrokerWithAllThatWasConfirmed(ContractRun run)
    {
        await run.Store.DisposeAsync().ConfigureAwait(false);
        var sent = new Traffic(run.Place.Seed);
        string folder = run.InFolder.NewFolder();
        await Traffic.WithBrokerAsync(run, run.Provider, async broker =>
        {
            await sent.RunAsync(broker, 60).ConfigureAwait(false);
            await broker.BackupAsync(folder, run.Token).ConfigureAwait(false);
            await broker.GetQueue("a").SendAsync(new Message(Bytes(10))).ConfigureAwait(false);
        }).ConfigureAwait(false);
        await Traffic.WithBrokerAsync(run, run.InFolder.CreateProviderOfBackup(folder), async restored =>
            sent.ExpectExactly(run, await Traffic.DrainAsync(restored).ConfigureAwait(false), "the backup")).ConfigureAwait(false);
        run.IsOutcomeUnknown = true;
    }

    private static async Task AFolderThatIsThereAlreadyIsRefusedAndTheStoreGoesOn(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        string folder = Directory.CreateDirectory(run.InFolder.NewFolder()).FullName;
        await File.WriteAllTextAsync(Path.Combine(folder, "letter.txt"), "Dear", run.Token).ConfigureAwait(false);

        run.Fault(StoreFault.Refused, await RefusalAsync(run, folder).ConfigureAwait(false), "a backup into a folder that is there");

        run.Equal("letter.txt", string.Join(' ', Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName)), "what is in the folder");
        run.Commit(static batch => batch.PutSequences(2));
    }

    private static async Task AFolderThatHasNoPlaceToLieInIsRefusedAndTheStoreGoesOn(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        string missing = run.InFolder.NewFolder();

        StoreException? refusal = await RefusalAsync(run, Path.Combine(missing, "backup")).ConfigureAwait(false);

        run.Fault(StoreFault.Refused, refusal, "a backup into a folder that is not there");
        run.True(refusal!.Message.Contains(missing, StringComparison.Ordinal), $"a message that names {missing}", refusal.Message);
        run.Equal(false, Directory.Exists(missing), "the folder has come to be");
        run.Commit(static batch => batch.PutSequences(2));
    }

    private static async Task ABackupThatIsGivenUpBeforeItBeganLeavesNothing(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        string folder = run.InFolder.NewFolder();

        bool isGivenUp = false;
        try
        {
            await Backup(run).BackupAsync(folder, new CancellationToken(canceled: true)).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            isGivenUp = true;
        }

        run.Equal(true, isGivenUp, "a backup with a cancelled token is given up");
        run.Equal(0, Directory.GetFileSystemEntries(Path.GetDirectoryName(folder)!).Length, "what is left beside the store");
    }

    private static IBackupStore Backup(ContractRun run) =>
        run.Store as IBackupStore ?? throw run.Violation($"a store that is an {nameof(IBackupStore)}, as {nameof(StoreAbilities)}.{nameof(StoreAbilities.Backup)} says", run.Store.GetType().Name);

    private static async Task<StoreException?> RefusalAsync(ContractRun run, string folder)
    {
        try
        {
            await Backup(run).BackupAsync(folder, run.Token).ConfigureAwait(false);
            return null;
        }
        catch (StoreException error)
        {
            return error;
        }
    }

    // Commits without a pause on a thread of its own until the rest is done.
    private static async Task BesideCommits(ContractRun run, Func<Func<long>, Task> backup)
    {
        long returned = 0;
        bool isDone = false;
        run.Commit(static batch => Generation.Write(batch, 0, Records));
        Task committing = Task.Run(() =>
        {
            for (int generation = 1; !Volatile.Read(ref isDone); generation++)
            {
                run.Commit(batch => Generation.Write(batch, generation, Records), generation % 10 == 0 ? FlushLevel.Flushed : FlushLevel.Written);
                Volatile.Write(ref returned, generation);
            }
        });
        try
        {
            await backup(() => Volatile.Read(ref returned)).ConfigureAwait(false);
        }
        finally
        {
            Volatile.Write(ref isDone, true);
            await committing.ConfigureAwait(false);
        }
    }

    private static async Task ExpectGeneration(ContractRun run, string folder, long before, string when)
    {
        IMessageStore copy = await OpenAsync(run, folder).ConfigureAwait(false);
        await using (copy.ConfigureAwait(false))
        {
            var page = new StorePage();
            copy.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), Records * 2, ContractRun.MiB, page);
            Generation.Expect(run, page.Records, Records, before, when);
        }
    }

    private static ValueTask<IMessageStore> OpenAsync(ContractRun run, string folder) => run.InFolder.CreateProviderOfBackup(folder).OpenAsync(run.Token);
}
