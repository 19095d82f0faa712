using System.Collections.Concurrent;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class ArrivalRingTests
{
    private readonly Message _message = new(new byte[10]);

    [Test]
    public void WithoutATicketNothingIsTaken()
    {
        var ring = new ArrivalRing();

        Assert.That((ring.TryAdd(_message, 0), ring.HasArrivals, ring.IsOpen), Is.EqualTo((0L, false, false)));
    }

    [Test]
    public void NumbersGoOnWhereTheLockStopped()
    {
        (ArrivalRing ring, OverflowGate gate) = Ring();
        ring.GiveOut(gate, lastNumber: 41);

        Assert.That(new[] { ring.TryAdd(_message, 7), ring.TryAdd(_message, 8) }, Is.EqualTo(new[] { 42L, 43L }));
        Assert.That(ring.Count, Is.EqualTo(2));
        QueuedMessage first = ring.Take(), second = ring.Take();
        Assert.That((first.Sequence, first.EnqueuedAt, second.Sequence), Is.EqualTo((42, 7, 43)));
        Assert.That(first.Message, Is.SameAs(_message));
        Assert.That(ring.HasArrivals, Is.False);
    }

    [Test]
    public void TicketsAreAtMostHalfOfTheRoomAndPaidInFull([Values(100, 64, 31)] int room)
    {
        (ArrivalRing ring, OverflowGate gate) = Ring(room);
        ring.GiveOut(gate, 0);

        int given = room / 2 < 16 ? 0 : room / 2;
        Assert.That((gate.Messages, gate.Bytes), Is.EqualTo(((long)given, (long)given * ArrivalRing.BytesPerTicket)));
        Assert.That(Enumerable.Range(0, room).Count(_ => ring.TryAdd(_message, 0) != 0), Is.EqualTo(given));
    }

    [Test]
    public void WhatWasNotTakenIsCalledBack()
    {
        (ArrivalRing ring, OverflowGate gate) = Ring();
        ring.GiveOut(gate, 0);
        ring.TryAdd(_message, 0);

        ring.CallBack(gate);

        Assert.That(ring.TryAdd(_message, 0), Is.Zero);
        Assert.That((gate.Messages, ring.Out, ring.IsOpen), Is.EqualTo((1L, new Tally { Messages = 1, Bytes = ArrivalRing.BytesPerTicket }, true)));
        ring.Take();
        ring.Taken(1);
        Assert.That((ring.Out, ring.IsOpen), Is.EqualTo((default(Tally), false)));
    }

    [Test]
    public void ABatchGetsNumbersInARowOrNone()
    {
        (ArrivalRing ring, OverflowGate gate) = Ring(40);
        ring.GiveOut(gate, 0);
        Message[] batch = [.. Enumerable.Range(0, 12).Select(_ => new Message(new byte[1]))];

        Assert.That((ring.TryAddAll(batch, 0), ring.TryAddAll(batch, 0), ring.TryAdd(_message, 0)), Is.EqualTo((1L, 0L, 13L)));
        Assert.That(Enumerable.Range(0, 12).Select(_ => ring.Take().Message), Is.EqualTo(batch));
    }

    [Test]
    public void NoMoreTicketsAreOutThanTheRingHasPlaces()
    {
        (ArrivalRing ring, OverflowGate gate) = Ring(1_000_000);
        ring.GiveOut(gate, 0);
        int added = Enumerable.Range(0, 300).Count(_ => ring.TryAdd(_message, 0) != 0);
        Assert.That(added, Is.EqualTo(256));

        for (int i = 0; i < 100; i++)
            ring.Take();
        ring.Taken(100);
        ring.GiveOut(gate, 0);

        Assert.That(Enumerable.Range(0, 300).Count(_ => ring.TryAdd(_message, 0) != 0), Is.EqualTo(100));
        Assert.That((ring.Count, gate.Messages), Is.EqualTo((256, 356L)));
    }

    [Test]
    public void ManySendersAndOneWhoTakesLoseNothingAndKeepTheOrderOfEach([Values(1, 2, 4)] int senders)
    {
        const int perSender = 100_000;
        (ArrivalRing ring, OverflowGate gate) = Ring(10_000_000);
        object queueLock = new();
        var taken = new List<QueuedMessage>();
        long lastNumber = 0;
        var numbers = new ConcurrentBag<long>();
        Thread[] threads = [.. Enumerable.Range(0, senders).Select(sender => new Thread(() =>
        {
            for (int i = 0; i < perSender; i++)
            {
                var message = new Message(BitConverter.GetBytes(sender * perSender + i));
                long number = ring.TryAdd(message, i);
                if (number == 0)
                {
                    lock (queueLock)
                    {
                        // Every so often the tickets are called back, and the lock gives out a number itself.
                        if (i % 7 == 0)
                            ring.CallBack(gate);
                        Collect();
                        if (!ring.IsOpen)
                            taken.Add(new QueuedMessage(message, number = ++lastNumber, i));
                        ring.GiveOut(gate, lastNumber);
                    }
                    if (number == 0)
                    {
                        i--;
                        continue;
                    }
                }
                numbers.Add(number);
            }
        }))];

        Array.ForEach(threads, thread => thread.Start());
        Array.ForEach(threads, thread => thread.Join());
        ring.CallBack(gate);
        Collect();

        Assert.That(taken.Select(message => message.Sequence), Is.EqualTo(Enumerable.Range(1, senders * perSender).Select(i => (long)i)));
        Assert.That(numbers.Distinct().Count(), Is.EqualTo(senders * perSender));
        var bodies = taken.Select(message => BitConverter.ToInt32(message.Message.Body.Span)).ToLookup(body => body / perSender);
        Assert.That(bodies.All(ofSender => ofSender.SequenceEqual(Enumerable.Range(ofSender.Key * perSender, perSender))), Is.True);
        Assert.That((ring.Out, ring.IsOpen), Is.EqualTo((default(Tally), false)));

        void Collect()
        {
            int count = ring.Count;
            for (int i = 0; i < count; i++)
            {
                taken.Add(ring.Take());
                lastNumber = taken[^1].Sequence;
            }
            ring.Taken(count);
        }
    }

    private static (ArrivalRing Ring, OverflowGate Gate) Ring(long room = 1000)
    {
        var ring = new ArrivalRing();
        return (ring, new OverflowGate { MaxMessages = room, MaxBytes = long.MaxValue, Arrivals = ring });
    }
}
