using System.Collections.Concurrent;
using QueueKit.Collections;

namespace QueueKit.Tests.Collections;

public class ObjectCacheTests
{
    // The cache is static: each test has a type of its own.
    private sealed class Spare;
    private sealed class Shared;
    private sealed class Surplus;

    private sealed class Contended
    {
        public int Users;
    }

    [Test]
    public void WhatAThreadReturnsItRentsAgain()
    {
        Spare first = ObjectCache<Spare>.Rent();
        Assert.That(ObjectCache<Spare>.Rent(), Is.Not.SameAs(first));

        ObjectCache<Spare>.Return(first);

        Assert.That(ObjectCache<Spare>.Rent(), Is.SameAs(first));
    }

    [Test]
    public void WhatOneThreadHasToSpareAnotherRents()
    {
        Shared own = new(), spare = new();
        ObjectCache<Shared>.Return(own);
        ObjectCache<Shared>.Return(spare);

        Shared? rented = null;
        OnThread(() => rented = ObjectCache<Shared>.Rent());

        Assert.That(rented, Is.SameAs(spare));
        Assert.That(ObjectCache<Shared>.Rent(), Is.SameAs(own));
    }

    [Test]
    public void NotMoreThanAFewThousandAreKept()
    {
        const int Returned = 10_000;
        var returned = new HashSet<Surplus>(ReferenceEqualityComparer.Instance);
        for (int i = 0; i < Returned; i++)
        {
            var item = new Surplus();
            returned.Add(item);
            ObjectCache<Surplus>.Return(item);
        }

        int kept = 0;
        while (returned.Contains(ObjectCache<Surplus>.Rent()))
            kept++;

        Assert.That(kept, Is.InRange(1000, 5000));
    }

    [Test]
    public void NoTwoRentTheSameObjectAtOnce()
    {
        var shared = new ConcurrentQueue<Contended>();
        int clashes = 0;
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            for (int i = 0; i < 20_000; i++)
            {
                Contended item = ObjectCache<Contended>.Rent();
                if (Interlocked.Increment(ref item.Users) != 1)
                    Interlocked.Increment(ref clashes);
                // Returned by whoever comes by, as completions are.
                shared.Enqueue(item);
                if (shared.Count > 8 && shared.TryDequeue(out Contended? done))
                {
                    Interlocked.Decrement(ref done.Users);
                    ObjectCache<Contended>.Return(done);
                }
            }
        }))];

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());

        Assert.That(clashes, Is.Zero);
    }

    private static void OnThread(Action action)
    {
        var thread = new Thread(() => action());
        thread.Start();
        thread.Join();
    }
}
