using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

// The clock starts at noon.
public class RecurringTests : HostJourney
{
    [Test]
    public async Task EachTickSendsOneMessage()
    {
        IHost host = await Open();

        for (int i = 1; i <= 3; i++)
            await Advance(host, 5 * Minute, i);

        Delivery<Order>[] ticks = await Take(host, 3);
        Assert.That(ticks.Select(tick => tick.Value.Product), Is.EqualTo(["12:05", "12:10", "12:15"]));
        Assert.That(ticks[0].Untyped.Message.MessageId, Is.EqualTo("report@2026-11-23T12:05:00Z"));
        Assert.That(Log.Has(130), Is.False);
    }

    [TestCase(MissedTicks.Last, "12:30")]
    [TestCase(MissedTicks.All, "12:05", "12:10", "12:15", "12:20", "12:25", "12:30")]
    [TestCase(MissedTicks.None)]
    public async Task AfterDowntimeThePolicySaysWhichTicksAreSent(MissedTicks missed, params string[] expected)
    {
        IHost first = await Open(missed);
        await Soon(first.StopAsync());
        Clock.Advance(32 * Minute);

        IHost second = await Open(missed);
        await Advance(second, TimeSpan.Zero, expected.Length);
        await Advance(second, 3 * Minute, expected.Length + 1);

        Assert.That((await Take(second, expected.Length + 1)).Select(tick => tick.Value.Product), Is.EqualTo([.. expected, "12:35"]));
        Assert.That(Log.Has(130), Is.EqualTo(missed != MissedTicks.All));
    }

    [Test]
    public async Task ARestartBetweenTicksNeitherLosesNorDoublesOne()
    {
        for (int i = 0; i < 4; i++)
        {
            IHost host = await Open();
            for (int minute = 0; minute < 7; minute++)
            {
                await Advance(host, Minute, (Clock.Elapsed + Minute).Ticks / (5 * Minute).Ticks);
            }
            await Soon(host.StopAsync());
        }

        IHost last = await Open();
        Assert.That((await Take(last, 5)).Select(tick => tick.Value.Product), Is.EqualTo(["12:05", "12:10", "12:15", "12:20", "12:25"]));
    }

    [Test]
    public async Task AnotherExpressionBeginsAnew()
    {
        IHost first = await Open();
        await Soon(first.StopAsync());

        IHost second = await Open(cron: "0 * * * *");
        await AdvanceUntil(() => Queue(second).GetSnapshot().Messages == 1, Minute);

        Assert.That((await Take(second, 1)).Single().Value.Product, Is.EqualTo("13:00"));
        Assert.That(Queue(second).GetSnapshot().Messages, Is.Zero);
        Assert.That(Broker(second).Queues.Count(queue => queue.Name.StartsWith("queuekit.recurring.", StringComparison.Ordinal)), Is.EqualTo(1));
    }

    [Test]
    public async Task AFullQueueDelaysATickAndLosesNone()
    {
        IHost host = await Open(MissedTicks.All, queue: options => (options.MaxMessages, options.Overflow) = (1, OverflowPolicy.Reject));
        await AdvanceUntil(() => Queue(host).GetSnapshot().Counts.Refused > 0, Minute);

        Assert.That((await Take(host, 1)).Single().Value.Product, Is.EqualTo("12:05"));

        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == 1, Second);
        Assert.That((await Take(host, 1)).Single().Value.Product, Is.EqualTo("12:10"));
    }

    [Test]
    public void WhatCannotWorkIsFoundAtTheStart()
    {
        IHost host = Build(queueKit => queueKit
            .AddRecurring("report", "* * *", "nowhere", tick => new Order("x", 1))
            .AddRecurring("two words", "* * * * *", "nowhere", tick => new Unknown(1)));

        Assert.That(() => host.StartAsync(), Throws.TypeOf<QueueKitConfigurationException>().With.Message.Contains("Recurring message 'report': Cron is '* * *'; it must have five fields")
            .And.Message.Contains("goes to queue 'nowhere', which the broker does not have")
            .And.Message.Contains("'two words': the name may have letters, digits and hyphens only")
            .And.Message.Contains("There is no JSON metadata for QueueKit.Hosting.Tests.Unknown"));
    }

    private Task<IHost> Open(MissedTicks missed = default, string cron = "*/5 * * * *", Action<QueueOptions>? queue = null) => Start(queueKit => queueKit
        .AddQueue("orders", queue)
        .AddRecurring("report", cron, "orders", tick => new Order($"{tick:HH:mm}", 1), options => options.Missed = missed));

    // Lets the time go by, and the tick that comes due on the way be dealt with before it goes on.
    private async Task Advance(IHost host, TimeSpan by, long expected)
    {
        await Until(() => Broker(host).Queues.Where(queue => queue.Name.StartsWith("queuekit.recurring.", StringComparison.Ordinal)).Sum(queue => queue.GetSnapshot().Delayed.Messages) == 1);
        Clock.Advance(by);
        await AdvanceUntil(() => Queue(host).GetSnapshot().Messages == expected, TimeSpan.Zero);
    }

    private static async Task<Delivery<Order>[]> Take(IHost host, int count)
    {
        var taken = new List<Delivery<Order>>();
        for (int i = 0; i < count; i++)
        {
            Delivery<Order> delivery = await Soon(Queue(host).AsReceiver(OrderJson.Default.Order).ReceiveAsync());
            await Soon(delivery.AckAsync());
            taken.Add(delivery);
        }
        return [.. taken];
    }
}
