using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>Histories long enough to fill, split, shrink and empty chunks, which those of the contract are not.</summary>
public class SortedRecordsTests
{
    private static readonly byte[] Value = [1];

    private readonly SortedRecords _records = new();
    private readonly SortedSet<StoreKey> _model = [];

    [Test]
    public void KeysAtRandomAreKeptSorted() => Gen.Int.Sample(
        seed =>
        {
            Clear();
            var random = new Random(seed);
            for (int i = 0; i < 6_000; i++)
            {
                StoreKey key = Parked(random.Next(50), random.Next(100));
                if (random.Next(10) < 7)
                    Put(key);
                else
                    Delete(key);
            }
            AssertSame();
            for (int i = 0; i < 6_000; i++)
            {
                StoreKey key = Parked(random.Next(50), random.Next(100));
                if (random.Next(10) < 3)
                    Put(key);
                else
                    Delete(key);
            }
            AssertSame();
        },
        iter: 20, threads: 1);

    [Test]
    public void ABacklogThatMovesAlongWithLeftBehindOnesIsKeptSorted() => Gen.Int.Sample(
        seed =>
        {
            Clear();
            var random = new Random(seed);
            Queue<StoreKey> order = [];
            List<StoreKey> stuck = [];
            for (int i = 0; i < 8_000; i++)
            {
                StoreKey key = Message((uint)random.Next(3), i);
                Put(key);
                order.Enqueue(key);
                if (order.Count < 1_000)
                    continue;
                StoreKey oldest = order.Dequeue();
                if (random.Next(200) == 0)
                    stuck.Add(oldest);
                else
                    Delete(oldest);
                if (stuck.Count > 20)
                {
                    // Comes back to the place it had, as after a retry.
                    int index = random.Next(stuck.Count);
                    Delete(stuck[index]);
                    if (random.Next(2) == 0)
                        Put(stuck[index]);
                    else
                        stuck.RemoveAt(index);
                }
            }
            AssertSame();
            while (order.TryDequeue(out StoreKey key))
                Delete(key);
            AssertSame();
            foreach (StoreKey key in stuck)
                Delete(key);
            AssertSame();
        },
        iter: 20, threads: 1);

    [Test]
    public void RangesAreCutOutOfManyChunks() => Gen.Select(Gen.Int[0, 5_000], Gen.Int[0, 5_000], Gen.Int[0, 5_000], Gen.Int[0, 5_000]).Sample(
        (a, b, c, d) =>
        {
            Clear();
            for (int i = 0; i < 5_000; i++)
                Put(Message(1, i));

            DeleteRange(Message(1, a), Message(1, b));
            AssertSame();
            for (int i = 0; i < 5_000; i += 7)
                Put(Message(1, i));
            AssertSame();
            DeleteRange(Message(1, c), Message(1, d));
            AssertSame();
        },
        iter: 30, threads: 1);

    [Test]
    public void GroupsThatAreUsedOnceDoNotStay()
    {
        for (ulong group = 0; group < 20_000; group++)
        {
            var key = new StoreKey(StoreKind.Message, 1, 0, group * 7919 % 20_011, 0, (long)group);
            Put(key);
            if (group % 100 != 0)
                Delete(key);
        }
        Assert.That(_records.RunCount, Is.LessThan(2_000));
        AssertSame();
    }

    [Test]
    public void APageCanBeginAndEndAnywhere()
    {
        for (int i = 0; i < 2_000; i++)
            Put(Message((uint)(i % 3), i));
        for (int i = 0; i < 2_000; i += 3)
            Delete(Message((uint)(i % 3), i * 7 % 2_000));
        var page = new StorePage();

        Gen.Select(Gen.UInt[0, 3], Gen.Int[-1, 2_001], Gen.UInt[0, 3], Gen.Int[-1, 2_001], Gen.Int[1, 700]).Sample(
            (fromQueue, from, toQueue, to, maxCount) =>
            {
                StoreKey first = Message(fromQueue, from), end = Message(toQueue, to);
                page.Clear();
                bool more = _records.Read(first, end, maxCount, long.MaxValue, page);
                StoreKey[] expected = [.. _model.Where(key => first <= key && key < end)];
                Assert.That(page.Records.Select(record => record.Key), Is.EqualTo(expected.Take(maxCount)));
                Assert.That(more, Is.EqualTo(expected.Length > maxCount));
            },
            iter: 300, threads: 1);
    }

    private static StoreKey Message(uint queue, long sequence) => new(StoreKind.Message, queue, 0, 0, 0, sequence);

    private static StoreKey Parked(long due, long sequence) => new(StoreKind.Parked, 1, 0, 0, due, sequence);

    private void Put(StoreKey key)
    {
        _records.Put(key, Value, default);
        _model.Add(key);
    }

    private void Delete(StoreKey key)
    {
        _records.Delete(key);
        _model.Remove(key);
    }

    private void DeleteRange(StoreKey from, StoreKey to)
    {
        _records.DeleteRange(from, to);
        _model.RemoveWhere(key => from <= key && key < to);
    }

    private void Clear() => DeleteRange(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message));

    private void AssertSame()
    {
        var page = new StorePage();
        _records.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        Assert.That(page.Records.Select(record => record.Key).SequenceEqual(_model), Is.True, "the records are not those of the model");
        foreach (StoreKey key in _model)
            Assert.That(_records.TryGet(key, out _, out _), Is.True);
    }
}
