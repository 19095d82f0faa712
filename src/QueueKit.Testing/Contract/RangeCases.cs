using QueueKit.Stores;
using static QueueKit.Testing.Contract.Some;

namespace QueueKit.Testing.Contract;

/// <summary>Ranges that are deleted and read, and the order in which records come.</summary>
internal static class RangeCases
{
    private const string HalfOpen = "a range begins at its first key and ends before its last one";
    private const string Ordered = "keys are ordered by StoreKey.CompareTo, which is the order of the bytes of StoreKey.WriteTo";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(HalfOpen, ARangeDeleteTakesTheEarlierPutsOfItsBatchAndLeavesTheLaterOnes),
        Cases.New(HalfOpen, ARangeDeleteTakesItsFirstKeyAndLeavesTheOneItEndsAt),
        Cases.New(HalfOpen, ARangeDeleteOfAQueueLeavesTheNeighbours),
        Cases.New(HalfOpen, ARangeThatEndsWhereItBeginsOrBeforeIsEmpty),
        Cases.New(HalfOpen, AReadTakesItsFirstKeyAndStopsBeforeTheOneItEndsAt),
        Cases.New(Ordered, RecordsComeInTheOrderOfTheBytesOfTheirKeys),
    ];

    private static void ARangeDeleteTakesTheEarlierPutsOfItsBatchAndLeavesTheLaterOnes(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2));

        run.Commit(static batch =>
        {
            batch.PutSequences(3, 4);
            batch.DeleteRange(Key(2), Key(4));
            batch.PutSequences(2);
        });

        run.Equal([1, 2, 4], run.ReadSequences(), "what is left");
    }

    private static void ARangeDeleteTakesItsFirstKeyAndLeavesTheOneItEndsAt(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3, 4));

        run.Commit(static batch => batch.DeleteRange(Key(2), Key(4)));

        run.Equal([1, 4], run.ReadSequences(), "what is left");
    }

    private static void ARangeDeleteOfAQueueLeavesTheNeighbours(ContractRun run)
    {
        run.Commit(static batch =>
        {
            foreach (uint queue in (uint[])[1, 2, 3])
            foreach (StoreKind kind in (StoreKind[])[StoreKind.Message, StoreKind.Parked])
            {
                batch.Put(StoreKey.First(kind, queue), Bytes(1));
                batch.Put(new StoreKey(kind, queue, 255, ulong.MaxValue, long.MaxValue, long.MaxValue), Bytes(1));
            }
        });

        run.Commit(static batch => batch.DeleteRange(StoreKey.First(StoreKind.Message, 2), StoreKey.After(StoreKind.Message, 2)));

        string left = string.Join(", ", run.ReadAll().Select(static record => $"{record.Key.Kind} {record.Key.Queue}").Distinct());
        run.Equal("Parked 1, Parked 2, Parked 3, Message 1, Message 3", left, "what is left");
    }

    private static void ARangeThatEndsWhereItBeginsOrBeforeIsEmpty(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3));

        run.Commit(static batch =>
        {
            batch.DeleteRange(Key(2), Key(2));
            batch.DeleteRange(Key(3), Key(1));
        });

        run.Equal([1, 2, 3], run.ReadSequences(), "what is left");
        foreach ((long from, long to) in ((long, long)[])[(2, 2), (3, 1)])
        {
            run.Equal(false, run.Store.Read(Key(from), Key(to), 10, ContractRun.MiB, run.Page), $"more to come from {from} to {to}");
            run.Equal(0, run.Page.Records.Count, $"records from {from} to {to}");
        }
    }

    private static void AReadTakesItsFirstKeyAndStopsBeforeTheOneItEndsAt(ContractRun run)
    {
        run.Commit(static batch => batch.PutSequences(1, 2, 3, 4));

        run.Equal(false, run.Store.Read(Key(2), Key(4), 10, ContractRun.MiB, run.Page), "more to come");
        run.Equal([2, 3], run.PageSequences(), "what was read");
    }

    private static void RecordsComeInTheOrderOfTheBytesOfTheirKeys(ContractRun run)
    {
        for (int seed = run.Place.Seed; seed < run.Place.Seed + 40; seed++)
        {
            var random = new Random(seed);
            StoreKey[] keys = [.. Enumerable.Range(0, random.Next(1, 41)).Select(_ => AnyKey(random))];
            run.Clear();

            run.Commit(batch =>
            {
                foreach (StoreKey key in keys)
                    batch.Put(key, Bytes(2));
            });

            byte[][] read = [.. run.ReadAll().Select(static record => Bytes(record.Key))];
            byte[][] expected = [.. keys.Distinct().Select(Bytes).Order(Comparer<byte[]>.Create(static (left, right) => left.AsSpan().SequenceCompareTo(right)))];
            run.Equal(string.Join(' ', expected.Select(Convert.ToHexString)), string.Join(' ', read.Select(Convert.ToHexString)), $"the keys, seed {seed}");
        }
    }
}
