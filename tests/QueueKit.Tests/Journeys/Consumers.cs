using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class Consumers(Durability durability) : Journey(durability)
{
    [Test]
    public async Task AHandlerThatReturnsAcksItsMessage()
    {
        MessageQueue queue = await Declare();
        var handled = new ConcurrentQueue<string>();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            return default;
        });

        await Send(queue, "a", "b", "c");
        await Idle(queue);

        Assert.That(handled, Is.EqualTo(["a", "b", "c"]));
        Assert.That(queue.GetSnapshot().Counts.Acked, Is.EqualTo(3));
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task AHandlerThatThrowsNacksWithItsException()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxAttempts = 2, RetryDelay = RetryDelay.Constant(Minute) });
        var attempts = new ConcurrentQueue<int>();
        await using MessageConsumer consumer = queue.Consume(async (delivery, _) =>
        {
            attempts.Enqueue(delivery.Attempt);
            await Task.Yield();
            throw new InvalidOperationException($"attempt {delivery.Attempt}");
        });
        await Send(queue, "a");
        await Until(() => queue.GetSnapshot().Delayed.Messages != 0);

        await Advance(queue, Minute);
        await Until(() => queue.GetSnapshot().Counts.DeadLettered != 0);

        Delivery dead = (await DeadLettersOf(queue)).Single();
        Assert.That(dead.DeadLetter!.LastError, Is.EqualTo("System.InvalidOperationException: attempt 2"));
        Assert.That(attempts, Is.EqualTo([1, 2]));
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Running), "an exception is the message's trouble, not the consumer's");
    }

    [Test]
    public async Task AHandlerThatThrowsBeforeItAwaitsIsTreatedAlike()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 3 });
        await using MessageConsumer consumer = queue.Consume((_, _) => throw new InvalidOperationException("at once"));

        await Send(queue, "a");
        await Idle(queue);

        Assert.That((await DeadLettersOf(queue)).Single().DeadLetter!.Attempts, Is.EqualTo(3));
    }

    [TestCase(typeof(OperationCanceledException))]
    [TestCase(typeof(ObjectDisposedException))]
    [TestCase(typeof(QueueFullException))]
    [TestCase(typeof(StoreException))]
    [TestCase(typeof(QueueNotFoundException))]
    public async Task WhateverAHandlerThrowsIsItsOwnAndDoesNotStopTheConsumer(Type type)
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None, MaxAttempts = 1 });
        var handled = new ConcurrentQueue<string>();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            if (Text(delivery) == "bad")
                throw (Exception)Activator.CreateInstance(type, "of the handler's own")!;
            handled.Enqueue(Text(delivery));
            return default;
        });

        await Send(queue, "bad", "good");
        await Idle(queue);

        Assert.That(handled, Is.EqualTo(["good"]));
        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1));
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task AHandlerMaySettleItself()
    {
        MessageQueue queue = await Declare();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            switch (Text(delivery))
            {
                case "reject":
                    delivery.Reject("bad");
                    throw new InvalidOperationException("after the settle: changes nothing");
                case "later":
                    delivery.Nack(Minute);
                    break;
                default:
                    delivery.Ack();
                    break;
            }
            return default;
        });

        await Send(queue, "reject", "later", "ack");
        await Idle(queue);

        Assert.That(await DeadLettersOf(queue), Has.Length.EqualTo(1));
        Assert.That(queue.GetSnapshot(), Has.Property(nameof(QueueSnapshot.Messages)).EqualTo(1));
        Assert.That(queue.GetSnapshot().Delayed.Messages, Is.EqualTo(1));
    }

    [Test]
    public async Task NeverMoreHandlersRunThanTheConcurrencyAllows()
    {
        MessageQueue queue = await Declare();
        int running = 0, most = 0;
        var gate = new SemaphoreSlim(0);
        await using MessageConsumer consumer = queue.Consume(async (_, ct) =>
        {
            int now = Interlocked.Increment(ref running);
            InterlockedMax(ref most, now);
            await gate.WaitAsync(ct);
            Interlocked.Decrement(ref running);
        }, new ConsumeOptions { Concurrency = 3 });

        await Send(queue, [.. Enumerable.Range(0, 10).Select(i => $"{i}")]);
        await Idle(queue);
        Assert.That((running, queue.GetSnapshot().InFlight.Messages, queue.GetSnapshot().Ready.Messages), Is.EqualTo((3, 3, 7)));
        gate.Release(10);
        await Until(() => queue.GetSnapshot().Counts.Acked >= 10);

        Assert.That(most, Is.EqualTo(3));
        gate.Dispose();
    }

    [Test]
    public async Task OneHandlerAtATimeKeepsTheOrder()
    {
        MessageQueue queue = await Declare();
        var handled = new ConcurrentQueue<string>();
        string[] sent = [.. Enumerable.Range(0, 600).Select(i => $"{i}")];
        await using MessageConsumer consumer = queue.Consume(async (delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            if (handled.Count % 7 == 0)
                await Task.Yield();
        });

        await Send(queue, sent);
        await Until(() => queue.GetSnapshot().Counts.Acked >= sent.Length);

        Assert.That(handled, Is.EqualTo(sent));
    }

    [Test]
    public async Task ConsumersAreServedInTurnHoweverManyPlacesEachHas()
    {
        MessageQueue queue = await Declare();
        var perConsumer = new ConcurrentDictionary<string, int>();
        TaskCompletionSource finish = Signal();
        MessageConsumer Start(string name, int concurrency) => queue.Consume(async (_, _) =>
        {
            perConsumer.AddOrUpdate(name, 1, (_, count) => count + 1);
            await finish.Task;
        }, new ConsumeOptions { Concurrency = concurrency });
        await using MessageConsumer many = Start("many", 8), one = Start("one", 1), two = Start("two", 2);
        await Idle(queue);
        Assert.That(queue.GetSnapshot().WaitingReceivers, Is.EqualTo(11));

        await Send(queue, "a", "b", "c");
        await Idle(queue);
        Assert.That(perConsumer, Is.EquivalentTo(new Dictionary<string, int> { ["many"] = 1, ["one"] = 1, ["two"] = 1 }));

        await Send(queue, "d", "e", "f", "g");
        await Idle(queue);
        Assert.That(perConsumer, Is.EquivalentTo(new Dictionary<string, int> { ["many"] = 4, ["one"] = 1, ["two"] = 2 }), "one has no free place any more");
        finish.SetResult();
    }

    [Test]
    public async Task NothingWaitsBehindAHandlerThatHangs()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource finish = Signal();
        var handled = new ConcurrentQueue<string>();
        await using MessageConsumer consumer = queue.Consume(async (delivery, _) =>
        {
            if (Text(delivery) == "hangs")
                await finish.Task;
            handled.Enqueue(Text(delivery));
        }, new ConsumeOptions { Concurrency = 2 });

        await Send(queue, "hangs", "1", "2", "3", "4");
        await Idle(queue);

        Assert.That(handled, Is.EqualTo(["1", "2", "3", "4"]));
        finish.SetResult();
    }

    [Test]
    public async Task AStopTakesNoMoreMessagesAndWaitsForTheHandlersThatRun()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal(), finish = Signal();
        MessageConsumer consumer = queue.Consume(async (_, _) =>
        {
            started.TrySetResult();
            await finish.Task;
        });
        await Send(queue, "a", "b");
        await Soon(started.Task);

        Task stopping = consumer.StopAsync().AsTask();
        Task again = consumer.StopAsync().AsTask();
        Assert.That((consumer.State, stopping.IsCompleted), Is.EqualTo((ConsumerState.Stopping, false)));
        finish.SetResult();
        await Soon(Task.WhenAll(stopping, again));

        Assert.That((consumer.State, consumer.Completion.IsCompletedSuccessfully), Is.EqualTo((ConsumerState.Stopped, true)));
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
        Assert.That(queue.GetSnapshot().WaitingReceivers, Is.Zero);
        await Soon(consumer.DisposeAsync());
    }

    [Test]
    public async Task AStopThatRunsOutOfTimeCancelsTheHandlersAndReleasesWhatTheyHoldWithoutPenalty()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal(), cancelled = Signal(), finish = Signal();
        var late = new ConcurrentQueue<SettleResult>();
        MessageConsumer consumer = queue.Consume(async (delivery, ct) =>
        {
            using CancellationTokenRegistration _ = ct.Register(() => cancelled.TrySetResult());
            started.TrySetResult();
            await finish.Task;
            late.Enqueue(delivery.Ack());
        });
        await Send(queue, "a");
        await Soon(started.Task);
        using var deadline = new CancellationTokenSource();

        Task stopping = consumer.StopAsync(deadline.Token).AsTask();
        Assert.That(stopping.IsCompleted, Is.False);
        await deadline.CancelAsync();
        await Soon(stopping);

        await Soon(cancelled.Task);
        Delivery again = await Receive(queue);
        Assert.That((again.Attempt, again.IsRedelivered), Is.EqualTo((1, true)));
        finish.SetResult();
        await Until(() => !late.IsEmpty);
        Assert.That(late, Is.EqualTo([SettleResult.LeaseLost]));
        Assert.That(again.Ack(), Is.EqualTo(SettleResult.Settled));
    }

    [Test]
    public async Task AHandlerThatObeysTheCancellationOfItsStopBurnsNoAttempt()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal();
        MessageConsumer consumer = queue.Consume(async (_, ct) =>
        {
            started.TrySetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, Clock, ct);
        });
        await Send(queue, "a");
        await Soon(started.Task);

        await Soon(consumer.StopAsync(new CancellationToken(canceled: true)));

        await Idle(queue);
        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(1));
        Assert.That(queue.GetSnapshot().Counts.Nacked, Is.Zero);
    }

    [Test]
    public async Task DisposingAConsumerGivesItsHandlersTheDrainTimeout()
    {
        MessageQueue queue = await Declare();
        TaskCompletionSource started = Signal(), finish = Signal();
        MessageConsumer consumer = queue.Consume(async (_, _) =>
        {
            started.TrySetResult();
            await finish.Task;
        }, new ConsumeOptions { LeaseDuration = TimeSpan.FromMinutes(10) });
        await Send(queue, "a");
        await Soon(started.Task);

        Task disposing = consumer.DisposeAsync().AsTask();
        await Advance(queue, 30 * Second - Tick);
        Assert.That(disposing.IsCompleted, Is.False);
        await Advance(queue, Tick);

        await Soon(disposing);
        Assert.That((await Receive(queue)).Attempt, Is.EqualTo(1));
        finish.SetResult();
    }

    [Test]
    public async Task AHandlerMayStopItsOwnConsumer()
    {
        MessageQueue queue = await Declare();
        var handled = new ConcurrentQueue<string>();
        TaskCompletionSource<MessageConsumer> self = Signal<MessageConsumer>();
        TaskCompletionSource done = Signal();
        MessageConsumer consumer = queue.Consume(async (delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            MessageConsumer me = await self.Task;
            await me.StopAsync(CancellationToken.None);
            await me.DisposeAsync();
            done.SetResult();
        });
        self.SetResult(consumer);

        await Send(queue, "a", "b");
        await Soon(done.Task);
        await Soon(consumer.Completion);
        await Until(() => queue.GetSnapshot().Counts.Acked != 0);

        Assert.That(handled, Is.EqualTo(["a"]));
        Assert.That(await Drain(queue), Is.EqualTo(["b"]));
    }

    [Test]
    public async Task AConsumerWhoseQueueIsDeletedFaults()
    {
        MessageQueue queue = await Declare();
        MessageConsumer idle = queue.Consume((_, _) => default);
        TaskCompletionSource<CancellationToken> started = Signal<CancellationToken>();
        TaskCompletionSource finish = Signal();
        await Idle(queue);
        await idle.StopAsync();
        MessageConsumer busy = queue.Consume(async (_, ct) =>
        {
            started.TrySetResult(ct);
            await finish.Task;
        }, new ConsumeOptions { Concurrency = 2 });
        await Send(queue, "a");
        CancellationToken lost = await Soon(started.Task);

        Assert.That(await Soon(Broker.DeleteQueueAsync("orders")));
        finish.SetResult();

        Assert.That(async () => await Soon(busy.Completion), Throws.InstanceOf<QueueNotFoundException>().With.Message.Contains("deleted"));
        Assert.That((busy.State, idle.State), Is.EqualTo((ConsumerState.Faulted, ConsumerState.Stopped)));
        Assert.That(lost.IsCancellationRequested);
        await Soon(busy.StopAsync());
        await Soon(busy.DisposeAsync());
    }

    [Test]
    public async Task AnAtMostOnceConsumerLosesWhatItsHandlerFailsOn()
    {
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        var handled = new ConcurrentQueue<string>();
        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            throw new InvalidOperationException("too late");
        }, new ConsumeOptions { AtMostOnce = true });

        await Send(queue, "a", "b");
        await Idle(queue);

        Assert.That(handled, Is.EqualTo(["a", "b"]));
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
        Assert.That(queue.GetSnapshot().Counts, Has.Property(nameof(QueueCounts.Acked)).EqualTo(2).And.Property(nameof(QueueCounts.Nacked)).EqualTo(0));
    }

    [Test]
    public async Task EveryFailureOfAHandlerIsLogged()
    {
        using var log = new LogLines();
        await OpenAnew(options => options.LoggerFactory = log);
        MessageQueue queue = await Declare();
        await using (queue.Consume((_, _) => throw new InvalidOperationException("plain")))
        {
            await Send(queue, "a");
            await Idle(queue);
        }
        await using (queue.Consume((_, _) => throw new InvalidOperationException("at most once"), new ConsumeOptions { AtMostOnce = true }))
        {
            await Send(queue, "b");
            await Idle(queue);
        }
        await using (queue.Consume((delivery, _) =>
        {
            delivery.Ack();
            throw new InvalidOperationException("after the settle");
        }))
        {
            await Send(queue, "c");
            await Idle(queue);
        }

        Assert.That(log.Lines.Where(line => line.Contains("failed on message")).Select(line => line.Split('|')[1]), Is.EqualTo(["plain", "at most once", "after the settle"]));
    }

    [Test]
    public async Task DropsAreLoggedOncePerBurst()
    {
        using var log = new LogLines();
        await OpenAnew(options => options.LoggerFactory = log);
        MessageQueue queue = await DeclareFull(1, new QueueOptions { Overflow = OverflowPolicy.DropNewest });

        for (int burst = 0; burst < 2; burst++)
        {
            for (int i = 0; i < 20; i++)
            {
                await Soon(queue.SendAsync(Text("dropped")));
                Advance(Second);
            }
            Advance(Minute);
        }

        Assert.That(log.Lines.Count(line => line.Contains("drops messages")), Is.EqualTo(2));
        Assert.That(queue.GetSnapshot().Counts.DroppedNewest, Is.EqualTo(40));
    }

    [Test]
    public async Task AnAtMostOnceConsumerOutlivesARefusalOfTheStore()
    {
        OnlyWithAStore();
        MessageQueue queue = await Declare();
        await Send(queue, "a", "b");
        var handled = new ConcurrentQueue<string>();
        Store.RefuseCommits();

        await using MessageConsumer consumer = queue.Consume((delivery, _) =>
        {
            handled.Enqueue(Text(delivery));
            return default;
        }, new ConsumeOptions { AtMostOnce = true });
        await Idle(queue);
        await Advance(queue, Minute);

        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Running));
        Assert.That(handled, Is.EquivalentTo(["a", "b"]), "refused means that nothing was deleted");
        Assert.That(queue.GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task AHandlerThatNeverAwaitsDoesNotKeepTheOthersFromTheirTurn()
    {
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });
        int handled = 0;
        await Soon(queue.SendBatchAsync(Enumerable.Range(0, 2_000).Select(i => Text($"{i}")).ToArray()));

        await using MessageConsumer consumer = queue.Consume((_, _) =>
        {
            Interlocked.Increment(ref handled);
            return default;
        }, new ConsumeOptions { Concurrency = 4 });
        await Idle(queue);

        Assert.That(handled, Is.EqualTo(2_000));
    }

    [Test]
    public async Task StartingAndStoppingConsumersWhileMessagesFlowLosesNothingAndBurnsNoAttempt()
    {
        MessageQueue queue = await Declare();
        var handled = new ConcurrentDictionary<string, int>();
        string[] sent = [.. Enumerable.Range(0, 500).Select(i => $"{i}")];
        Task sending = Task.Run(() => Send(queue, sent));

        int attempts = 0;
        while (handled.Count < sent.Length)
        {
            MessageConsumer consumer = queue.Consume(async (delivery, _) =>
            {
                if (delivery.Attempt > 1)
                    Interlocked.Increment(ref attempts);
                if (delivery.Sequence % 3 == 0)
                    await Task.Yield();
                handled.AddOrUpdate(Text(delivery), 1, (_, count) => count + 1);
            }, new ConsumeOptions { Concurrency = 3 });
            await Task.Yield();
            await Soon(consumer.StopAsync());
            // A pause of the second release in a row, if it came to that.
            Advance(Second / 5);
        }
        await Soon(sending);

        Assert.That(handled.Values, Is.All.EqualTo(1));
        Assert.That(attempts, Is.Zero);
    }

    private sealed class LogLines : ILoggerFactory, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public void AddProvider(ILoggerProvider provider) { }

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{formatter(state, exception)}|{exception?.Message}");

        public void Dispose() { }
    }

    private static void InterlockedMax(ref int target, int value)
    {
        int seen = Volatile.Read(ref target);
        while (value > seen && Interlocked.CompareExchange(ref target, value, seen) is var now && now != seen)
            seen = now;
    }
}
