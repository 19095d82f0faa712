namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class TimeAndDelays(Durability durability) : Journey(durability)
{
    [Test]
    public async Task ADelayedMessageComesExactlyWhenItIsDue()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = 10 * Second }));
        Task<Delivery> receiving = queue.ReceiveAsync().AsTask();

        await Advance(queue, 10 * Second - Tick);
        Assert.That(receiving.IsCompleted, Is.False);
        await Advance(queue, Tick);

        Delivery delivery = await Soon(receiving);
        Assert.That((delivery.Attempt, delivery.IsRedelivered), Is.EqualTo((1, false)));
    }

    [Test]
    public async Task AMessageWithADueTimeComesWhenTheWallClockShowsIt()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { DueTime = Clock.GetUtcNow() + TimeSpan.FromHours(3) }));

        await Advance(queue, TimeSpan.FromHours(3) - Tick);
        Assert.That(await IsQuiet(queue));
        await Advance(queue, Tick);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ADueTimeThatHasPassedIsNow()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("past").Body) { DueTime = Clock.GetUtcNow() - Minute }));
        await Soon(queue.SendAsync(new Message(Text("no delay").Body) { Delay = TimeSpan.Zero }));
        await Soon(queue.SendAsync(new Message(Text("ancient").Body) { DueTime = DateTimeOffset.MinValue }));

        Assert.That(await Drain(queue), Is.EqualTo(["past", "no delay", "ancient"]));
    }

    [Test]
    public async Task ADelayedMessageTakesThePlaceOfItsNumberOnceItIsDue()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("first, delayed").Body) { Delay = Second }));
        await Send(queue, "second", "third");

        (await Receive(queue)).Ack();
        await Advance(queue, Second);

        Assert.That(await Drain(queue), Is.EqualTo(["first, delayed", "third"]));
    }

    [Test]
    public async Task ManyDelaysComeInTheOrderOfTheirDueTimes()
    {
        MessageQueue queue = await Declare();
        for (int i = 0; i < 50; i++)
            await Soon(queue.SendAsync(new Message(Text($"{i * 7 % 50:00}").Body) { Delay = (i * 7 % 50 + 1) * Second }));
        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(50));

        var received = new List<string>();
        for (int i = 0; i < 50; i++)
        {
            await Advance(queue, Second);
            received.AddRange(await Drain(queue));
            Assert.That(received, Has.Count.EqualTo(i + 1));
        }

        Assert.That(received, Is.Ordered);
    }

    [Test]
    public async Task DelayedMessagesCountInTheLimitsAndTheDelayRunsFromAdmission()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = 1 });
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = Minute }));
        Task<SendReceipt> sending = queue.SendAsync(new Message(Text("b").Body) { Delay = Minute }).AsTask();

        await Advance(queue, Minute);
        Assert.That(sending.IsCompleted, Is.False);
        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
        await Soon(sending);
        await Advance(queue, Minute - Tick);
        Assert.That(await IsQuiet(queue));
        await Advance(queue, Tick);

        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task ADelayWorksInBatchesAndTransactions()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendBatchAsync(new[] { new Message(Text("batch later").Body) { Delay = Minute }, Text("batch now") }));
        await using BrokerTransaction transaction = Broker.BeginTransaction();
        transaction.Send(queue, new Message(Text("transaction later").Body) { Delay = Minute });
        transaction.Send(queue, Text("transaction now"));
        await Soon(transaction.CommitAsync());

        Assert.That(await Drain(queue), Is.EqualTo(["batch now", "transaction now"]));
        await Advance(queue, Minute);
        Assert.That(await Drain(queue), Is.EqualTo(["batch later", "transaction later"]));
    }

    [Test]
    public async Task ADelayBeyondTheCalendarIsTheEndOfTheCalendar()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = TimeSpan.MaxValue }));
        await Soon(queue.SendAsync(new Message(Text("b").Body) { DueTime = DateTimeOffset.MaxValue }));

        await Advance(queue, TimeSpan.FromDays(1));

        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(2));
    }

    [Test]
    public async Task AJumpOfTheWallClockForwardIsSeenWithinAMinute()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = TimeSpan.FromHours(5) }));

        Clock.JumpWallClock(TimeSpan.FromHours(5));
        await Advance(queue, Minute);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task AJumpOfTheWallClockBackMakesDelayedMessagesWaitAsLongAsTheWallClockSays()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("a").Body) { Delay = Second / 2 }));

        Advance(Second / 4);
        Clock.JumpWallClock(-TimeSpan.FromHours(1));
        await Advance(queue, TimeSpan.FromHours(1) + Second / 4 - Tick);
        Assert.That(await IsQuiet(queue));
        await Advance(queue, Tick);

        Assert.That(await Drain(queue), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ADueTimeSurvivesAReopeningAndWhatCameDueMeanwhileIsReady()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("soon").Body) { Delay = Minute }));
        await Soon(queue.SendAsync(new Message(Text("late").Body) { Delay = 10 * Minute }));
        await Soon(Broker.DisposeAsync());
        Advance(5 * Minute);

        await OpenAnew(_ => { });
        queue = Broker.GetQueue("orders");
        await Advance(queue, TimeSpan.Zero);

        Assert.That(await Drain(queue), Is.EqualTo(["soon"]));
        await Advance(queue, 5 * Minute - Tick);
        Assert.That(await IsQuiet(queue));
        await Advance(queue, Tick);
        Delivery late = await Receive(queue);
        late.Nack(Minute);
        queue = await Reopen();
        await Advance(queue, Minute - Tick);
        Assert.That(await IsQuiet(queue), "now it waits for its retry");
        await Advance(queue, Tick);
        Assert.That(await Drain(queue), Is.EqualTo(["late"]));
        queue = await Reopen();
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task ADelayedMessageKeepsItsPriority()
    {
        MessageQueue queue = await Declare();
        await Soon(queue.SendAsync(new Message(Text("urgent").Body) { Delay = Second, Priority = 5 }));
        await Send(queue, "plain");
        await Advance(queue, Second);

        Assert.That(await Drain(queue), Is.EqualTo(["urgent", "plain"]));
    }

    [Test]
    public async Task EnqueuedAtIsTheWallClockTimeOfAdmission()
    {
        MessageQueue queue = await Declare();
        DateTimeOffset first = Clock.GetUtcNow();
        await Send(queue, "a");
        Advance(TimeSpan.FromHours(2));
        await Send(queue, "b");

        Assert.That((await Receive(queue)).EnqueuedAt, Is.EqualTo(first));
        Assert.That((await Receive(queue)).EnqueuedAt, Is.EqualTo(first + TimeSpan.FromHours(2)));
    }

    [Test]
    public async Task AnIdleBrokerSetsNoTimer()
    {
        MessageQueue queue = await Declare();
        Assert.That(Clock.ArmedTimers, Is.Zero);

        await Send(queue, "a");
        await Drain(queue);
        await Advance(queue, TimeSpan.FromHours(2));

        Assert.That(Clock.ArmedTimers, Is.Zero);
    }
}
