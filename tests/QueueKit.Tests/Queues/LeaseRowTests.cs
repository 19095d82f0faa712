using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class LeaseRowTests
{
    [Test]
    public void WhoeverLeavesTheOthersStayInOrder() => Gen.Int[0, 40].Array[0, 300].Sample(steps =>
    {
        var row = new LeaseRow();
        var model = new List<InFlightDelivery>();
        long sequence = 0;
        foreach (int step in steps)
        {
            if (step < 20 || model.Count == 0)
            {
                model.Add(Add(row, ++sequence));
            }
            else
            {
                row.Remove(model[step % model.Count]);
                model.RemoveAt(step % model.Count);
            }
            Assert.That(row.First, Is.SameAs(model.FirstOrDefault()));
            Assert.That(row.Deliveries, Is.EqualTo(model));
            Assert.That(row.Count, Is.EqualTo(model.Count));
        }
    }, iter: 500);

    [Test]
    public void OneThatStaysDoesNotMakeTheRowLonger()
    {
        var row = new LeaseRow();
        InFlightDelivery stuck = Add(row, 1);

        for (int sequence = 2; sequence < 10_000; sequence++)
        {
            row.Remove(Add(row, sequence));
            Assert.That(row.Length, Is.EqualTo(16));
        }

        Assert.That(row.First, Is.SameAs(stuck));
    }

    [Test]
    public void ALongRowIsShortAgainWhenAllHaveLeft()
    {
        var row = new LeaseRow();
        InFlightDelivery[] deliveries = [.. Enumerable.Range(1, 100_000).Select(sequence => Add(row, sequence))];

        foreach (InFlightDelivery delivery in deliveries)
            row.Remove(delivery);

        Assert.That((row.Length, row.First), Is.EqualTo((0, (InFlightDelivery?)null)));
        Add(row, 100_001);
        Assert.That(row.Length, Is.EqualTo(16));
    }

    private static InFlightDelivery Add(LeaseRow row, long sequence)
    {
        InFlightDelivery delivery = Some.Delivery(sequence, size: 1, startedAt: 0);
        row.Add(delivery);
        return delivery;
    }
}
