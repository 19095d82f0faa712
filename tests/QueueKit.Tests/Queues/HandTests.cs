using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class HandTests
{
    private readonly Hand _hand = new();

    [Test]
    public void AnEmptyHandHasNothing() => Assert.That((_hand.Next(), _hand.FirstOffered(), _hand.Deliveries.Length), Is.EqualTo(((InFlightDelivery?)null, (InFlightDelivery?)null, 0)));

    [TestCase(0, 1)]
    [TestCase(7, 1)]
    [TestCase(8, 2)]
    [TestCase(64, 16)]
    [TestCase(1000, Hand.Size)]
    [TestCase(long.MaxValue, Hand.Size)]
    public void LittleIsTakenWhereLittleIsReady(long ready, int taken) => Assert.That(Hand.CountFor(ready), Is.EqualTo(taken));

    [Test]
    public void WhatIsInItIsTakenInOrderAndOnce()
    {
        InFlightDelivery[] offered = Fill(1, 2, 3);

        Assert.That(new[] { _hand.Next(), _hand.Next(), _hand.Next(), _hand.Next() }, Is.EqualTo([.. offered, null]));
        Assert.That(offered.Select(delivery => delivery.IsInHand), Is.All.True);
    }

    [Test]
    public void TheFirstThatIsStillOfferedIsFound()
    {
        InFlightDelivery[] offered = Fill(1, 2, 3);
        offered[0].TryMove(LeaseState.Offered, LeaseState.Held);
        Assert.That(_hand.FirstOffered(), Is.SameAs(offered[1]));

        offered[1].TryMove(LeaseState.Offered, LeaseState.Lost);
        offered[2].TryMove(LeaseState.Offered, LeaseState.Held);
        Assert.That(_hand.FirstOffered(), Is.Null);
    }

    [Test]
    public void AHandIsFilledAgainAfterItWasCleared()
    {
        Fill([.. Enumerable.Range(1, Hand.Size)]);
        _hand.Next();

        _hand.Clear();
        Assert.That((_hand.Next(), _hand.Deliveries.Length), Is.EqualTo(((InFlightDelivery?)null, 0)));

        InFlightDelivery[] again = Fill([.. Enumerable.Range(100, Hand.Size)]);
        Assert.That(_hand.Next(), Is.SameAs(again[0]));
        Assert.That(_hand.Deliveries.Length, Is.EqualTo(Hand.Size));
    }

    private InFlightDelivery[] Fill(params int[] sequences)
    {
        InFlightDelivery[] deliveries = [.. sequences.Select(sequence => Some.Delivery(sequence, state: LeaseState.Offered))];
        Array.ForEach(deliveries, _hand.Add);
        return deliveries;
    }
}
