using System.Collections.Concurrent;
using QueueKit.Tests.Typed;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class TypedMessages(Durability durability) : Journey(durability)
{
    private static readonly Order s_latte = new("latte", 2);

    [Test]
    public async Task WhatOneHalfSendsTheOtherReceives()
    {
        MessageQueue queue = await Declare();
        IQueueSender<Order> sender = queue.AsSender(OrderJson.Default.Order);
        IQueueReceiver<Order> receiver = queue.AsReceiver(OrderJson.Default.Order);

        SendReceipt receipt = await Soon(sender.SendAsync(s_latte, new SendOptions { MessageId = "7" }));
        Delivery<Order> delivery = await Soon(receiver.ReceiveAsync());

        Assert.That((receipt.Outcome, delivery.Value, delivery.Untyped.Message.MessageId, delivery.Attempt, delivery.IsRedelivered),
            Is.EqualTo((SendOutcome.Accepted, s_latte, "7", 1, false)));
        Assert.That(await Soon(delivery.AckAsync()), Is.EqualTo(SettleResult.Settled));
        Assert.That((sender.Name, receiver.Name), Is.EqualTo(("orders", "orders")));
    }

    [Test]
    public async Task EachHalfCanOnlyDoItsOwn()
    {
        MessageQueue queue = await Declare();

        Assert.That(queue.AsSender(OrderJson.Default.Order), Is.Not.InstanceOf<IQueueReceiver<Order>>().And.Not.InstanceOf<IMessageReceiver>());
        Assert.That(queue.AsReceiver(OrderJson.Default.Order), Is.Not.InstanceOf<IQueueSender<Order>>().And.Not.InstanceOf<IMessageSender>());
    }

    [Test]
    public async Task WhatCannotBeReadIsADeadLetterWithItsBytesAndTheNextOneIsReceived()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "no order");
        await Soon(queue.AsSender(OrderJson.Default.Order).SendAsync(s_latte));

        Delivery<Order> delivery = await Soon(queue.AsReceiver(OrderJson.Default.Order).ReceiveAsync());
        delivery.Ack();

        Assert.That(delivery.Value, Is.EqualTo(s_latte));
        Delivery dead = (await DeadLettersOf(queue)).Single();
        Assert.That(Text(dead), Is.EqualTo("no order"));
        Assert.That(dead.DeadLetter, Is.Not.Null);
        Assert.That((dead.DeadLetter!.Reason, dead.DeadLetter.Description), Is.EqualTo((DeadLetterReasons.Rejected, "unreadable")));
        Assert.That(dead.DeadLetter.Details, Does.Contain("JsonException"));
    }

    [Test]
    public async Task AWaitGoesOnPastWhatCannotBeRead()
    {
        MessageQueue queue = await Declare();
        Task<Delivery<Order>?> waiting = queue.AsReceiver(OrderJson.Default.Order).ReceiveAsync(Minute).AsTask();
        await Send(queue, "no order");
        await Idle(queue);

        await Soon(queue.AsSender(OrderJson.Default.Order).TrySendAsync(s_latte));

        Delivery<Order>? delivery = await Soon(waiting);
        Assert.That(delivery!.Value.Value, Is.EqualTo(s_latte));
        delivery.Value.Release();
        Assert.That((await DeadLettersOf(queue)), Has.Length.EqualTo(1));
    }

    [Test]
    public async Task AnEmptyQueueGivesNothingInTime()
    {
        MessageQueue queue = await Declare();

        Assert.That(await Soon(queue.AsReceiver(OrderJson.Default.Order).ReceiveAsync(TimeSpan.Zero)), Is.Null);
    }

    [Test]
    public async Task AHandlerSeesOrdersOnlyAndRunsOn()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 1 });
        var handled = new ConcurrentQueue<Order>();
        await using MessageConsumer consumer = queue.AsReceiver(OrderJson.Default.Order).Consume((order, _) =>
        {
            handled.Enqueue(order.Value);
            return order.Value.Pieces < 0 ? throw new InvalidOperationException("negative") : default;
        });

        await Send(queue, "no order");
        await Soon(queue.AsSender(OrderJson.Default.Order).SendAsync(new Order("tea", -1)));
        await Soon(queue.AsSender(OrderJson.Default.Order).SendAsync(s_latte));
        await Until(() => queue.GetSnapshot().Messages == 0);

        Assert.That(handled, Is.EqualTo([new Order("tea", -1), s_latte]));
        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(2));
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task AStreamPassesOverWhatCannotBeRead()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "no order");
        await Soon(queue.AsSender(OrderJson.Default.Order).SendAsync(s_latte));
        await Send(queue, "nor is this");
        await Soon(queue.AsSender(OrderJson.Default.Order).SendAsync(new Order("mocha", 1)));

        var received = new List<Order>();
        await foreach (Delivery<Order> delivery in queue.AsReceiver(OrderJson.Default.Order).ReceiveAllAsync())
        {
            received.Add(delivery.Value);
            delivery.Ack();
            if (received.Count == 2)
                break;
        }

        Assert.That(received, Is.EqualTo([s_latte, new Order("mocha", 1)]));
        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(2));
    }

    [Test]
    public async Task AValueIsSentAndSettledInATransaction()
    {
        MessageQueue queue = await Declare();
        MessageQueue kitchen = await Declare("kitchen");
        var format = new MessageFormat<Order>(OrderJson.Default.Order);
        await Soon(queue.AsSender(format).SendAsync(s_latte));
        Delivery<Order> delivery = await Soon(queue.AsReceiver(format).ReceiveAsync());

        await using (BrokerTransaction transaction = Broker.BeginTransaction())
        {
            transaction.Settle(delivery.Untyped, Settlement.Ack);
            transaction.Send(kitchen, format.Write(delivery.Value with { Pieces = 3 }));
            await Soon(transaction.CommitAsync());
        }

        Delivery<Order> cooked = await Soon(kitchen.AsReceiver(format).ReceiveAsync());
        Assert.That(cooked.Value.Pieces, Is.EqualTo(3));
        cooked.Ack();
    }
}
