using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class InFlightTableTests
{
    [Test]
    public void AnEmptyTableHasNoEarliest()
    {
        var table = new InFlightTable();

        Assert.That((table.Earliest, table.Count, table.OldestHandOver()), Is.EqualTo(((InFlightDelivery?)null, 0L, (long?)null)));
    }

    [Test]
    public void LeasesOfTheQueuesOwnDurationStandInTheRow()
    {
        var table = new InFlightTable();
        InFlightDelivery first = Add(table, 1, deadline: 10), second = Add(table, 2, deadline: 10), third = Add(table, 3, deadline: 20);

        Assert.That(new[] { first, second, third }.Select(delivery => delivery.Place), Is.All.EqualTo(InFlightPlace.Row));
        Assert.That(Drain(table), Is.EqualTo([1, 2, 3]));
    }

    [Test]
    public void LeasesOfAnotherDurationStandInTheSet()
    {
        var table = new InFlightTable();
        Add(table, 1, deadline: 100);
        InFlightDelivery shortLease = Add(table, 2, deadline: 50, plain: false);

        Assert.That(shortLease.Place, Is.EqualTo(InFlightPlace.Set));
        Assert.That(Drain(table), Is.EqualTo([2, 1]));
    }

    [Test]
    public void APlainLeaseThatEndsBeforeTheLastOneGoesIntoTheSet()
    {
        // The queue was declared anew with a shorter lease.
        var table = new InFlightTable();
        Add(table, 1, deadline: 100);
        Add(table, 2, deadline: 60);
        Add(table, 3, deadline: 100);
        Add(table, 4, deadline: 70);

        Assert.That(Drain(table), Is.EqualTo([2, 4, 1, 3]));
    }

    [Test]
    public void SeveralMayEndAtTheSameTime()
    {
        var table = new InFlightTable();
        for (int sequence = 1; sequence <= 6; sequence++)
            Add(table, sequence, deadline: 10, plain: sequence % 2 == 0);

        Assert.That(Drain(table), Is.EquivalentTo([1, 2, 3, 4, 5, 6]));
    }

    [Test]
    public void AProlongedLeaseEndsWhenItIsSaidToAndNotBefore()
    {
        var table = new InFlightTable();
        InFlightDelivery first = Add(table, 1, deadline: 10);
        Add(table, 2, deadline: 20);

        table.Prolong(first, 15);
        Assert.That(table.Earliest!.Sequence, Is.EqualTo(1));

        table.Prolong(first, 30);
        Assert.That((table.Earliest!.Sequence, first.Deadline, table.Count), Is.EqualTo((2L, 30L, 2L)));
    }

    [Test]
    public void ALeaseThatIsOutCannotBeProlonged()
    {
        var table = new InFlightTable();
        InFlightDelivery delivery = Add(table, 1, deadline: 10);
        table.Remove(delivery);

        table.Prolong(delivery, 30);

        Assert.That((table.Count, table.Bytes, delivery.Place), Is.EqualTo((0L, 0L, InFlightPlace.None)));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void ADeliveryIsRemovedOnce(bool plain)
    {
        var table = new InFlightTable();
        InFlightDelivery delivery = Add(table, 1, deadline: 10, plain, size: 7);

        Assert.That(table.Remove(delivery), Is.True);
        Assert.That(table.Remove(delivery), Is.False);
        Assert.That((table.Count, table.Bytes), Is.EqualTo((0L, 0L)));
    }

    [Test]
    public void TheOldestHandOverIsFoundInTheRowAndInTheSet()
    {
        var table = new InFlightTable();
        InFlightDelivery prolonged = Add(table, 1, deadline: 10, startedAt: 1);
        Add(table, 2, deadline: 20, startedAt: 2);
        table.Prolong(prolonged, 100);
        Assert.That(table.OldestHandOver(), Is.EqualTo(1));

        table.Remove(prolonged);
        Assert.That(table.OldestHandOver(), Is.EqualTo(2));
    }

    [Test]
    public void TheTableIsTheSameAsAListOfDeadlines() => Gen.Select(Gen.Int[0, 5], Gen.Int[0, 30]).Array[0, 150].Sample(steps =>
    {
        var table = new InFlightTable();
        var model = new List<InFlightDelivery>();
        var deadlines = new Dictionary<long, long>();
        long now = 0, lease = 20, sequence = 0;
        foreach ((int what, int number) in steps)
        {
            InFlightDelivery? any = model.Count == 0 ? null : model[number % model.Count];
            switch (what)
            {
                case 0 or 1:
                    now += number % 3;
                    bool plain = what == 0 || number % 2 == 0;
                    model.Add(Add(table, ++sequence, now + (plain ? lease : number), plain, size: number, startedAt: now));
                    deadlines[sequence] = now + (plain ? lease : number);
                    break;
                case 2 when any is not null:
                    table.Prolong(any, now + number);
                    deadlines[any.Sequence] = now + number;
                    break;
                case 3 when any is not null:
                    Assert.That(table.Remove(any), Is.True);
                    model.Remove(any);
                    break;
                case 4:
                    lease = 1 + number;
                    break;
                case 5 when table.Earliest is { } earliest:
                    now = Math.Max(now, earliest.Deadline);
                    table.Remove(earliest);
                    model.Remove(earliest);
                    break;
            }
            Assert.That(table.Count, Is.EqualTo(model.Count));
            Assert.That(table.Bytes, Is.EqualTo(model.Sum(delivery => delivery.Size)));
            Assert.That(table.Earliest?.Deadline, Is.EqualTo(model.Count == 0 ? null : model.Min(delivery => deadlines[delivery.Sequence])));
            Assert.That(table.OldestHandOver(), Is.EqualTo(model.Count == 0 ? null : model.Min(delivery => delivery.StartedAt)));
        }
    }, iter: 500);

    private static InFlightDelivery Add(InFlightTable table, long sequence, long deadline, bool plain = true, int size = 1, long startedAt = 0)
    {
        InFlightDelivery delivery = Some.Delivery(sequence, size, startedAt);
        table.Add(delivery, deadline, plain);
        return delivery;
    }

    // In the order in which the leases end.
    private static List<long> Drain(InFlightTable table)
    {
        var drained = new List<long>();
        while (table.Earliest is { } earliest)
        {
            table.Remove(earliest);
            drained.Add(earliest.Sequence);
        }
        return drained;
    }
}
