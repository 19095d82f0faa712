using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class AckStackTests
{
    private const int Pushers = 4;
    private const int PerPusher = 20_000;

    private AckStack _stack = null!;

    [SetUp]
    public void StartEmpty() => _stack = new AckStack();

    [Test]
    public void WhatWasPushedIsTakenOnce()
    {
        _stack.Push(Some.Delivery(1));
        _stack.Push(Some.Delivery(2));

        Assert.That(TakeAll(), Is.EquivalentTo([1, 2]));
        Assert.That((_stack.IsEmpty, _stack.TakeAll()), Is.EqualTo((true, (InFlightDelivery?)null)));
    }

    [Test]
    public void SeveralArePushedAtOnce()
    {
        _stack.Push(Some.Delivery(1));
        _stack.PushAll([Some.Delivery(2), Some.Delivery(3), Some.Delivery(4)]);
        _stack.PushAll([Some.Delivery(5)]);

        Assert.That(TakeAll(), Is.EqualTo([5, 2, 3, 4, 1]));
    }

    [Test]
    public void ManyThreadsPushWhileOneTakesAndNothingIsLostOrTakenTwice()
    {
        using var start = new Barrier(Pushers + 1);
        Thread[] pushers = [.. Enumerable.Range(0, Pushers).Select(pusher => new Thread(() =>
        {
            InFlightDelivery[] deliveries = [.. Enumerable.Range(0, PerPusher).Select(i => Some.Delivery(pusher * PerPusher + i))];
            start.SignalAndWait();
            foreach (InFlightDelivery delivery in deliveries)
                _stack.Push(delivery);
        }))];
        Array.ForEach(pushers, pusher => pusher.Start());

        var taken = new List<long>();
        start.SignalAndWait();
        while (pushers.Any(pusher => pusher.IsAlive))
            taken.AddRange(TakeAll());
        taken.AddRange(TakeAll());

        taken.Sort();
        Assert.That(taken.SequenceEqual(Enumerable.Range(0, Pushers * PerPusher).Select(i => (long)i)), Is.True);
    }

    private List<long> TakeAll()
    {
        var taken = new List<long>();
        for (InFlightDelivery? delivery = _stack.TakeAll(); delivery is not null; delivery = delivery.NextAcked)
            taken.Add(delivery.Sequence);
        return taken;
    }
}
