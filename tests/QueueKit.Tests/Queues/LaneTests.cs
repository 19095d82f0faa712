using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class LaneTests
{
    [Test]
    public void MessagesLeaveInTheOrderOfTheirArrival() => Assert.That(TakeAll(Lane(fresh: [1, 2, 3])), Is.EqualTo([1, 2, 3]));

    [Test]
    public void AMessageThatCameBackKeepsItsPlace() => Assert.That(TakeAll(Lane(fresh: [3, 5, 7], returned: [4, 1])), Is.EqualTo([1, 3, 4, 5, 7]));

    [Test]
    public void MessagesThatCameBackStandInOrderWithoutFreshOnes() => Assert.That(TakeAll(Lane(fresh: [], returned: [9, 2, 5])), Is.EqualTo([2, 5, 9]));

    [Test]
    public void AFreshMessageMayFollowOneThatCameBackLater() => Assert.That(TakeAll(Lane(fresh: [2, 3], returned: [10])), Is.EqualTo([2, 3, 10]));

    [Test]
    public void TheHeadIsWhatIsTakenNext()
    {
        Lane lane = Lane(fresh: [3, 5, 7], returned: [4, 1]);

        for (int left = lane.Count; left > 0; left--)
        {
            long head = lane.Head.Sequence;
            Assert.That(lane.Take().Sequence, Is.EqualTo(head));
            Assert.That(lane.Count, Is.EqualTo(left - 1));
        }
    }

    private static Lane Lane(long[] fresh, params long[] returned)
    {
        var lane = new Lane();
        foreach (long sequence in fresh)
            lane.Append(Some.Message(sequence));
        foreach (long sequence in returned)
            lane.Insert(Some.Message(sequence));
        return lane;
    }

    private static List<long> TakeAll(Lane lane)
    {
        var taken = new List<long>();
        while (lane.Count > 0)
            taken.Add(lane.Take().Sequence);
        return taken;
    }
}
