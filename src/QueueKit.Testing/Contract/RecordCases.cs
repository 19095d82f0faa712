using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Single records and whole batches, and the order of the operations in them.</summary>
internal static class RecordCases
{
    private const string AsPut = "values come back exactly as they were put, the split between head and body included";
    private const string InOrder = "the operations of a batch are applied in their order, all or none";

    private static readonly (int Head, int Body)[] s_lengths = [(1, 0), (0, 1), (0, 0), (3, 4), (4, 3), (40, 100_000), (100_000, 40)];

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(AsPut, ANewStoreIsEmpty),
        .. s_lengths.Select(static length => Cases.New(AsPut, run => ComesBack(run, length.Head, length.Body), $"ARecordComesBackWithItsHeadAndItsBodyApart({length.Head},{length.Body})")),
        Cases.New(AsPut, APutReplacesTheRecordWithTheSameKey),
        Cases.New(AsPut, ADeletedRecordIsGone),
        Cases.New(AsPut, DeletingWhatIsNotThereChangesNothing),
        Cases.New(AsPut, TheExtremesOfEveryPartOfAKeyAreKeptApart),
        Cases.New(AsPut, ALargeRecordComesBackBesideSmallOnes),
        Cases.New(AsPut, AnInsertedRecordIsThereAndIsInsertedAgainOnceItIsDeleted),
        Cases.New(AsPut, WhatAReadReturnedStaysAsItWasWhenTheRecordIsReplacedAndDeleted),
        Cases.New(InOrder, ALargeBatchIsOneCommit),
        Cases.New(InOrder, AnEmptyBatchIsACommitToo),
        Cases.New(InOrder, TheBatchMayBeUsedAgainAfterItsCommit),
        Cases.New(InOrder, ThePutBeforeADeleteOfTheSameKeyIsGone),
        Cases.New(InOrder, ThePutAfterADeleteOfTheSameKeyStays),
        Cases.New(InOrder, TheLastOfTwoPutsOfTheSameKeyStays),
    ];

    private static void ANewStoreIsEmpty(ContractRun run)
    {
        run.Equal(0, run.ReadAll().Length, "records in a new store");
    }

    private static void ComesBack(ContractRun run, int headLength, int bodyLength)
    {
        byte[] head = Bytes(headLength), body = Bytes(bodyLength, seed: 2);

        run.Commit(batch => batch.Put(Key(1), head, body));

        StoreRecord record = run.ReadOne();
        run.Equal(Key(1), record.Key, "its key");
        run.Equal(head, record.Head, "its head");
        run.Equal(body, record.Body, "its body");
    }

    private static void APutReplacesTheRecordWithTheSameKey(ContractRun run)
    {
        run.Commit(static batch => batch.Put(Key(1), Bytes(10), Bytes(20)));

        run.Commit(static batch => batch.Put(Key(1), Bytes(5, seed: 2), Bytes(7, seed: 3)));

        StoreRecord record = run.ReadOne();
        run.Equal(Bytes(5, seed: 2), record.Head, "the second head");
        run.Equal(Bytes(7, seed: 3), record.Body, "the second body");
    }

    private static void ADeletedRecordIsGone(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3));

        run.Commit(static batch => batch.Delete(Key(2)));

        run.Equal([1, 3], run.ReadSequences(), "what is left");
    }

    private static void DeletingWhatIsNotThereChangesNothing(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 3));

        run.Commit(static batch => batch.Delete(Key(2)));
        run.Commit(static batch => batch.Delete(Key(1) with { Queue = 99 }));

        run.Equal([1, 3], run.ReadSequences(), "what is left");
    }

    private static void TheExtremesOfEveryPartOfAKeyAreKeptApart(ContractRun run)
    {
        run.Commit(static batch =>
        {
            foreach (uint queue in (uint[])[0, 1, uint.MaxValue])
            foreach (byte band in (byte[])[0, 255])
            foreach (ulong group in (ulong[])[0, 1ul << 63, ulong.MaxValue])
            foreach (long order in (long[])[long.MinValue, -1, 0, long.MaxValue])
            foreach (long sequence in (long[])[long.MinValue, -1, 0, 1, long.MaxValue])
            {
                var key = new StoreKey(StoreKind.Message, queue, band, group, order, sequence);
                batch.Put(key, Bytes(key));
            }
        });
    }

    private static void ALargeRecordComesBackBesideSmallOnes(ContractRun run)
    {
        byte[] body = Bytes(Math.Min(run.Store.MaxRecordBytes, 16 * ContractRun.MiB) - 10);

        run.Commit(batch =>
        {
            batch.Put(Key(1), Bytes(10));
            batch.Put(Key(2), Bytes(10), body);
            batch.Put(Key(3), Bytes(10));
        });

        StoreRecord[] records = run.ReadAll();
        run.Equal([1, 2, 3], run.PageSequences(), "the records");
        run.True(records[1].Body.Span.SequenceEqual(body), $"the large body: {Expect.Describe(body)}", Expect.Describe(records[1].Body.ToArray()));
    }

    private static void AnInsertedRecordIsThereAndIsInsertedAgainOnceItIsDeleted(ContractRun run)
    {
        run.Commit(static batch => batch.Insert(Key(1), Bytes(8), Bytes(20)));
        run.Commit(static batch =>
        {
            batch.Delete(Key(1));
            batch.Insert(Key(1), Bytes(8, seed: 7), Bytes(20, seed: 7));
            batch.Insert(Key(2), Bytes(3));
            batch.Put(Key(2), Bytes(4));
        });

        StoreRecord[] records = run.ReadAll();

        run.Equal([1, 2], run.PageSequences(), "the records");
        run.Equal(Bytes(20, seed: 7), records[0].Body, "the body inserted last");
        run.Equal(Bytes(4), records[1].Head, "the head put last");
    }

    private static void WhatAReadReturnedStaysAsItWasWhenTheRecordIsReplacedAndDeleted(ContractRun run)
    {
        run.Commit(static batch => batch.Put(Key(1), Bytes(8), Bytes(20)));
        StoreRecord record = run.ReadOne();

        run.Commit(static batch => batch.Put(Key(1), Bytes(8, seed: 7), Bytes(20, seed: 7)));
        run.Commit(static batch => batch.Delete(Key(1)));

        run.Equal(Bytes(8), record.Head, "the head that was read");
        run.Equal(Bytes(20), record.Body, "the body that was read");
    }

    private static void ALargeBatchIsOneCommit(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(Enumerable.Range(1, 10_000)));
        run.Commit(static batch =>
        {
            for (int i = 1; i <= 9_000; i++)
                batch.Delete(Key(i));
        });
        run.Equal(1_000, run.ReadAll().Length, "the records left");
    }

    private static void AnEmptyBatchIsACommitToo(ContractRun run)
    {
        run.Commit(static _ => { }, FlushLevel.Written);
        run.Commit(static _ => { }, FlushLevel.Flushed);
    }

    private static void TheBatchMayBeUsedAgainAfterItsCommit(ContractRun run)
    {
        run.Commit(static batch => batch.Put(Key(1), Bytes(8), Bytes(8)), FlushLevel.Written);

        run.Commit(static batch => batch.Put(Key(2), Bytes(8, seed: 5)), FlushLevel.Written);

        run.Equal([1, 2], run.ReadSequences(), "the records of both");
    }

    private static void ThePutBeforeADeleteOfTheSameKeyIsGone(ContractRun run)
    {
        run.Commit(static batch =>
        {
            batch.Put(Key(1), Bytes(3));
            batch.Delete(Key(1));
        });

        run.Equal(0, run.ReadAll().Length, "the number of records");
    }

    private static void ThePutAfterADeleteOfTheSameKeyStays(ContractRun run)
    {
        run.Commit(static batch => batch.Put(Key(1), Bytes(3)));

        run.Commit(static batch =>
        {
            batch.Delete(Key(1));
            batch.Put(Key(1), Bytes(4));
        });

        run.Equal(4, run.ReadOne().Head.Length, "the length of the later head");
    }

    private static void TheLastOfTwoPutsOfTheSameKeyStays(ContractRun run)
    {
        run.Commit(static batch =>
        {
            batch.Put(Key(1), Bytes(3), Bytes(9));
            batch.Put(Key(1), Bytes(4));
        });

        StoreRecord record = run.ReadOne();
        run.Equal(4, record.Head.Length, "the length of the later head");
        run.Equal(0, record.Body.Length, "the length of the later body");
    }
}
