using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class ConsumerRingTests
{
    [Test]
    public void ConsumersAreServedInTurn()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer(), b = Some.Consumer(), c = Some.Consumer();
        Wait(ring, a, b, c);

        Assert.That(Serve(ring, 3), Is.EqualTo([a, b, c]));
        Assert.That((ring.IsEmpty, ring.WaitingCount), Is.EqualTo((true, 0)));
    }

    [Test]
    public void AConsumerWithManyPlacesGetsNoMoreThanItsTurn()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer(), b = Some.Consumer();
        Wait(ring, a, a, a, a, b, b);

        Assert.That(Serve(ring, 6), Is.EqualTo([a, b, a, b, a, a]));
    }

    [Test]
    public void ThePlacesOfAConsumerAreServedInTheOrderInWhichTheyBeganToWait()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer();
        PendingReceive[] receives = Wait(ring, a, a, a);

        foreach (PendingReceive receive in receives)
        {
            Assert.That(ring.Next, Is.SameAs(receive));
            ring.Served(receive);
        }
    }

    [Test]
    public void AConsumerThatComesBackStandsAtTheEnd()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer(), b = Some.Consumer();
        Wait(ring, a, b);

        Serve(ring, 1);
        Wait(ring, a);

        Assert.That(Serve(ring, 2), Is.EqualTo([b, a]));
    }

    [Test]
    public void WithoutCreditAConsumerWaitsOutsideTheRing()
    {
        var ring = new ConsumerRing();
        Consumer consumer = Some.Consumer(credit: 1);
        consumer.Unsettled = 1;
        Wait(ring, consumer);
        Assert.That((ring.IsEmpty, ring.WaitingCount), Is.EqualTo((true, 1)));

        consumer.Unsettled = 0;
        ring.Refresh(consumer);
        Assert.That(ring.Next.Consumer, Is.SameAs(consumer));
    }

    [Test]
    public void AConsumerWhoseCreditIsUsedUpLeavesTheRingWithItsOtherWaits()
    {
        var ring = new ConsumerRing();
        Consumer limited = Some.Consumer(credit: 2), free = Some.Consumer();
        Wait(ring, limited, limited, limited, free);

        Assert.That(Serve(ring, 3), Is.EqualTo([limited, free, limited]));
        Assert.That((ring.IsEmpty, ring.WaitingCount), Is.EqualTo((true, 1)));
    }

    [Test]
    public void MoreCreditBringsAConsumerIntoTheRingAndLessTakesItOut()
    {
        var ring = new ConsumerRing();
        Consumer consumer = Some.Consumer(credit: 3);
        consumer.Unsettled = 2;
        Wait(ring, consumer);

        consumer.Credit = 2;
        ring.Refresh(consumer);
        Assert.That(ring.IsEmpty, Is.True);

        consumer.Credit = 3;
        ring.Refresh(consumer);
        Assert.That(ring.IsEmpty, Is.False);
    }

    [Test]
    public void ARefreshWithoutAChangeDoesNotCostTheTurn()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer(), b = Some.Consumer();
        Wait(ring, a, b);

        ring.Refresh(a);

        Assert.That(ring.Next.Consumer, Is.SameAs(a));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void AReceiveThatGaveUpLeavesNothingBehind(int place)
    {
        var ring = new ConsumerRing();
        List<Consumer> consumers = [Some.Consumer(), Some.Consumer(), Some.Consumer()];
        PendingReceive[] receives = Wait(ring, [.. consumers]);

        ring.Leave(receives[place]);
        consumers.RemoveAt(place);

        Assert.That(ring.WaitingCount, Is.EqualTo(2));
        Assert.That(Serve(ring, 2), Is.EqualTo(consumers));
    }

    [Test]
    public void OneOfSeveralWaitsOfAConsumerMayGiveUpAndTheConsumerKeepsItsTurn()
    {
        var ring = new ConsumerRing();
        Consumer a = Some.Consumer(), b = Some.Consumer();
        PendingReceive[] receives = Wait(ring, a, a, a, b);

        ring.Leave(receives[1]);

        Assert.That(ring.Next, Is.SameAs(receives[0]));
        Assert.That(Serve(ring, 3), Is.EqualTo([a, b, a]));
    }

    [Test]
    public void AConsumerThatIsClosedIsNotInTheRing()
    {
        var ring = new ConsumerRing();
        Consumer consumer = Some.Consumer();
        Wait(ring, consumer);

        consumer.IsClosed = true;
        ring.Refresh(consumer);

        Assert.That(ring.IsEmpty, Is.True);
    }

    [Test]
    public void AnyWaitIsFoundWithCreditAndWithout()
    {
        var ring = new ConsumerRing();
        Assert.That(ring.AnyWaiting, Is.Null);
        Consumer spent = Some.Consumer(credit: 1);
        spent.Unsettled = 1;
        PendingReceive[] receives = Wait(ring, spent, Some.Consumer(), spent);

        var found = new List<PendingReceive>();
        while (ring.AnyWaiting is { } receive)
        {
            ring.Leave(receive);
            found.Add(receive);
        }

        Assert.That(found, Is.EquivalentTo(receives));
        Assert.That(ring.WaitingCount, Is.Zero);
    }

    [Test]
    public void TheRingHoldsExactlyWhoWaitsAndHasAFreePlace() => Gen.Select(Gen.Int[0, 4], Gen.Int[0, 11]).Array[0, 120].Sample(steps =>
    {
        var ring = new ConsumerRing();
        Consumer[] consumers = [Some.Consumer(), Some.Consumer(credit: 1), Some.Consumer(credit: 2), Some.Consumer()];
        var waiting = new List<PendingReceive>();
        // The consumers that are to be in the ring, in the order of their turns.
        var turns = new List<Consumer>();
        void Update(Consumer consumer)
        {
            bool belongs = waiting.Any(receive => receive.Consumer == consumer) && consumer.Unsettled < consumer.Credit;
            if (belongs && !turns.Contains(consumer))
                turns.Add(consumer);
            else if (!belongs)
                turns.Remove(consumer);
        }
        foreach ((int what, int number) in steps)
        {
            Consumer consumer = consumers[number % consumers.Length];
            switch (what)
            {
                case 0:
                    waiting.AddRange(Wait(ring, consumer));
                    break;
                case 1 when waiting.Count > 0:
                    PendingReceive gone = waiting[number % waiting.Count];
                    ring.Leave(gone);
                    waiting.Remove(gone);
                    consumer = gone.Consumer;
                    break;
                case 2 when !ring.IsEmpty:
                    PendingReceive next = ring.Next;
                    consumer = next.Consumer;
                    Assert.That(next, Is.SameAs(waiting.First(receive => receive.Consumer == consumer)));
                    Assert.That(consumer, Is.SameAs(turns[0]));
                    consumer.Unsettled += consumer.CountsUnsettled ? 1 : 0;
                    ring.Served(next);
                    waiting.Remove(next);
                    turns.RemoveAt(0);
                    break;
                case 3 when consumer.Unsettled > 0:
                    consumer.Unsettled--;
                    ring.Refresh(consumer);
                    break;
                case 4 when consumer.CountsUnsettled:
                    consumer.Credit = 1 + number % 3;
                    ring.Refresh(consumer);
                    break;
            }
            Update(consumer);
            Assert.That(ring.WaitingCount, Is.EqualTo(waiting.Count));
            Assert.That(ring.IsEmpty, Is.EqualTo(turns.Count == 0));
            Assert.That(consumers.Where(each => each.IsInRing), Is.EquivalentTo(turns));
            Assert.That(ring.AnyWaiting is null, Is.EqualTo(waiting.Count == 0));
        }
    }, iter: 500);

    private static PendingReceive[] Wait(ConsumerRing ring, params Consumer[] consumers)
    {
        PendingReceive[] receives = [.. consumers.Select(consumer => new PendingReceive(consumer))];
        Array.ForEach(receives, ring.Wait);
        return receives;
    }

    // Hands out a message to each whose turn it is.
    private static List<Consumer> Serve(ConsumerRing ring, int count)
    {
        var served = new List<Consumer>();
        for (; count > 0; count--)
        {
            PendingReceive next = ring.Next;
            if (next.Consumer.CountsUnsettled)
                next.Consumer.Unsettled++;
            ring.Served(next);
            served.Add(next.Consumer);
        }
        return served;
    }
}
