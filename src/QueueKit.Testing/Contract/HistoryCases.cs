using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Random histories against the model, and reads beside commits.</summary>
internal static class HistoryCases
{
    private const string Model = "after any history the store holds what the operations in their order lead to, also when it was closed and opened";
    private const string Whole = "a read sees every commit that had returned when the read began, and none in part";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Model, AnyHistoryLeadsToTheStateOfTheModel),
        Cases.New(Whole, AReadBesideCommitsSeesWholeCommitsOnlyAndAllThatHadReturned),
    ];

    private static async Task AnyHistoryLeadsToTheStateOfTheModel(ContractRun run)
    {
        for (int seed = run.Place.Seed; seed < run.Place.Seed + 30; seed++)
        {
            var random = new Random(seed);
            StoreKey from = CloseKey(random), to = CloseKey(random);
            int commits = random.Next(1, 13), maxCount = random.Next(1, 21), maxBytes = random.Next(1, 201);
            run.Clear();
            for (int i = 0; i < commits; i++)
            {
                run.Commit(batch => AnySteps(batch, random), i % 4 == 3 ? FlushLevel.Flushed : FlushLevel.Written);
                ExpectPages(run, from, to, maxCount, maxBytes, $"seed {seed}, commit {i + 1}");
            }
            await run.ReopenAsync().ConfigureAwait(false);
            run.ExpectTheModel($"seed {seed}, opened again");
        }
    }

    private static void ExpectPages(ContractRun run, StoreKey from, StoreKey to, int maxCount, long maxBytes, string when)
    {
        List<string> read = [];
        StoreKey next = from;
        bool more;
        do
        {
            more = run.Store.Read(next, to, maxCount, maxBytes, run.Page);
            IReadOnlyList<StoreRecord> records = run.Page.Records;
            run.True(!more || records.Count == maxCount || run.Page.Bytes >= maxBytes, $"{when}: a page that is full or the last", $"{records.Count} records of {run.Page.Bytes} bytes, and more to come");
            run.True(records.Count <= maxCount, $"{when}: at most {maxCount} records in a page", $"{records.Count}");
            if (records.Count > 0)
            {
                StoreRecord last = records[^1];
                long before = run.Page.Bytes - last.Head.Length - last.Body.Length;
                run.True(before < maxBytes, $"{when}: an end with the record that reaches {maxBytes} bytes", $"another one behind {before} bytes");
                next = last.Key.Next();
            }
            read.AddRange(records.Select(static record => record.Key.ToString()));
        }
        while (more);
        string[] expected = [.. run.Model.KeysBetween(from, to).Select(static key => key.ToString())];
        run.True(expected.AsSpan().SequenceEqual(read.ToArray()), $"{when}: the keys from {from} to {to}", Expect.FirstDifference(expected, read));
    }

    private static async Task AReadBesideCommitsSeesWholeCommitsOnlyAndAllThatHadReturned(ContractRun run)
    {
        const int Records = 50, Commits = 300;
        long returned = 0;
        bool isDone = false;
        CommitGeneration(0);

        Task[] readers = [Task.Run(ReadOn), Task.Run(ReadOn)];
        try
        {
            for (int generation = 1; generation <= Commits; generation++)
            {
                CommitGeneration(generation);
                Volatile.Write(ref returned, generation);
            }
        }
        finally
        {
            Volatile.Write(ref isDone, true);
        }
        await Task.WhenAll(readers).ConfigureAwait(false);

        void CommitGeneration(int generation) => run.Commit(batch => Generation.Write(batch, generation, Records), FlushLevel.Written);

        void ReadOn()
        {
            var page = new StorePage();
            do
            {
                long before = Volatile.Read(ref returned);
                run.Store.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), Records * 2, ContractRun.MiB, page);
                Generation.Expect(run, page.Records, Records, atLeast: before, "beside commits");
            }
            while (!Volatile.Read(ref isDone));
        }
    }
}

/// <summary>A window of records that moves by one with each commit, and says in every record which commit it is: so whatever is read of it is whole or not.</summary>
internal static class Generation
{
    public static void Write(StoreBatch batch, int generation, int records)
    {
        batch.Delete(Key(generation - 1));
        for (int i = 0; i < records; i++)
            batch.Put(Key(generation + i), BitConverter.GetBytes(generation), Bytes(50));
    }

    public static void Expect(ContractRun run, IReadOnlyList<StoreRecord> found, int records, long atLeast, string when)
    {
        int generation = found.Count == 0 ? -1 : BitConverter.ToInt32(found[0].Head.Span);
        run.True(generation >= atLeast, $"{when}: commit {atLeast} or a later one", $"{found.Count} records of commit {generation}");
        run.Equal([.. Enumerable.Range(generation, records)], [.. found.Select(static record => record.Key.Sequence)], $"{when}: the records of commit {generation}");
        run.True(found.All(record => BitConverter.ToInt32(record.Head.Span) == generation), $"{when}: records of commit {generation} alone", "records of several commits");
    }
}
