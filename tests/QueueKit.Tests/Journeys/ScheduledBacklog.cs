using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>Scheduled messages of which memory holds only the next few; and one budget of memory for all queues.</summary>
[TestFixture(Durability.Written)]
[TestFixture(Durability.Flushed)]
public class ScheduledBacklog(Durability durability) : Journey(durability)
{
    private const int Many = 300;

    // A quarter of it for what is not due yet.
    private static readonly QueueOptions s_small = new() { Overflow = OverflowPolicy.Buffer, MaxMessages = 64 };

    [Test]
    public async Task ManyMessagesAreDeliveredEachToTheTickOfItsTime()
    {
        MessageQueue queue = await Declare(s_small);
        TimeSpan[] delays = await SendScheduled(queue, Many, seed: 1);

        Assert.That(InMemory(queue), Is.LessThanOrEqualTo(16));
        DateTimeOffset start = Clock.GetUtcNow();
        foreach (TimeSpan delay in delays.Order())
        {
            await Advance(queue, start + delay - Clock.GetUtcNow() - Tick);
            Assert.That(await IsQuiet(queue), $"a tick before {delay}");
            await Advance(queue, Tick);
            Delivery delivery = await Receive(queue);
            Assert.That(Text(delivery), Is.EqualTo($"{delay}"));
            await Soon(delivery.AckAsync());
            Assert.That(InMemory(queue), Is.LessThanOrEqualTo(16));
        }
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AConsumerThatWaitsGetsEachWhenItIsDue()
    {
        MessageQueue queue = await Declare(s_small);
        TimeSpan[] delays = await SendScheduled(queue, Many, seed: 2);
        queue = await CrashAndReopen();
        var handled = new System.Collections.Concurrent.ConcurrentQueue<string>();
        DateTimeOffset start = Clock.GetUtcNow();

        await using (queue.Consume((delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            return ValueTask.CompletedTask;
        }))
        {
            for (int i = 0; i < Many; i++)
            {
                await Advance(queue, start + delays.Order().ElementAt(i) - Clock.GetUtcNow());
                await Until(() => handled.Count == i + 1);
            }
        }

        Assert.That(handled, Is.EqualTo(delays.Order().Select(delay => $"{delay}")));
    }

    [Test]
    public async Task AfterAnOpeningTheyAreCountedAndNotRead()
    {
        MessageQueue queue = await Declare();
        await SendScheduled(queue, Many, seed: 3);

        queue = await CrashAndReopen();

        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That((snapshot.Messages, snapshot.Delayed.Messages, snapshot.PagedDelayed.Messages, snapshot.Counts.Recovered), Is.EqualTo((Many, Many, Many, Many)));
        Assert.That(snapshot.Delayed.Bytes, Is.EqualTo(snapshot.Bytes));
    }

    [Test]
    public async Task WhatCameDueWhileTheStoreWasClosedIsAllThere()
    {
        MessageQueue queue = await Declare(s_small);
        TimeSpan[] delays = await SendScheduled(queue, Many, seed: 4);
        await Soon(Broker.DisposeAsync());
        Advance(TimeSpan.FromDays(30));

        await OpenAnew(_ => { });
        queue = Broker.GetQueue("orders");

        Assert.That(await Drain(queue), Is.EquivalentTo(delays.Select(delay => $"{delay}")));
    }

    [Test]
    public async Task NoMoreIsReadThanFitsBesideWhatIsReady()
    {
        MessageQueue queue = await Declare(s_small);
        await SendScheduled(queue, Many, seed: 5);
        queue = await CrashAndReopen();
        Delivery first = await Advance(queue, TimeSpan.FromDays(30)).ContinueWith(_ => Receive(queue), TaskScheduler.Default).Unwrap();

        await Idle(queue);

        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That(snapshot.Ready.Messages, Is.LessThanOrEqualTo(64));
        Assert.That(snapshot.PagedDelayed.Messages, Is.GreaterThan(Many - 64));
        await Soon(first.AckAsync());
        Assert.That((await Drain(queue)).Length, Is.EqualTo(Many - 1));
    }

    [Test]
    public async Task WhatIsScheduledWhileTheirPageIsReadKeepsItsTime()
    {
        MessageQueue queue = await Declare(s_small);
        await SendScheduled(queue, Many, seed: 6);
        queue = await CrashAndReopen();
        Task<Delivery> receive = Receive(queue);

        for (int i = 1; i <= 50; i++)
            await Soon(queue.SendAsync(new Message(Text($"new {i}").Body) { Delay = TimeSpan.FromHours(i) }));
        await Advance(queue, TimeSpan.FromHours(1));
        Delivery first = await receive;
        await Soon(first.AckAsync());
        await Advance(queue, TimeSpan.FromDays(30));

        Assert.That((await Drain(queue)).Append(Text(first)).Where(body => body.StartsWith("new", StringComparison.Ordinal)).Count(), Is.EqualTo(50));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task WhateverHappensInBetweenEachComesAtItsTimeAndNoneTwice([Values(1, 2, 3, 4)] int seed)
    {
        TestContext.Out.WriteLine($"seed {seed}");
        var random = new Random(seed);
        MessageQueue queue = await Declare(s_small with { MaxMessages = 24, RetryDelay = RetryDelay.None, MaxAttempts = null });
        var due = new Dictionary<string, DateTimeOffset>();
        for (int step = 0; step < 400; step++)
        {
            switch (random.Next(12))
            {
                case < 8:
                    TimeSpan delay = TimeSpan.FromSeconds(random.Next(1, 600));
                    due.Add($"{step}", Clock.GetUtcNow() + delay);
                    await Soon(queue.SendAsync(new Message(Text($"{step}").Body) { Delay = delay, Priority = (byte)random.Next(3) }));
                    break;
                case < 11:
                    await Advance(queue, TimeSpan.FromSeconds(random.Next(60)));
                    foreach (Delivery delivery in await ReceiveWhatIsThere(queue))
                    {
                        TimeSpan pause = TimeSpan.FromSeconds(random.Next(1, 100));
                        Assert.That(due.Remove(Text(delivery), out DateTimeOffset was), "not known, or there twice");
                        Assert.That(was, Is.LessThanOrEqualTo(Clock.GetUtcNow()));
                        if (random.Next(4) == 0)
                        {
                            await Soon(delivery.SettleAsync(Settlement.Nack(pause)));
                            due.Add(Text(delivery), Clock.GetUtcNow() + pause);
                        }
                        else
                        {
                            await Soon(delivery.AckAsync());
                        }
                    }
                    Assert.That(due.Values, Has.None.LessThanOrEqualTo(Clock.GetUtcNow()), "nothing that is due was left");
                    break;
                default:
                    await Idle(queue);
                    queue = await CrashAndReopen();
                    break;
            }
            Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(due.Count));
        }
    }

    [Test]
    public async Task APurgeTakesThemAllAndNothingThatIsSentMeanwhile()
    {
        MessageQueue queue = await Declare(s_small);
        await SendScheduled(queue, Many, seed: 7);
        Task<long> purge;
        Task<SendReceipt> send;
        using (CommitStall stall = Store.StallCommits())
        {
            purge = queue.PurgeAsync().AsTask();
            await Soon(stall.Entered);
            send = queue.SendAsync(new Message(Text("after").Body) { Delay = Second }).AsTask();
        }

        Assert.That(await Soon(purge), Is.EqualTo(Many));
        await Soon(send);
        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(1));
        queue = await CrashAndReopen();
        await Advance(queue, TimeSpan.FromDays(30));
        Assert.That(await Drain(queue), Is.EqualTo(["after"]));
    }

    [Test]
    public async Task APurgeThatTheStoreRefusesLeavesThem([Values(1, 3)] int refused)
    {
        MessageQueue queue = await Declare(s_small);
        TimeSpan[] delays = await SendScheduled(queue, Many, seed: 8);

        Store.RefuseCommits(refused);
        Assert.That(async () => await Soon(queue.PurgeAsync()), Throws.InstanceOf<StoreException>());

        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(Many));
        while (refused-- > 1)
            Assert.That(async () => await Soon(queue.PurgeAsync()), Throws.InstanceOf<StoreException>());
        await Advance(queue, TimeSpan.FromDays(30));
        Assert.That(await Drain(queue), Is.EquivalentTo(delays.Select(delay => $"{delay}")));
    }

    [Test]
    public async Task AQueueFullOfThemIsDeletedWithThem()
    {
        MessageQueue queue = await Declare(s_small);
        await SendScheduled(queue, Many, seed: 9);

        await Soon(Broker.DeleteQueueAsync("orders"));
        queue = await Declare(s_small);
        await Advance(queue, TimeSpan.FromDays(30));

        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task ADamagedOneStopsTheQueueAndIsNamed([Values] bool isOfAnotherQueue)
    {
        MessageQueue queue = await Declare();
        await Declare("another");
        for (int i = 1; i <= 4; i++)
            await Soon(queue.SendAsync(new Message(Text($"{i}").Body) { Delay = i * Minute }));
        Store.Crash();
        await using (IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync())
        {
            var page = new StorePage();
            store.Read(StoreKey.First(StoreKind.Parked), StoreKey.After(StoreKind.Parked), 10, long.MaxValue, page);
            StoreRecord record = isOfAnotherQueue ? page.Records[0] : page.Records[2];
            byte[] head = record.Head.ToArray();
            head[^5] ^= 1;
            var batch = new StoreBatch();
            batch.Put(page.Records[2].Key, head, record.Body);
            store.Commit(batch, FlushLevel.Flushed);
        }

        Broker = await Open();
        queue = Broker.GetQueue("orders");
        await Advance(queue, 2 * Minute);
        Assert.That((Text(await Receive(queue)), Text(await Receive(queue))), Is.EqualTo(("1", "2")));
        Assert.That(async () => await Receive(queue),
            Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable).And.Message.Contains("message 3 of queue 1").And.Message.Contains("backup"));
        Assert.That(await Soon(queue.PurgeAsync()), Is.EqualTo(2), "A purge rids the queue of what cannot be read.");
        await Send(queue, "5");
        Assert.That(Text(await Receive(queue)), Is.EqualTo("5"));
    }

    [Test]
    public async Task OneThatIsMissingIsReported()
    {
        MessageQueue queue = await Declare();
        for (int i = 1; i <= 4; i++)
            await Soon(queue.SendAsync(new Message(Text($"{i}").Body) { Delay = i * Minute }));
        Store.Crash();
        await using (IMessageStore store = await ((IMessageStoreProvider)Store).OpenAsync())
        {
            var page = new StorePage();
            store.Read(StoreKey.First(StoreKind.Parked), StoreKey.After(StoreKind.Parked), 10, long.MaxValue, page);
            var batch = new StoreBatch();
            batch.Delete(page.Records[2].Key);
            store.Commit(batch, FlushLevel.Flushed);
        }

        Broker = await Open();
        queue = Broker.GetQueue("orders");
        await Advance(queue, Minute);

        Assert.That(Text(await Receive(queue)), Is.EqualTo("1"));
        Assert.That(async () => await Receive(queue), Throws.InstanceOf<StoreException>().With.Message.Contains("1 messages of queue 'orders'"));
    }

    // ---- The budget of the broker

    [Test]
    public async Task AllQueuesTogetherKeepWithinTheBudget()
    {
        const int queues = 12, each = 60, size = 16 * 1024;
        await OpenAnew(options => options.MaxLoadedBytes = 1024 * 1024);
        var opened = new List<MessageQueue>();
        for (int i = 0; i < queues; i++)
            opened.Add(await Declare($"q{i}", new QueueOptions { Overflow = OverflowPolicy.Buffer }));
        for (int n = 0; n < each; n++)
        {
            foreach (MessageQueue queue in opened)
                await Soon(queue.SendAsync(new Message(new byte[size]) { CorrelationId = $"{n}", Delay = n % 4 == 0 ? Minute : null }));
        }

        // What nobody has noted yet of each queue: an eighth of what it has.
        Assert.That(opened.Sum(Loaded), Is.LessThan(1024 * 1024 * 5 / 4));
        Assert.That(opened.Sum(queue => queue.GetSnapshot().Bytes), Is.GreaterThan(queues * each * size));
        foreach (MessageQueue queue in opened)
            await Advance(queue, Minute);
        foreach (MessageQueue queue in opened)
        {
            var numbers = new List<int>();
            while (queue.GetSnapshot().Messages > 0)
            {
                Delivery delivery = await Receive(queue);
                numbers.Add(int.Parse(delivery.Message.CorrelationId!, System.Globalization.CultureInfo.InvariantCulture));
                await Soon(delivery.AckAsync());
            }
            Assert.That(numbers.Order(), Is.EqualTo(Enumerable.Range(0, each)));
            Assert.That(numbers.Where(number => number % 4 != 0), Is.Ordered);
        }
    }

    [Test]
    public async Task WhatAClosedQueueHeldIsFreeForTheOthers()
    {
        await OpenAnew(options => options.MaxLoadedBytes = 1024 * 1024);
        MessageQueue large = await Declare("large", new QueueOptions { Overflow = OverflowPolicy.Buffer });
        MessageQueue other = await Declare("other", new QueueOptions { Overflow = OverflowPolicy.Buffer });
        for (int i = 0; i < 80; i++)
            await Soon(large.SendAsync(new Message(new byte[16 * 1024])));
        await Send(other, Numbers(1, 20));
        Assert.That(other.GetSnapshot().Paged.Messages, Is.EqualTo(19));

        await Soon(Broker.DeleteQueueAsync("large"));

        Assert.That(await Drain(other), Is.EqualTo(Numbers(1, 20)));
        await Send(other, Numbers(1, 20));
        Assert.That(other.GetSnapshot().Paged.Messages, Is.Zero);
    }

    private static long Loaded(MessageQueue queue)
    {
        QueueSnapshot snapshot = queue.GetSnapshot();
        return snapshot.Ready.Bytes - snapshot.Paged.Bytes + snapshot.Delayed.Bytes - snapshot.PagedDelayed.Bytes;
    }

    private static long InMemory(MessageQueue queue)
    {
        QueueSnapshot snapshot = queue.GetSnapshot();
        return snapshot.Delayed.Messages - snapshot.PagedDelayed.Messages;
    }

    // So many, each due at another second; the delays in the order in which they were sent.
    private static async Task<TimeSpan[]> SendScheduled(MessageQueue queue, int count, int seed)
    {
        TestContext.Out.WriteLine($"seed {seed}");
        int[] seconds = [.. Enumerable.Range(1, count).Select(i => i * 7919)];
        new Random(seed).Shuffle(seconds);
        TimeSpan[] delays = [.. seconds.Select(second => TimeSpan.FromSeconds(second))];
        foreach (TimeSpan delay in delays)
            await Soon(queue.SendAsync(new Message(Text($"{delay}").Body) { Delay = delay }));
        return delays;
    }

    private static string[] Numbers(int first, int count) => [.. Enumerable.Range(first, count).Select(i => $"{i}")];
}
