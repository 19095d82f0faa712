using QueueKit.Stores;
using QueueKit.Tests.Diagnostics;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public sealed class Measuring(Durability durability) : Journey(durability), IDisposable
{
    private readonly MeterRecorder _meters = new();

    [SetUp]
    public Task OpenWithAMeter() => OpenAnew(options => options.MeterFactory = _meters);

    public void Dispose() => _meters.Dispose();

    [Test]
    public async Task EveryMessageIsCountedWithWhatBecameOfIt()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 2 });
        await Send(queue, "acked", "rejected", "exhausted", "left");
        await Soon((await Receive(queue)).AckAsync());
        (await Receive(queue)).Reject("unreadable");
        Delivery failing = await Receive(queue);
        Assert.That(Text(failing), Is.EqualTo("exhausted"));
        failing.Nack();
        failing = await Receive(queue);
        Assert.That(Text(failing), Is.EqualTo("exhausted"));
        failing.Nack();
        Delivery left = await Receive(queue);
        Advance(Second);
        await Idle(queue);

        ILookup<string, (double, string)> measured = _meters.Take();

        Assert.Multiple(() =>
        {
            Assert.That(measured["messaging.client.sent.messages"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (4, "messaging.destination.name=orders messaging.operation.name=send"),
                (0, "messaging.destination.name=orders.dead messaging.operation.name=send")]), "a dead letter is not sent");
            Assert.That(measured["messaging.client.consumed.messages"], Does.Contain((5.0, "messaging.destination.name=orders messaging.operation.name=receive")));
            Assert.That(measured["queuekit.messages.redelivered"], Does.Contain((1.0, "messaging.destination.name=orders")));
            Assert.That(measured["queuekit.messages.dead_lettered"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (1, "messaging.destination.name=orders queuekit.dead_letter.reason=rejected"),
                (1, "messaging.destination.name=orders queuekit.dead_letter.reason=attempts_exhausted")]));
            Assert.That(measured["queuekit.messages.dropped"], Is.Empty);
            Assert.That(measured["queuekit.queue.depth"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (1, "messaging.destination.name=orders"), (2, "messaging.destination.name=orders.dead")]));
            Assert.That(measured["queuekit.queue.inflight"], Does.Contain((1.0, "messaging.destination.name=orders")).And.Contain((0.0, "messaging.destination.name=orders.dead")));
            Assert.That(measured["queuekit.queue.oldest_message.age"], Does.Contain((0.0, "messaging.destination.name=orders")).And.Contain((1.0, "messaging.destination.name=orders.dead")));
        });
        left.Release();
    }

    [Test]
    public async Task WhatHandlersGetIsProcessedAndNotReceived()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        await Send(queue, "1", "2");
        await Soon((await Receive(queue)).AckAsync());
        await using (queue.Consume((delivery, _) => delivery.Attempt == 1 ? throw new FormatException() : default))
        {
            await Until(() => queue.GetSnapshot().Counts.Acked == 2);
            await Idle(queue);
        }

        Assert.That(_meters.Take()["messaging.client.consumed.messages"], Is.EquivalentTo((IEnumerable<(double, string)>)[
            (1, "messaging.destination.name=orders messaging.operation.name=receive"), (2, "messaging.destination.name=orders messaging.operation.name=process")]));
    }

    [Test]
    public async Task WhoeverRunsHandlersOverAReceiverSaysWhenTheyWork()
    {
        MessageQueue queue = await Declare();
        for (int i = 0; i < 16; i++)
            await Send(queue, $"{i}");
        await using MessageReceiver receiver = queue.OpenReceiver(new ReceiveOptions { ForHandlers = true });
        Assert.That(queue.HasProcessListeners, Is.True);
        Assert.That(receiver.TryReceive(out Delivery? one) & receiver.TryReceive(out Delivery? other));
        using (ProcessScope process = queue.BeginProcess([one!, other!]))
        {
            Advance(Second);
            process.Fail(new FormatException());
        }
        one!.Ack();
        await Idle(queue);

        ILookup<string, (double, string)> measured = _meters.Take();
        Assert.Multiple(() =>
        {
            Assert.That(measured["messaging.client.consumed.messages"], Is.EqualTo((IEnumerable<(double, string)>)[(2, "messaging.destination.name=orders messaging.operation.name=process")]), "what is set aside is not counted");
            Assert.That(measured["messaging.process.duration"], Is.EqualTo((IEnumerable<(double, string)>)[(1, "messaging.operation.name=process messaging.destination.name=orders error.type=System.FormatException")]));
            Assert.That(measured["messaging.client.operation.duration"].Select(point => point.Item2).Where(tags => tags.Contains("receive", StringComparison.Ordinal)), Is.Empty);
            Assert.That(measured["messaging.client.operation.duration"].Select(point => point.Item2), Has.Some.Contains("messaging.operation.name=ack"), "its settle is told");
        });
    }

    [Test]
    public async Task WhatAFullQueueDropsAndRefusesIsCountedByItsWay()
    {
        MessageQueue oldest = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest }, "oldest");
        MessageQueue newest = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropNewest }, "newest");
        MessageQueue kept = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.DropOldest, DeadLetterOn = DeadLetterReasons.Overflow }, "kept");
        MessageQueue refusing = await DeclareFull(2, new QueueOptions { Overflow = OverflowPolicy.Reject }, "refusing");
        await Send(oldest, "3");
        await Soon(newest.SendAsync(Text("3")));
        await Send(kept, "3");
        await Soon(refusing.TrySendAsync(Text("3")));
        await Idle(kept);

        ILookup<string, (double, string)> measured = _meters.Take();

        Assert.Multiple(() =>
        {
            Assert.That(measured["queuekit.messages.dropped"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (1, "messaging.destination.name=oldest queuekit.overflow.mode=drop_oldest"),
                (1, "messaging.destination.name=newest queuekit.overflow.mode=drop_newest")]));
            Assert.That(measured["queuekit.messages.dead_lettered"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (1, "messaging.destination.name=kept queuekit.dead_letter.reason=overflow")]));
            Assert.That(measured["messaging.client.sent.messages"], Is.SupersetOf((IEnumerable<(double, string)>)[
                (3, "messaging.destination.name=oldest messaging.operation.name=send"),
                (2, "messaging.destination.name=newest messaging.operation.name=send"),
                (1, "messaging.destination.name=newest messaging.operation.name=send error.type=dropped"),
                (1, "messaging.destination.name=refusing messaging.operation.name=send error.type=refused")]));
            Assert.That(measured["messaging.client.operation.duration"], Does.Contain((0.0, "messaging.operation.name=send messaging.destination.name=newest messaging.operation.type=send error.type=dropped"))
                .And.Contain((0.0, "messaging.operation.name=send messaging.destination.name=refusing messaging.operation.type=send error.type=refused")));
        });
    }

    [Test]
    public async Task OperationsTakeTheTimeOfTheBrokersClock()
    {
        MessageQueue queue = await DeclareFull(1);
        Task<SendReceipt> waiting = queue.SendAsync(Text("2")).AsTask();
        await Advance(queue, Second);
        Delivery first = await Receive(queue);
        await Soon(first.AckAsync());
        await Soon(waiting);
        await using (MessageConsumer consumer = queue.Consume((_, _) =>
        {
            Advance(Minute / 2);
            throw new FormatException();
        }))
        {
            await Until(() => queue.GetSnapshot().Counts.Nacked == 1);
            await Idle(queue);
        }

        ILookup<string, (double, string)> measured = _meters.Take();

        Assert.Multiple(() =>
        {
            Assert.That(measured["messaging.client.operation.duration"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (0, "messaging.operation.name=send messaging.destination.name=orders messaging.operation.type=send"),
                (1, "messaging.operation.name=send messaging.destination.name=orders messaging.operation.type=send"),
                (0, "messaging.operation.name=receive messaging.destination.name=orders messaging.operation.type=receive"),
                (0, "messaging.operation.name=ack messaging.destination.name=orders messaging.operation.type=settle"),
                (0, "messaging.operation.name=nack messaging.destination.name=orders messaging.operation.type=settle")]));
            Assert.That(measured["messaging.process.duration"], Is.EqualTo((IEnumerable<(double, string)>)[
                (30, "messaging.operation.name=process messaging.destination.name=orders error.type=System.FormatException")]));
        });
    }

    [Test]
    public async Task AQueueThatIsDeletedAndABrokerThatIsClosedAreForgotten()
    {
        MessageQueue queue = await Declare();
        await Declare("other");
        await Send(queue, "1");
        Assert.That(_meters.Take()["queuekit.queue.depth"].Count(), Is.EqualTo(2));

        await Soon(Broker.DeleteQueueAsync("orders"));
        Assert.That(_meters.Take()["queuekit.queue.depth"], Is.EqualTo((IEnumerable<(double, string)>)[(0, "messaging.destination.name=other")]));

        await Soon(Broker.DisposeAsync());
        Assert.That(_meters.Take(), Is.Empty);
    }

    [Test]
    public async Task ACommitIsMeasured()
    {
        Assume.That(IsDurable);
        MessageQueue queue = await Declare();
        _meters.Take();
        await Soon(queue.SendAsync(Text("1")));
        Store.RefuseCommits();

        await Assert.ThrowsAsync<StoreException>(() => Soon(queue.SendAsync(Text("2"))));
        await Idle(queue);

        ILookup<string, (double, string)> measured = _meters.Take();
        Assert.Multiple(() =>
        {
            Assert.That(measured["queuekit.store.commit.duration"], Is.EqualTo((IEnumerable<(double, string)>)[(0, ""), (0, "error.type=QueueKit.StoreException")]));
            Assert.That(measured["queuekit.store.commit.batch_size"], Is.EqualTo((IEnumerable<(double, string)>)[(1, ""), (1, "error.type=QueueKit.StoreException")]));
            Assert.That(measured["messaging.client.sent.messages"], Is.EquivalentTo((IEnumerable<(double, string)>)[
                (1, "messaging.destination.name=orders messaging.operation.name=send"),
                (1, "messaging.destination.name=orders messaging.operation.name=send error.type=QueueKit.StoreException")]));
        });
    }
}
