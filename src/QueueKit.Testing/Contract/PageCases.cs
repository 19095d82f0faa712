using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Reading a range page by page.</summary>
internal static class PageCases
{
    private const string Ends = "a page ends at its count, or with the record that reaches its bytes; one record always comes";
    private const string Says = "a read that finds the end of its range says so for certain, and empties the page first";

    private static readonly (long MaxBytes, int Records)[] s_ends = [(29, 3), (30, 3), (31, 4), (1, 1)];

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Ends, APageEndsAtTheCount),
        .. s_ends.Select(static end => Cases.New(Ends, run => EndsAtBytes(run, end.MaxBytes, end.Records), $"APageEndsWithTheRecordThatReachesTheBytes({end.MaxBytes},{end.Records})")),
        Cases.New(Ends, ARecordLargerThanThePageComesAlone),
        Cases.New(Says, AReadThatFindsTheEndSaysSo),
        Cases.New(Says, AReadEmptiesThePageFirst),
    ];

    private static void APageEndsAtTheCount(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3, 4, 5));

        run.Equal(true, run.Store.Read(Key(1), Key(100), 3, ContractRun.MiB, run.Page), "more to come");
        run.Equal([1, 2, 3], run.PageSequences(), "what was read");
    }

    private static void EndsAtBytes(ContractRun run, long maxBytes, int expected)
    {
        run.Commit(static batch =>
        {
            for (int i = 1; i <= 6; i++)
                batch.Put(Key(i), Bytes(4), Bytes(6));
        });

        run.Equal(true, run.Store.Read(Key(1), Key(100), 100, maxBytes, run.Page), "more to come");
        run.Equal([.. Enumerable.Range(1, expected)], run.PageSequences(), "what was read");
    }

    private static void ARecordLargerThanThePageComesAlone(ContractRun run)
    {
        run.Commit(static batch =>
        {
            batch.Put(Key(1), Bytes(10), Bytes(100_000));
            batch.PutSequences(2);
        });

        run.Equal(true, run.Store.Read(Key(1), Key(100), 100, 1000, run.Page), "more to come");
        run.Equal([1], run.PageSequences(), "what was read");
    }

    private static void AReadThatFindsTheEndSaysSo(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2));

        run.Equal(false, run.Store.Read(Key(1), Key(100), 100, ContractRun.MiB, run.Page), "more to come behind the last");
        run.Equal(false, run.Store.Read(Key(3), Key(100), 100, ContractRun.MiB, run.Page), "more to come where nothing is");
        run.Equal(0, run.Page.Records.Count, "records where nothing is");
    }

    private static void AReadEmptiesThePageFirst(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1));
        run.Page.Add(Key(50), Bytes(3), Bytes(3));

        run.Store.Read(Key(1), Key(100), 100, ContractRun.MiB, run.Page);

        run.Equal([1], run.PageSequences(), "what was read");
        StoreRecord record = run.Page.Records[0];
        run.Equal((long)record.Head.Length + record.Body.Length, run.Page.Bytes, "the bytes of the page");
    }
}
