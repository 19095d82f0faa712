using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class OverflowGateTests
{
    private static readonly OverflowPolicy[] s_policies = [OverflowPolicy.Backpressure, OverflowPolicy.Reject, OverflowPolicy.DropNewest, OverflowPolicy.DropOldest];

    // Verdicts

    [Test]
    public void WithRoomEveryPolicyAdmits([ValueSource(nameof(s_policies))] OverflowPolicy policy, [Values] bool mayWait) =>
        Assert.That(Gate(policy, maxMessages: 3, messages: 2).Judge(1, 1, mayWait, 0, 0), Is.EqualTo(GateVerdict.Admit));

    [TestCase(OverflowPolicy.Backpressure, true, GateVerdict.Wait)]
    [TestCase(OverflowPolicy.Backpressure, false, GateVerdict.Refuse)]
    [TestCase(OverflowPolicy.Reject, true, GateVerdict.Refuse)]
    [TestCase(OverflowPolicy.Reject, false, GateVerdict.Refuse)]
    [TestCase(OverflowPolicy.DropNewest, true, GateVerdict.Drop)]
    [TestCase(OverflowPolicy.DropNewest, false, GateVerdict.Drop)]
    [TestCase(OverflowPolicy.DropOldest, true, GateVerdict.Evict)]
    [TestCase(OverflowPolicy.DropOldest, false, GateVerdict.Evict)]
    public void AFullGateAnswersAsItsPolicySays(object policy, bool mayWait, object verdict)
    {
        OverflowGate gate = Gate((OverflowPolicy)policy, maxMessages: 3, messages: 3);

        Assert.That(gate.Judge(1, 1, mayWait, readyMessages: 3, readyBytes: 3), Is.EqualTo(verdict));
    }

    [Test]
    public void ABatchIsAdmittedIfItFitsWholeAndNotOtherwise()
    {
        OverflowGate gate = Gate(OverflowPolicy.DropNewest, maxMessages: 10, messages: 6);

        Assert.That(gate.Judge(4, 4, true, 0, 0), Is.EqualTo(GateVerdict.Admit));
        Assert.That(gate.Judge(5, 5, true, 0, 0), Is.EqualTo(GateVerdict.Drop));
    }

    [Test]
    public void TheBytesAreALimitOfTheirOwn()
    {
        OverflowGate gate = Gate(OverflowPolicy.Reject, maxMessages: 100, maxBytes: 10, messages: 1, bytes: 7);

        Assert.That(gate.Judge(1, 3, true, 0, 0), Is.EqualTo(GateVerdict.Admit));
        Assert.That(gate.Judge(1, 4, true, 0, 0), Is.EqualTo(GateVerdict.Refuse));
    }

    [Test]
    public void AMessageWithoutBytesNeedsAPlaceAllTheSame() =>
        Assert.That(Gate(OverflowPolicy.Reject, maxMessages: 1, messages: 1, bytes: 0).Judge(1, 0, true, 0, 0), Is.EqualTo(GateVerdict.Refuse));

    [Test]
    public void WithoutLimitsThereIsAlwaysRoom()
    {
        OverflowGate gate = Gate(OverflowPolicy.Reject, messages: long.MaxValue / 2, bytes: long.MaxValue / 2);

        Assert.That(gate.Judge(1_000_000, 1L << 40, true, 0, 0), Is.EqualTo(GateVerdict.Admit));
    }

    [TestCase(3, 0, GateVerdict.Drop, TestName = "DropOldestDropsTheNewcomerWhereNothingIsReady")]
    [TestCase(3, 1, GateVerdict.Evict, TestName = "DropOldestEvictsWhereOneReadyMessageIsEnough")]
    public void DropOldest(int messages, int ready, object verdict) =>
        Assert.That(Gate(OverflowPolicy.DropOldest, maxMessages: 3, messages: messages).Judge(1, 1, true, ready, ready), Is.EqualTo(verdict));

    [Test]
    public void DropOldestDropsABatchForWhichTooLittleIsReady()
    {
        OverflowGate gate = Gate(OverflowPolicy.DropOldest, maxMessages: 4, messages: 4);

        Assert.That(gate.Judge(3, 3, true, readyMessages: 2, readyBytes: 2), Is.EqualTo(GateVerdict.Drop));
        Assert.That(gate.Judge(3, 3, true, readyMessages: 3, readyBytes: 3), Is.EqualTo(GateVerdict.Evict));
    }

    [Test]
    public void DropOldestLooksAtTheBytesThatAreReadyToo()
    {
        OverflowGate gate = Gate(OverflowPolicy.DropOldest, maxMessages: 100, maxBytes: 10, messages: 2, bytes: 10);

        Assert.That(gate.Judge(1, 5, true, readyMessages: 1, readyBytes: 4), Is.EqualTo(GateVerdict.Drop));
        Assert.That(gate.Judge(1, 5, true, readyMessages: 1, readyBytes: 5), Is.EqualTo(GateVerdict.Evict));
    }

    [Test]
    public void WhilePausedEverySendWaitsOrIsRefusedAndNothingIsDropped([ValueSource(nameof(s_policies))] OverflowPolicy policy, [Values] bool full)
    {
        OverflowGate gate = Gate(policy, maxMessages: 3, messages: full ? 3 : 0);
        gate.IsPaused = true;

        Assert.That(gate.Judge(1, 1, mayWait: true, 3, 3), Is.EqualTo(GateVerdict.Wait));
        Assert.That(gate.Judge(1, 1, mayWait: false, 3, 3), Is.EqualTo(GateVerdict.Refuse));
    }

    [TestCase(OverflowPolicy.Backpressure, true, GateVerdict.Wait)]
    [TestCase(OverflowPolicy.Backpressure, false, GateVerdict.Refuse)]
    [TestCase(OverflowPolicy.Reject, true, GateVerdict.Refuse)]
    [TestCase(OverflowPolicy.DropNewest, true, GateVerdict.Drop)]
    [TestCase(OverflowPolicy.DropOldest, true, GateVerdict.Drop)]
    public void NobodyOvertakesTheLineEvenWhereThereIsRoom(object policy, bool mayWait, object verdict)
    {
        OverflowGate gate = Gate((OverflowPolicy)policy, maxMessages: 3, messages: 2);
        gate.Join(Some.Sender(messages: 2));

        Assert.That(gate.Judge(1, 1, mayWait, readyMessages: 2, readyBytes: 2), Is.EqualTo(verdict));
    }

    [Test]
    public void JudgingChangesNothing()
    {
        OverflowGate gate = Gate(OverflowPolicy.DropOldest, maxMessages: 3, messages: 2);

        gate.Judge(1, 1, true, 0, 0);
        gate.Judge(2, 2, true, 2, 2);

        Assert.That((gate.Messages, gate.Bytes, gate.WaitingCount), Is.EqualTo((2L, 2L, 0)));
    }

    // Places

    [Test]
    public void PlacesThatAreGivenBackCanBeTakenAgain()
    {
        OverflowGate gate = Gate(OverflowPolicy.Reject, maxMessages: 2, messages: 2);

        gate.GiveBack(1, 1);

        Assert.That(gate.Judge(1, 1, true, 0, 0), Is.EqualTo(GateVerdict.Admit));
    }

    [Test]
    public void AStepWithALeaseMayOvershootAndThatIsShown()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3, messages: 3);

        gate.Take(2, 2);

        Assert.That(gate.Overshoot, Is.EqualTo(2));
        Assert.That(gate.Judge(1, 1, true, 0, 0), Is.EqualTo(GateVerdict.Wait));
    }

    [Test]
    public void AfterAnOvershootNobodyIsAdmittedUntilItIsGone()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3, messages: 5);
        gate.Join(Some.Sender());

        gate.GiveBack(2, 2);
        Assert.That((gate.Overshoot, gate.NextAdmissible()), Is.EqualTo((0L, (PendingSend?)null)));

        gate.GiveBack(1, 1);
        Assert.That(gate.NextAdmissible(), Is.Not.Null);
    }

    [Test]
    public void ThePeakIsTheMostThatWasEverInside()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 10, messages: 4);

        gate.GiveBack(3, 3);
        gate.Take(2, 2);

        Assert.That(gate.PeakMessages, Is.EqualTo(4));
    }

    // The line

    [Test]
    public void TheLineIsFirstComeFirstServed()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3, messages: 3);
        PendingSend[] senders = [Some.Sender(), Some.Sender(), Some.Sender()];
        Array.ForEach(senders, gate.Join);

        gate.GiveBack(3, 3);

        Assert.That(AdmitAll(gate), Is.EqualTo(senders));
        Assert.That((gate.WaitingCount, gate.WaitsForRoomOf(3)), Is.EqualTo((0, false)));
    }

    [Test]
    public void ALargeSenderIsLookedAtWhenEnoughHasBeenAcked()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 10, messages: 9);
        gate.Join(Some.Sender(messages: 5));
        gate.BeginBooking();
        Assert.That(gate.NoteMissing(), Is.True);

        Assert.That(new[] { 1, 2, 1, 1 }.Select(gate.WaitsForRoomOf), Is.EqualTo(new[] { false, false, true, true }));
        Assert.That(gate.NoteMissing(), Is.False, "Five have been acked, four were missing.");
    }

    [Test]
    public void ASenderThatLacksBytesIsLookedAtWithEachAck()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 10, messages: 0);
        gate.MaxBytes = 100;
        gate.Take(1, 99);
        gate.Join(Some.Sender(messages: 5));
        gate.BeginBooking();
        gate.NoteMissing();

        Assert.That(gate.WaitsForRoomOf(1), Is.True);
    }

    [Test]
    public void ASmallSenderDoesNotOvertakeALargeOneInLine()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3, messages: 3);
        PendingSend large = Some.Sender(messages: 3), small = Some.Sender();
        gate.Join(large);
        gate.Join(small);

        gate.GiveBack(2, 2);
        Assert.That(gate.NextAdmissible(), Is.Null);

        gate.Leave(large);
        Assert.That(gate.NextAdmissible(), Is.SameAs(small));
    }

    [Test]
    public void WhilePausedNobodyInLineIsAdmitted()
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3);
        gate.IsPaused = true;
        PendingSend sender = Some.Sender();
        gate.Join(sender);

        Assert.That(gate.NextAdmissible(), Is.Null);
        gate.IsPaused = false;
        Assert.That(gate.NextAdmissible(), Is.SameAs(sender));
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void ASenderLeavesTheLineFromAnyPlace(int place)
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 3);
        List<PendingSend> senders = [Some.Sender(), Some.Sender(), Some.Sender()];
        senders.ForEach(gate.Join);

        PendingSend gone = senders[place];
        gate.Leave(gone);
        senders.RemoveAt(place);

        Assert.That((gone.PreviousWaiting, gone.NextWaiting), Is.EqualTo(((PendingSend?)null, (PendingSend?)null)));
        Assert.That(gate.WaitingCount, Is.EqualTo(2));
        Assert.That(AdmitAll(gate), Is.EqualTo(senders));
    }

    [Test]
    public void TheWholeLineIsTakenOutInItsOrder()
    {
        OverflowGate gate = Gate(OverflowPolicy.Reject, maxMessages: 3);
        List<PendingSend> senders = [Some.Sender(), Some.Sender(), Some.Sender()];
        senders.ForEach(gate.Join);

        var taken = new List<PendingSend>();
        for (PendingSend? sender = gate.TakeLine(); sender is not null; sender = sender.NextWaiting)
            taken.Add(sender);

        Assert.That(taken, Is.EqualTo(senders));
        Assert.That((gate.WaitingCount, gate.FirstWaiting, gate.TakeLine()), Is.EqualTo((0, (PendingSend?)null, (PendingSend?)null)));
    }

    [Test]
    public void TheLineIsTheSameAsAList() => Gen.Select(Gen.Int[0, 3], Gen.Int[0, 7]).Array[0, 60].Sample(steps =>
    {
        OverflowGate gate = Gate(OverflowPolicy.Backpressure, maxMessages: 8, maxBytes: 20);
        var line = new List<PendingSend>();
        foreach ((int what, int number) in steps)
        {
            switch (what)
            {
                case 0:
                    PendingSend sender = Some.Sender(messages: 1 + number % 3, bytes: number);
                    gate.Join(sender);
                    line.Add(sender);
                    break;
                case 1 when line.Count > 0:
                    gate.Leave(line[number % line.Count]);
                    line.RemoveAt(number % line.Count);
                    break;
                case 2:
                    gate.GiveBack(gate.Messages, gate.Bytes);
                    break;
                case 3:
                    gate.Take(number, 2 * number);
                    break;
            }
            PendingSend? first = line.Count == 0 ? null : line[0];
            Assert.That(gate.FirstWaiting, Is.SameAs(first));
            Assert.That(gate.WaitingCount, Is.EqualTo(line.Count));
            bool hasRoom = first is not null && gate.Messages + first.MessageCount <= 8 && gate.Bytes + first.Bytes <= 20;
            Assert.That(gate.NextAdmissible(), Is.SameAs(hasRoom ? first : null));
        }
    }, iter: 1000);

    private static List<PendingSend> AdmitAll(OverflowGate gate)
    {
        var admitted = new List<PendingSend>();
        while (gate.NextAdmissible() is { } next)
        {
            gate.Leave(next);
            admitted.Add(next);
        }
        return admitted;
    }

    private static OverflowGate Gate(OverflowPolicy policy, long maxMessages = long.MaxValue, long maxBytes = long.MaxValue, long messages = 0, long? bytes = null)
    {
        var gate = new OverflowGate { Policy = policy, MaxMessages = maxMessages, MaxBytes = maxBytes };
        gate.Take(messages, bytes ?? messages);
        return gate;
    }
}
