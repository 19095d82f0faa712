using System.Collections.Concurrent;
using QueueKit.Collections;

namespace QueueKit.Tests.Collections;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class SharedSparesTests
{
    private readonly SharedSpares<Spare> _spares = new();

    private sealed class Spare
    {
        public int Users;
    }

    [Test]
    public void ThereIsNothingToTakeBeforeSomethingIsGiven() => Assert.That((_spares.TryTake(out Spare? spare), spare), Is.EqualTo((false, (Spare?)null)));

    [Test]
    public void WhatIsGivenCanBeTakenOnce()
    {
        var given = new Spare();
        _spares.Give(given);

        Assert.That(_spares.TryTake(out Spare? taken), Is.True);
        Assert.That(taken, Is.SameAs(given));
        Assert.That(_spares.TryTake(out _), Is.False);
    }

    [Test]
    public void WhatOneThreadGivesAnotherTakes()
    {
        var given = new Spare();
        _spares.Give(given);

        Spare? taken = null;
        var thread = new Thread(() => _spares.TryTake(out taken));
        thread.Start();
        thread.Join();

        Assert.That(taken, Is.SameAs(given));
    }

    [Test]
    public void NotMoreThanAFewThousandAreKept()
    {
        for (int i = 0; i < 10_000; i++)
            _spares.Give(new Spare());

        int kept = 0;
        while (_spares.TryTake(out _))
            kept++;

        Assert.That(kept, Is.InRange(1000, 5000));
    }

    [Test]
    public void NoTwoHaveTheSameObjectAtOnce()
    {
        var inUse = new ConcurrentQueue<Spare>();
        int clashes = 0;
        Thread[] threads = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            for (int i = 0; i < 20_000; i++)
            {
                Spare item = _spares.TryTake(out Spare? spare) ? spare : new Spare();
                if (Interlocked.Increment(ref item.Users) != 1)
                    Interlocked.Increment(ref clashes);
                // Given back by whoever comes by, as completions are.
                inUse.Enqueue(item);
                if (inUse.Count > 8 && inUse.TryDequeue(out Spare? done))
                {
                    Interlocked.Decrement(ref done.Users);
                    _spares.Give(done);
                }
            }
        }))];

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());

        Assert.That(clashes, Is.Zero);
    }
}
