using System.Runtime.CompilerServices;
using CsCheck;
using QueueKit.Collections;

namespace QueueKit.Tests.Collections;

public class SegmentedQueueTests
{
    [Test]
    public void NothingComesOutOfAnEmptyQueue() => Assert.That(new SegmentedQueue<int>().TryDequeue(out _), Is.False);

    [TestCase(1)]
    [TestCase(8)]
    [TestCase(9)]
    [TestCase(5000)]
    public void WhatGoesInComesOutInOrder(int count)
    {
        SegmentedQueue<int> queue = Filled(count);

        Assert.That(queue.Count, Is.EqualTo(count));
        Assert.That(DequeueAll(queue), Is.EqualTo(Enumerable.Range(0, count)));
    }

    // Many items at a time, so that segments come and go.
    private static readonly Gen<(bool Adds, int Count)[]> Steps = Gen.Select(Gen.Bool, Gen.OneOf<int>(Gen.Int[1, 20], Gen.Int[1, 1500])).Array[0, 40];

    [Test]
    public void ItIsTheSameAsAnyQueue() => Steps.Sample(steps =>
    {
        var queue = new SegmentedQueue<int>();
        var model = new Queue<int>();
        int next = 0;
        foreach ((bool adds, int count) in steps)
        {
            for (int i = 0; i < count; i++)
            {
                if (adds)
                {
                    queue.Enqueue(next);
                    model.Enqueue(next++);
                }
                else if (queue.TryDequeue(out int item) != model.TryDequeue(out int expected) || item != expected)
                {
                    Assert.Fail($"{item} instead of {expected}");
                }
            }
            Assert.That(queue.Count, Is.EqualTo(model.Count));
            if (model.Count > 0)
                Assert.That(queue.Peek(), Is.EqualTo(model.Peek()));
        }
        Assert.That(DequeueAll(queue), Is.EqualTo(model));
    }, iter: 500);

    [Test]
    public void TheHeadCanBeChangedInPlace()
    {
        SegmentedQueue<int> queue = Filled(2);

        queue.Peek() = 7;

        Assert.That(DequeueAll(queue), Is.EqualTo([7, 1]));
    }

    [Test]
    public void AQueueThatWasClearedIsAsNew()
    {
        SegmentedQueue<int> queue = Filled(2000);

        queue.Clear();
        Assert.That((queue.Count, queue.TryDequeue(out _)), Is.EqualTo((0, false)));

        queue.Enqueue(5);
        Assert.That(DequeueAll(queue), Is.EqualTo([5]));
    }

    [Test]
    public void ItemsThatAreOutAreNotHeld()
    {
        var queue = new SegmentedQueue<object>();
        WeakReference[] items = EnqueueAndDequeue(queue, 2000);

        GC.Collect();

        Assert.That(items.Count(item => item.IsAlive), Is.Zero);
        GC.KeepAlive(queue);
    }

    [Test]
    public void TheMemoryOfALongQueueIsGivenBackAsItEmpties()
    {
        const int Count = 1_000_000;
        long before = GC.GetTotalMemory(forceFullCollection: true);
        SegmentedQueue<long> queue = Filled64(Count);
        long full = GC.GetTotalMemory(forceFullCollection: true) - before;
        for (int i = 0; i < Count - 10; i++)
            queue.TryDequeue(out _);
        long nearlyEmpty = GC.GetTotalMemory(forceFullCollection: true) - before;

        Assert.That(full, Is.GreaterThan(Count * sizeof(long) / 2));
        Assert.That(nearlyEmpty, Is.LessThan(full / 20));
        GC.KeepAlive(queue);
    }

    [TestCase(1)]
    [TestCase(20)]
    [TestCase(300)]
    [TestCase(3000)]
    public void ASteadyFlowAllocatesNothing(int backlog)
    {
        SegmentedQueue<int> queue = Filled(backlog);
        Flow(queue, 10_000);
        long before = GC.GetAllocatedBytesForCurrentThread();

        Flow(queue, 10_000);

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    private static SegmentedQueue<int> Filled(int count)
    {
        var queue = new SegmentedQueue<int>();
        for (int i = 0; i < count; i++)
            queue.Enqueue(i);
        return queue;
    }

    private static SegmentedQueue<long> Filled64(int count)
    {
        var queue = new SegmentedQueue<long>();
        for (int i = 0; i < count; i++)
            queue.Enqueue(i);
        return queue;
    }

    private static void Flow(SegmentedQueue<int> queue, int count)
    {
        for (int i = 0; i < count; i++)
        {
            queue.Enqueue(i);
            queue.TryDequeue(out _);
        }
    }

    // In a method of its own, so that no local keeps an item alive.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static WeakReference[] EnqueueAndDequeue(SegmentedQueue<object> queue, int count)
    {
        var items = new WeakReference[count];
        for (int i = 0; i < count; i++)
        {
            object item = new();
            items[i] = new WeakReference(item);
            queue.Enqueue(item);
        }
        while (queue.TryDequeue(out _))
            continue;
        return items;
    }

    private static List<int> DequeueAll(SegmentedQueue<int> queue)
    {
        var items = new List<int>();
        while (queue.TryDequeue(out int item))
            items.Add(item);
        return items;
    }
}
