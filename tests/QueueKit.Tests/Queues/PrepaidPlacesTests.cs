using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class PrepaidPlacesTests
{
    [Test]
    public void WithoutARefillNothingIsTaken()
    {
        OverflowGate gate = Gate(maxMessages: null);

        Assert.That(gate.Prepaid.TryTake(1, 10), Is.False);
        Assert.That(gate.Messages, Is.Zero);
    }

    [Test]
    public void WhatIsTakenIsOutUntilItIsSettledAndTheRestIsCalledBack()
    {
        OverflowGate gate = Gate(maxMessages: null);
        gate.Prepaid.Refill(gate);

        Assert.That(gate.Prepaid.TryTake(3, 30), Is.True);
        gate.Prepaid.CallBack(gate);

        Assert.That(gate.Prepaid.Out, Is.EqualTo(new Tally { Messages = 3, Bytes = 30 }));
        Assert.That((gate.Messages, gate.Bytes), Is.EqualTo((3, 30)));
        Assert.That(gate.Prepaid.TryTake(1, 1), Is.False, "What was called back is gone.");

        gate.Prepaid.Settle(3, 30);
        Assert.That(gate.Prepaid.Out, Is.EqualTo(default(Tally)));
    }

    [Test]
    public void AShareIsASmallPartOfTheRoomThatIsLeft()
    {
        OverflowGate gate = Gate(maxMessages: 1_600);

        gate.Prepaid.Refill(gate);

        Assert.That(gate.Messages, Is.EqualTo(100));
        Assert.That(Enumerable.Range(0, 101).Count(_ => gate.Prepaid.TryTake(1, 0)), Is.EqualTo(100));
    }

    [Test]
    public void WithLittleRoomNothingIsGivenOut()
    {
        OverflowGate gate = Gate(maxMessages: 200);

        gate.Prepaid.Refill(gate);

        Assert.That(gate.Messages, Is.Zero);
    }

    [Test]
    public void WhileSendingIsPausedNothingIsGivenOut()
    {
        OverflowGate gate = Gate(maxMessages: null);
        gate.IsPaused = true;

        gate.Prepaid.Refill(gate);

        Assert.That(gate.Messages, Is.Zero);
    }

    [Test]
    public void MoreBytesThanAShareHoldsAreNotTaken()
    {
        OverflowGate gate = Gate(maxMessages: null, maxBytes: 16_000);
        gate.Prepaid.Refill(gate);

        Assert.That(gate.Prepaid.TryTake(1, 1_001), Is.False);
        Assert.That(gate.Prepaid.TryTake(1, 1_000), Is.True);
        Assert.That(gate.Prepaid.TryTake(1, 1), Is.False, "The bytes are used up, though there are places.");
    }

    [Test]
    public void WhoeverFindsTheGateFullGetsThePlacesThatNobodyHasTaken()
    {
        OverflowGate gate = Gate(maxMessages: 1_600);
        gate.Prepaid.Refill(gate);
        gate.Prepaid.TryTake(10, 0);
        gate.Take(1_500, 0);

        Assert.That(gate.Judge(90, 0, mayWait: true, 0, 0), Is.EqualTo(GateVerdict.Admit));
        Assert.That(gate.Judge(91, 0, mayWait: true, 0, 0), Is.EqualTo(GateVerdict.Wait));
    }

    [Test]
    public void ThePeakCountsWhatIsTakenAndNotWhatIsGivenOut()
    {
        OverflowGate gate = Gate(maxMessages: null);
        gate.Prepaid.Refill(gate);
        gate.NotePeak();
        Assert.That(gate.PeakMessages, Is.Zero);

        gate.Prepaid.TryTake(7, 0);
        gate.NotePeak();
        Assert.That(gate.PeakMessages, Is.EqualTo(7));
    }

    [Test]
    public void ManyThreadsTakeWhatWasGivenOutAndNotOneMore()
    {
        OverflowGate gate = Gate(maxMessages: null);
        int taken = 0;

        Parallel.For(0, 8, _ =>
        {
            for (int i = 0; i < 2_000; i++)
            {
                // The queue's lock is what this one stands for.
                if (!gate.Prepaid.TryTake(1, 3))
                {
                    lock (gate)
                        gate.Prepaid.Refill(gate);
                }
                else
                {
                    Interlocked.Increment(ref taken);
                }
            }
        });
        gate.Prepaid.CallBack(gate);

        Assert.That(taken, Is.Positive);
        Assert.That(gate.Prepaid.Out, Is.EqualTo(new Tally { Messages = taken, Bytes = 3L * taken }));
        Assert.That((gate.Messages, gate.Bytes), Is.EqualTo(((long)taken, 3L * taken)));
    }

    private static OverflowGate Gate(long? maxMessages, long? maxBytes = null) =>
        new() { MaxMessages = maxMessages ?? long.MaxValue, MaxBytes = maxBytes ?? long.MaxValue };
}
