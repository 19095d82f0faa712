using System.Collections.Concurrent;
using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>Real threads and the system's clock, for a number of messages and not for a time; in Debug every lock hold checks the invariants.</summary>
[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Stress(Durability durability) : Journey(durability)
{
    private const int Producers = 4;
    private const int Each = 1_500;

    [SetUp]
    public Task TakeTheSystemsClock() => OpenAnew(options => options.TimeProvider = TimeProvider.System);

    [TestCase(OverflowPolicy.Backpressure, 16)]
    [TestCase(OverflowPolicy.Backpressure, 4_000)]
    [TestCase(OverflowPolicy.DropOldest, 64)]
    [TestCase(OverflowPolicy.DropNewest, 64)]
    [TestCase(OverflowPolicy.Reject, 64)]
    public async Task EverythingAcceptedIsAckedOnceOrCountedElsewhere(OverflowPolicy policy, int capacity)
    {
        MessageQueue queue = await Declare(new QueueOptions { Overflow = policy, MaxMessages = capacity, RetryDelay = RetryDelay.None, MaxAttempts = null });
        var acked = new ConcurrentDictionary<string, int>();
        using var stop = new CancellationTokenSource();
        await using MessageConsumer consumer = queue.Consume(async (delivery, _) =>
        {
            long dice = Dice(delivery, 1);
            if (dice == 0)
                throw new InvalidOperationException("now and then");
            if (dice == 1)
                await Task.Yield();
            if (dice == 2)
                delivery.Release();
            else if (delivery.Ack() == SettleResult.Settled)
                Count(acked, delivery);
        }, new ConsumeOptions { Concurrency = 3 });
        Task[] pullers = [Receivers(queue, acked, stop.Token), Singles(queue, acked, stop.Token), Batches(queue, acked, stop.Token), Look(queue, stop.Token)];

        long accepted = 0, refused = 0;
        await Soon(Task.WhenAll(Enumerable.Range(0, Producers).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
            {
                try
                {
                    bool batch = i % 50 == 0;
                    SendReceipt receipt = batch
                        ? await queue.SendBatchAsync(new[] { Text($"{producer}:{i}a"), Text($"{producer}:{i}b"), Text($"{producer}:{i}c") })
                        : i % 7 == 0 ? await queue.TrySendAsync(Text($"{producer}:{i}")) : await queue.SendAsync(Text($"{producer}:{i}"));
                    Interlocked.Add(ref receipt.Outcome == SendOutcome.Accepted ? ref accepted : ref refused, batch ? 3 : 1);
                }
                catch (QueueFullException)
                {
                    Interlocked.Add(ref refused, i % 50 == 0 ? 3 : 1);
                }
            }
        }))));
        await Until(() => queue.GetSnapshot().Messages == 0);
        await stop.CancelAsync();
        Assert.That(async () => await Soon(Task.WhenAll(pullers)), Throws.InstanceOf<OperationCanceledException>());

        QueueCounts counts = queue.GetSnapshot().Counts;
        Assert.Multiple(() =>
        {
            Assert.That(accepted + refused, Is.EqualTo(Producers * (Each + 2 * Each / 50)));
            Assert.That(counts.Accepted, Is.EqualTo(accepted));
            Assert.That(counts.Refused + counts.DroppedNewest, Is.EqualTo(refused));
            Assert.That(counts.Acked + counts.Dropped, Is.EqualTo(accepted));
            Assert.That(acked.Values, Is.All.EqualTo(1));
            Assert.That(acked, Has.Count.EqualTo((int)counts.Acked));
            Assert.That(queue.GetSnapshot().PeakMessages, Is.LessThanOrEqualTo(capacity));
            if (policy == OverflowPolicy.Backpressure)
                Assert.That(counts.Dropped + counts.DroppedNewest, Is.Zero);
        });
    }

    [Test]
    public async Task TransactionsMoveEveryMessageDownTheLineExactlyOnce()
    {
        MessageQueue[] line = [await Declare("first", Small()), await Declare("second", Small()), await Declare("third", Small())];
        var arrived = new ConcurrentDictionary<string, int>();
        static QueueOptions Small() => new() { MaxMessages = 8, RetryDelay = RetryDelay.None, MaxAttempts = null };
        MessageConsumer[] movers = [.. Enumerable.Range(0, 3).Select(stage => line[stage].Consume(async (delivery, ct) =>
        {
            if (Dice(delivery, stage) == 0)
                throw new InvalidOperationException("now and then");
            await using BrokerTransaction transaction = Broker.BeginTransaction();
            transaction.Settle(delivery, Settlement.Ack);
            if (stage < 2)
                transaction.Send(line[stage + 1], delivery.Message);
            if (Dice(delivery, stage) == 1)
                throw new InvalidOperationException("now and then, with the transaction half done");
            await transaction.CommitAsync(ct);
            if (stage == 2)
                Count(arrived, delivery);
        }, new ConsumeOptions { Concurrency = 3 }))];

        await Soon(Task.WhenAll(Enumerable.Range(0, 2).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; i < 500; i++)
                await line[0].SendAsync(Text($"{producer}:{i}"));
        }))));
        await Until(() => line.All(queue => queue.GetSnapshot().Messages == 0));
        foreach (MessageConsumer mover in movers)
            await Soon(mover.StopAsync());

        Assert.That(arrived.Values, Is.All.EqualTo(1));
        Assert.That(line[0].GetSnapshot().Counts.Accepted, Is.EqualTo(1_000));
    }

    [Test]
    public async Task RejectedAndExhaustedMessagesAllArriveAmongTheDeadLetters()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 2, MaxMessages = 100 });
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            int number = int.Parse(Text(delivery), System.Globalization.CultureInfo.InvariantCulture);
            if (number % 3 == 0)
                throw new InvalidOperationException("always");
            if (number % 3 == 1)
                delivery.Reject("bad");
            return default;
        }, new ConsumeOptions { Concurrency = 4 });

        for (int i = 0; i < 900; i++)
            await Soon(queue.SendAsync(Text($"{i}")));
        await Until(() => queue.GetSnapshot().Messages == 0);
        await Idle(queue);

        QueueCounts counts = queue.GetSnapshot().Counts;
        Assert.That((counts.Acked, counts.DeadLettered), Is.EqualTo((300L, 600L)));
        Assert.That(Broker.GetQueue("orders.dead").GetSnapshot().Ready.Messages, Is.EqualTo(600));
    }

    [Test]
    public async Task LeasesThatTimeOutAllTheTimeLoseNothing()
    {
        MessageQueue queue = await Declare(new QueueOptions { LeaseDuration = TimeSpan.FromMilliseconds(1), RetryDelay = RetryDelay.None, MaxAttempts = null, MaxMessages = 50 });
        var acked = new ConcurrentDictionary<string, int>();
        using var stop = new CancellationTokenSource();
        Task[] pullers = [Singles(queue, acked, stop.Token), Receivers(queue, acked, stop.Token), Batches(queue, acked, stop.Token)];

        for (int i = 0; i < 1_000; i++)
            await Soon(queue.SendAsync(Text($"{i}")));
        await Until(() => queue.GetSnapshot().Messages == 0);
        await stop.CancelAsync();
        Assert.That(async () => await Soon(Task.WhenAll(pullers)), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(acked.Values, Is.All.EqualTo(1));
        Assert.That(acked, Has.Count.EqualTo(1_000));
    }

    [Test]
    public async Task RefusalsOfTheStoreInBetweenLoseNothing()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 32, RetryDelay = RetryDelay.None, MaxAttempts = null });
        int commits = 0;
        Store.RefuseCommits(int.MaxValue, _ => Interlocked.Increment(ref commits) % 11 == 0);
        var handled = new ConcurrentDictionary<string, int>();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            handled.TryAdd(Text(delivery), 1);
            return default;
        }, new ConsumeOptions { Concurrency = 3 });

        int accepted = 0;
        await Soon(Task.WhenAll(Enumerable.Range(0, 4).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; i < 400; i++)
            {
                try
                {
                    await queue.SendAsync(Text($"{producer}:{i}"));
                    Interlocked.Increment(ref accepted);
                }
                catch (StoreException error) when (error.Fault == StoreFault.Refused)
                {
                }
            }
        }))));
        await Until(() => queue.GetSnapshot().Messages == 0);
        Store.RefuseCommits(0);

        Assert.That(handled, Has.Count.EqualTo(accepted));
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(accepted));
        queue = await Reopen();
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    private static Task Singles(MessageQueue queue, ConcurrentDictionary<string, int> acked, CancellationToken ct) => Task.Run(async () =>
    {
        while (true)
            Settle(await queue.ReceiveAsync(ct), acked);
    }, CancellationToken.None);

    private static Task Receivers(MessageQueue queue, ConcurrentDictionary<string, int> acked, CancellationToken ct) => Task.Run(async () =>
    {
        // A new one now and then: what is set aside for the old one has to go back.
        while (true)
        {
            await using MessageReceiver receiver = queue.OpenReceiver();
            for (int i = 0; i < 100; i++)
            {
                await receiver.WaitToReceiveAsync(ct);
                for (int taken = 0; taken < 20 && receiver.TryReceive(out Delivery? delivery); taken++)
                    Settle(delivery, acked);
            }
        }
    }, CancellationToken.None);

    private static Task Batches(MessageQueue queue, ConcurrentDictionary<string, int> acked, CancellationToken ct) => Task.Run(async () =>
    {
        while (true)
        {
            foreach (Delivery delivery in await queue.ReceiveBatchAsync(9, Second, ct))
                Settle(delivery, acked);
        }
    }, CancellationToken.None);

    private static Task Look(MessageQueue queue, CancellationToken ct) => Task.Run(async () =>
    {
        while (true)
        {
            ct.ThrowIfCancellationRequested();
            Audit(queue);
            await Task.Yield();
        }
    }, CancellationToken.None);

    private static void Settle(Delivery delivery, ConcurrentDictionary<string, int> acked)
    {
        switch (Dice(delivery, 2))
        {
            case 0:
                delivery.Nack();
                break;
            case 1 when !delivery.IsRedelivered:
                delivery.Release();
                break;
            default:
                if (delivery.Ack() == SettleResult.Settled)
                    Count(acked, delivery);
                break;
        }
    }

    private static void Count(ConcurrentDictionary<string, int> counts, Delivery delivery) => counts.AddOrUpdate(Text(delivery), 1, static (_, count) => count + 1);

    // Seeded by the message, and kind to it in the end: what has failed a few times passes.
    private static long Dice(Delivery delivery, int salt) => delivery.Attempt > 3 || delivery.IsRedelivered && delivery.Sequence % 2 == 0 ? 9 : (delivery.Sequence * 2654435761L + salt * 40503) % 10;
}
