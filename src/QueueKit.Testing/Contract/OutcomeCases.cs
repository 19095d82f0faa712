using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Commits that are refused, and commits of which nobody knows what became of them.</summary>
internal static class OutcomeCases
{
    // What a test can allocate without writing to it, twice.
    private const int LargestThatCanBeBuilt = 1536 * ContractRun.MiB;

    private const string Refused = "a refused commit has written nothing, and the store goes on";
    private const string Unknown = "after a commit that failed every further one is stopped, and the next opening finds all or nothing of it";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Refused, ARecordTooLargeIsRefusedWithItsWholeBatchAndTheStoreGoesOn),
        Cases.New(Unknown, StoreAbilities.FailingCommits, AfterAFailedCommitEveryFurtherOneIsStoppedAndTheNextOpeningFindsAllOrNothingOfIt),
        Cases.New(Unknown, StoreAbilities.Durable | StoreAbilities.DiskFull, ADiskThatIsNearlyFullRefusesMessagesTakesAcksAndGoesOnWhenThereIsSpace),
    ];

    private static void ARecordTooLargeIsRefusedWithItsWholeBatchAndTheStoreGoesOn(ContractRun run)
    {
        // A store that takes any record has nothing to refuse, and says so by a limit beyond what can be built.
        if (run.Store.MaxRecordBytes >= LargestThatCanBeBuilt)
            return;
        run.Commit(static batch => batch.PutSequences(1, 2));
        // One array twice, never written to: so large a record costs address space only.
        byte[] half = GC.AllocateUninitializedArray<byte>(run.Store.MaxRecordBytes / 2 + 1);

        StoreException? refusal = ContractRun.Refusal(() => run.CommitUnseen(batch =>
        {
            batch.PutSequences(3);
            batch.Delete(Key(1));
            batch.Put(Key(4), half, half);
        }));

        run.Fault(StoreFault.Refused, refusal, "a record larger than MaxRecordBytes");
        run.Equal([1, 2], run.ReadSequences(), "what is there");
        run.Commit(static batch => batch.PutSequences(5));
    }

    private static async Task AfterAFailedCommitEveryFurtherOneIsStoppedAndTheNextOpeningFindsAllOrNothingOfIt(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        run.Place.FailNextCommit();

        StoreException? failure = ContractRun.Refusal(() => run.CommitUnseen(static batch => batch.PutSequences(2, 3)));

        run.True(failure is { Fault: not StoreFault.Refused }, "a StoreException that does not say that nothing was written", failure?.Message ?? "no exception");
        run.IsOutcomeUnknown = true;
        run.Fault(StoreFault.Stopped, ContractRun.Refusal(() => run.CommitUnseen(static batch => batch.PutSequences(4))), "the next commit");
        run.Fault(StoreFault.Stopped, ContractRun.Refusal(() => run.CommitUnseen(static _ => { })), "an empty commit");
        await run.ReopenAsync().ConfigureAwait(false);
        long[] found = run.ReadSequences();
        run.True(found is [1] or [1, 2, 3], "[1] or [1, 2, 3] after opening again", Expect.Describe(found));
        run.CommitUnseen(static batch => batch.PutSequences(5));
    }

    private static void ADiskThatIsNearlyFullRefusesMessagesTakesAcksAndGoesOnWhenThereIsSpace(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3));
        run.InFolder.FillDisk();

        run.Fault(StoreFault.Refused, ContractRun.Refusal(() => run.CommitUnseen(static batch => batch.PutSequences(4))), "a message on a full disk");
        run.Commit(static batch => batch.Delete(Key(1)));
        run.Equal([2, 3], run.ReadSequences(), "what is there after an ack on a full disk");
        run.InFolder.EmptyDisk();
        run.Commit(static batch => batch.PutSequences(4));
    }
}
