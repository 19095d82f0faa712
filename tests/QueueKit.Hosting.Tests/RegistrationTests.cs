using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

public class RegistrationTests : HostJourney
{
    [Test]
    public async Task AServiceSendsFromItsStartOnThroughWhatItsConstructorWasGiven()
    {
        IHost host = await Start(
            queueKit => queueKit.AddQueue<Order>("orders"),
            services => services.AddHostedService<SendsAtStart>());

        Delivery<Order>? delivery = await Soon(host.Services.GetRequiredService<IQueueReceiver<Order>>().ReceiveAsync(TimeSpan.Zero));

        Assert.That(delivery!.Value.Value, Is.EqualTo(new Order("at start", 1)));
        delivery.Value.Ack();
    }

    [Test]
    public async Task AQueueIsFoundByItsKeyWithTheOptionsOfItsName()
    {
        IHost host = await Start(
            queueKit => queueKit.AddQueue("orders", options => options.MaxMessages = 7),
            services => services.PostConfigure<QueueOptions>("orders", options => options.MaxAttempts = 2));

        MessageQueue queue = host.Services.GetRequiredKeyedService<MessageQueue>("orders");

        Assert.That((queue.Name, queue.Options.MaxMessages, queue.Options.MaxAttempts), Is.EqualTo(("orders", 7L, (int?)2)));
        Assert.That(host.Services.GetRequiredKeyedService<IMessageSender>("orders").Name, Is.EqualTo("orders"));
        Assert.That(host.Services.GetRequiredService<MessageBroker>(), Is.SameAs(host.Services.GetRequiredService<HostedBroker>().Broker));
    }

    [Test]
    public async Task BrokersWithNamesStandBesideEachOther()
    {
        IHost host = await Start(
            queueKit => queueKit.AddQueue("orders"),
            services => services.AddQueueKit("billing", queueKit => queueKit.UseJson(OrderJson.Default).AddQueue<Order>("orders", options => options.MaxMessages = 5)));

        MessageBroker billing = host.Services.GetRequiredKeyedService<MessageBroker>("billing");
        await Soon(host.Services.GetRequiredKeyedService<IQueueSender<Order>>("billing/orders").SendAsync(new Order("a", 1)));

        Assert.That(billing, Is.Not.SameAs(host.Services.GetRequiredService<MessageBroker>()));
        Assert.That((billing.GetQueue("orders").GetSnapshot().Messages, Queue(host).GetSnapshot().Messages), Is.EqualTo((1L, 0L)));
        Assert.That(billing.GetQueue("orders").Options.MaxMessages, Is.EqualTo(5));
    }

    [Test]
    public async Task FurtherCallsAddToTheSameBroker()
    {
        IHost host = await Start(
            queueKit => queueKit.AddQueue("orders"),
            services => services.AddQueueKit(queueKit => queueKit.AddQueue("parcels")));

        Assert.That(host.Services.GetRequiredService<MessageBroker>().Queues.Select(queue => queue.Name), Is.EquivalentTo(["orders", "parcels"]));
        Assert.That(host.Services.GetServices<IHostedService>().Count(), Is.EqualTo(1));
    }

    [Test]
    public async Task OfSeveralQueuesOfATypeOneSaysWhich()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").AddQueue<Order>("rush"));

        Assert.That(() => host.Services.GetRequiredService<IQueueSender<Order>>(), Throws.InvalidOperationException.With.Message.Contains("[FromKeyedServices(\"orders\")]"));
        Assert.That(host.Services.GetRequiredKeyedService<IQueueSender<Order>>("rush").Name, Is.EqualTo("rush"));
    }

    [Test]
    public void BeforeTheHostStartsTheBrokerSaysSo()
    {
        IHost host = Build(queueKit => queueKit.AddQueue("orders"));

        Assert.That(() => host.Services.GetRequiredService<MessageBroker>(), Throws.InvalidOperationException.With.Message.Contains("opens when the host starts"));
        Assert.That(() => host.Services.GetRequiredKeyedService<IMessageSender>("orders").SendAsync(new Message("a"u8.ToArray())),
            Throws.InvalidOperationException.With.Message.Contains("opens when the host starts"));
        Assert.That(host.Services.GetRequiredService<HostedBroker>().IsOpen, Is.False);
    }

    [Test]
    public async Task WhatWasSentBeforeARestartIsHandledAfterIt()
    {
        IHost first = await Start(queueKit => queueKit.AddQueue("orders"));
        await Send(first, new Order("latte", 1));
        await Soon(first.StopAsync());
        var handled = new TaskCompletionSource<Order>();

        IHost second = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (order, _, _) =>
        {
            handled.TrySetResult(order);
            return default(ValueTask);
        }));

        Assert.That(await Soon(handled.Task), Is.EqualTo(new Order("latte", 1)));
        await Until(() => Queue(second).GetSnapshot().Messages == 0);
    }

    private sealed class SendsAtStart(IQueueSender<Order> orders) : IHostedService
    {
        public async Task StartAsync(CancellationToken cancellationToken) => await orders.SendAsync(new Order("at start", 1), ct: cancellationToken);

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
