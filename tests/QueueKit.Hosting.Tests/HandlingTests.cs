using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using QueueKit.Hosting.Consuming;

namespace QueueKit.Hosting.Tests;

public class HandlingTests : HostJourney
{
    private static readonly Order s_latte = new("latte", 2);

    [Test]
    public async Task AHandlerGetsTheValueAndItsReturnSettles()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Recorder>("orders"), services => services.AddSingleton<Record>());

        await Send(host, s_latte, new Order("mocha", 1));
        await Until(() => Consumer(host).Handled == 2);

        Assert.That(host.Services.GetRequiredService<Record>().Orders, Is.EqualTo([s_latte, new Order("mocha", 1)]));
        Assert.That((Consumer(host).Handled, Consumer(host).Failures, Consumer(host).State), Is.EqualTo((2L, 0L, ConsumerState.Running)));
    }

    [Test]
    public async Task EachMessageHasAScopeOfItsOwnThatEndsBeforeTheAck()
    {
        var scopes = new ConcurrentQueue<Scoped>();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, context, _) =>
        {
            scopes.Enqueue(context.Services.GetRequiredService<Scoped>());
            return default;
        }), services => services.AddScoped<Scoped>());

        await Send(host, s_latte, s_latte);
        await Until(() => Queue(host).GetSnapshot().Counts.Acked == 2);

        Assert.That(scopes.Distinct().Count(), Is.EqualTo(2));
        Assert.That(scopes.Select(scope => scope.IsDisposed), Is.All.True);
    }

    [Test]
    public async Task WhatAHandlerLeavesOnItsThreadIsGoneForTheNextMessage([Values] bool throws)
    {
        var left = new AsyncLocal<string?>();
        var found = new ConcurrentQueue<(string?, SynchronizationContext?)>();
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            // No async method, which would clean up by itself; and all of them are there before it is called first, so that it is called for one after the other.
            .MapQueue<Order>("orders", (order, _, _) =>
            {
                found.Enqueue((left.Value, SynchronizationContext.Current));
                left.Value = order.Product;
                SynchronizationContext.SetSynchronizationContext(new SynchronizationContext());
                return throws ? throw new FormatException("odd") : new ValueTask<Settlement>(Settlement.Ack);
            }));

        Queue(host).Pause(QueueFlow.Receiving);
        await Send(host, s_latte, s_latte, s_latte);
        Queue(host).Resume(QueueFlow.Receiving);
        await Until(() => found.Count == 3);

        Assert.That(found, Is.All.EqualTo(((string?)null, (SynchronizationContext?)null)));
    }

    [Test]
    public async Task AScopeThatClosesInItsOwnTimeIsClosedBeforeTheAck([Values] bool throws)
    {
        var closing = Signal();
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, context, _) =>
            {
                context.Services.GetRequiredService<SlowToClose>();
                return throws ? throw new FormatException("odd") : new ValueTask<Settlement>(Settlement.Ack);
            }), services => services.AddSingleton(closing).AddScoped<SlowToClose>());

        await Send(host, s_latte);
        await Until(() => Consumer(host).BusyPlaces == 1);
        Assert.That(Queue(host).GetSnapshot().InFlight.Messages, Is.EqualTo(1));
        closing.SetResult();

        await Until(() => Queue(host).GetSnapshot().Counts is { Acked: 1 } or { DeadLettered: 1 });
        Assert.That(Queue(host).GetSnapshot().Counts.Acked, Is.EqualTo(throws ? 0 : 1));
        await Until(() => Consumer(host).BusyPlaces == 0, "The place is free again");
    }

    [Test]
    public async Task AScopeThatCannotBeClosedIsAFailedAttempt()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, context, _) =>
            {
                context.Services.GetRequiredService<CannotBeClosed>();
                return new ValueTask<Settlement>(Settlement.Ack);
            }), services => services.AddScoped<CannotBeClosed>());

        await Send(host, s_latte);

        Assert.That((await DeadLetter(host)).DeadLetter!.LastError, Does.Contain("stuck"));
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task OutcomesAreValues()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (order, context, _) => new ValueTask<Settlement>(
            context.Attempt == 1 ? Settlement.Nack(Minute) : Settlement.Reject("no milk", order.Product))));

        await Send(host, s_latte);
        await Until(() => Queue(host).GetSnapshot().Delayed.Messages == 1);
        Clock.Advance(Minute);

        Delivery dead = await DeadLetter(host);
        Assert.That((dead.DeadLetter!.Description, dead.DeadLetter.Details, dead.DeadLetter.Attempts), Is.EqualTo(("no milk", "latte", 1)));
        await Until(() => Log.Has(111), "a line about the reject");
    }

    [Test]
    public async Task ExceptionsAreJudgedByTypeAndPredicate()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.RetryDelay = RetryDelay.None)
            .MapQueue<Order>("orders", async (order, _, _) =>
            {
                await Task.Yield();
                throw order.Pieces < 0 ? new ArgumentOutOfRangeException(nameof(order), "negative") : new ArgumentException("odd");
            }, options => options
                .On<ArgumentOutOfRangeException>(FailureOutcome.Reject("bad order"))
                .On<ArgumentException>(FailureOutcome.Retry(Minute), error => error.Message.StartsWith("odd", StringComparison.Ordinal))));

        await Send(host, new Order("tea", -1), s_latte);

        Delivery dead = await DeadLetter(host);
        Assert.That(dead.DeadLetter!.Description, Is.EqualTo("bad order"));
        Assert.That(dead.DeadLetter.Details, Does.Contain("ArgumentOutOfRangeException: negative"));
        await Until(() => Queue(host).GetSnapshot().Delayed.Messages == 1);
        Assert.That(Queue(host).GetSnapshot().Counts.Nacked, Is.EqualTo(1));
        Assert.That(Log.Has(110), Is.True);
    }

    [Test]
    public async Task ARuleThatThrowsIsAFailedAttemptAndKeepsBothErrors()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, _, _) => ValueTask.FromException(new FormatException("odd")), options => options
                .On<FormatException>(FailureOutcome.Reject("bad"), _ => throw new InvalidOperationException("rule"))));

        await Send(host, s_latte);

        Assert.That((await DeadLetter(host)).DeadLetter!.LastError, Does.Contain("odd").And.Contain("rule"));
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Running));
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task NeitherAnExceptionThatCannotBeReadNorALoggerThatThrowsEndsAConsumer(bool isRejected)
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, _, _) => ValueTask.FromException(new Unreadable()), options =>
            {
                if (isRejected)
                    options.On<Unreadable>(FailureOutcome.Reject("bad"));
            }), services => services.AddSingleton<ILoggerProvider>(new Reader()));

        await Send(host, s_latte);

        DeadLetterInfo letter = (await DeadLetter(host)).DeadLetter!;
        Assert.That(isRejected ? letter.Details : letter.LastError, Does.Contain("Unreadable: its message cannot be read"));
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task AnExceptionInAConstructorIsAFailedAttempt()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => (options.MaxAttempts, options.RetryDelay) = (2, RetryDelay.None))
            .AddHandler<Order, CannotBeMade>("orders"));

        await Send(host, s_latte);

        Delivery dead = await DeadLetter(host);
        Assert.That((dead.DeadLetter!.Attempts, dead.DeadLetter.LastError), Is.EqualTo((2, "System.InvalidOperationException: no oven")));
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Running));
    }

    [Test]
    public async Task TheDefaultSettlementIsAFailedAttempt()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, _, _) => default(ValueTask<Settlement>)));

        await Send(host, s_latte);

        Assert.That((await DeadLetter(host)).DeadLetter!.LastError, Does.Contain("default settlement, which says nothing"));
    }

    [Test]
    public async Task WhatCannotBeReadIsADeadLetterWithItsBytes()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Recorder>("orders"), services => services.AddSingleton<Record>());
        await Soon(Queue(host).SendAsync(new Message("no order"u8.ToArray())));
        await Send(host, s_latte);

        Delivery dead = await DeadLetter(host);

        Assert.That((Text(dead), dead.DeadLetter!.Description), Is.EqualTo(("no order", MessageFormat<Order>.UnreadableReason)));
        await Until(() => Queue(host).GetSnapshot().Counts.Acked == 1);
    }

    [Test]
    public async Task SeveralHandlersOfAQueueTakeWhatIsTheirs()
    {
        var parcels = new ConcurrentQueue<Parcel>();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").AddHandler<Order, Recorder>("orders").MapQueue<Parcel>("orders", (parcel, _, _) =>
        {
            parcels.Enqueue(parcel);
            return default(ValueTask);
        }), services => services.AddSingleton<Record>());

        await Send(host, s_latte);
        await Soon(Queue(host).AsSender(OrderJson.Default.Parcel).SendAsync(new Parcel("Main Street")));
        await Soon(Queue(host).SendAsync(new Message("?"u8.ToArray()) { Type = "invoice" }));

        Delivery dead = await DeadLetter(host);
        Assert.That(dead.DeadLetter!.Description, Is.EqualTo(HandlerTable.NoHandlerReason));
        Assert.That(dead.DeadLetter.Details, Does.Contain("type 'invoice'").And.Contain("QueueKit.Hosting.Tests.Order"));
        await Until(() => Queue(host).GetSnapshot().Counts.Acked == 2);
        Assert.That((host.Services.GetRequiredService<Record>().Orders.Single(), parcels.Single()), Is.EqualTo((s_latte, new Parcel("Main Street"))));
    }

    [Test]
    public async Task SendsOfAHandlerAreCommittedWithItsAckAndWithNothingElse()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("parcels")
            .AddQueue("orders", options => options.RetryDelay = RetryDelay.None)
            .MapQueue<Order>("orders", (order, context, _) =>
            {
                context.Send("parcels", new Parcel(order.Product), new SendOptions { CorrelationId = $"attempt {context.Attempt}" });
                return context.Attempt switch
                {
                    1 => throw new InvalidOperationException("after the send"),
                    2 => new ValueTask<Settlement>(Settlement.Nack()),
                    _ => new ValueTask<Settlement>(Settlement.Ack),
                };
            }));

        await Send(host, s_latte);
        Delivery<Parcel> parcel = await Soon(Queue(host, "parcels").AsReceiver(OrderJson.Default.Parcel).ReceiveAsync());
        parcel.Ack();

        Assert.That((parcel.Value, parcel.Untyped.Message.CorrelationId), Is.EqualTo((new Parcel("latte"), "attempt 3")));
        await Until(() => Queue(host).GetSnapshot().Messages == 0);
        Assert.That(Queue(host, "parcels").GetSnapshot().Counts.Accepted, Is.EqualTo(1));
    }

    [Test]
    public async Task ASendThatCannotBeCommittedIsAFailedAttempt()
    {
        IHost host = await Start(queueKit => queueKit
            .AddQueue("parcels", options => (options.MaxMessages, options.Overflow) = (1, OverflowPolicy.Reject))
            .AddQueue("orders", options => options.MaxAttempts = 1)
            .MapQueue<Order>("orders", (_, context, _) =>
            {
                for (int i = 0; i < 3; i++)
                    context.Send("parcels", new Parcel($"{i}"));
                return default(ValueTask);
            }));

        await Send(host, s_latte);

        Assert.That((await DeadLetter(host)).DeadLetter!.LastError, Does.Contain("MessageTooLargeException").Or.Contain("QueueFullException"));
        Assert.That(Queue(host, "parcels").GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task ALeaseIsRenewedWhileItsHandlerRunsAndItsLossCancelsTheHandler()
    {
        TaskCompletionSource started = Signal();
        TaskCompletionSource cancelled = Signal();
        IHost host = await Start(queueKit => queueKit
            .AddQueue("orders", options => (options.LeaseDuration, options.MaxLeaseDuration, options.RetryDelay) = (30 * Second, 10 * Minute, RetryDelay.Constant(10 * Minute)))
            .MapQueue<Order>("orders", async (_, _, ct) =>
            {
                started.TrySetResult();
                await using (ct.Register(cancelled.SetResult))
                    await cancelled.Task;
                ct.ThrowIfCancellationRequested();
            }));
        await Send(host, s_latte);
        await Soon(started.Task);

        for (int i = 0; i < 18; i++)
            Clock.Advance(30 * Second);
        Assert.That((cancelled.Task.IsCompleted, Queue(host).GetSnapshot().Counts.LeasesLost), Is.EqualTo((false, 0L)), "nine minutes on a lease of half a minute");

        await AdvanceUntil(() => cancelled.Task.IsCompleted, 10 * Second);
        Assert.That(Queue(host).GetSnapshot().Counts.LeasesLost, Is.EqualTo(1));
        await Until(() => Log.Has(112), "a line about the late settle");
    }

    [Test]
    public async Task AsManyHandlersRunAsTheConcurrencySays()
    {
        int running = 0;
        TaskCompletionSource all = Signal();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", async (_, _, _) =>
        {
            if (Interlocked.Increment(ref running) == 4)
                all.SetResult();
            await all.Task;
        }, options => options.Concurrency = 4));

        await Send(host, s_latte, s_latte, s_latte, s_latte);

        await Soon(all.Task);
        await Until(() => Queue(host).GetSnapshot().Counts.Acked == 4);
    }

    internal sealed class Record
    {
        public ConcurrentQueue<Order> Orders { get; } = new();
    }

    private sealed class Recorder(Record record) : IMessageHandler<Order>
    {
        public async ValueTask<Settlement> HandleAsync(Order message, MessageContext context, CancellationToken ct)
        {
            await Task.Yield();
            record.Orders.Enqueue(message);
            return Settlement.Ack;
        }
    }

    private sealed class CannotBeMade : IMessageHandler<Order>
    {
        public CannotBeMade() => throw new InvalidOperationException("no oven");

        public ValueTask<Settlement> HandleAsync(Order message, MessageContext context, CancellationToken ct) => default;
    }

    private sealed class Scoped : IAsyncDisposable
    {
        public bool IsDisposed { get; private set; }

        public ValueTask DisposeAsync()
        {
            IsDisposed = true;
            return default;
        }
    }

    private sealed class SlowToClose(TaskCompletionSource closing) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => new(closing.Task);
    }

    private sealed class CannotBeClosed : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => throw new InvalidOperationException("stuck");
    }

    private sealed class Unreadable : Exception
    {
        public override string Message => throw new InvalidOperationException("unreadable");
    }

    // As a logger does that writes the exception.
    private sealed class Reader : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => _ = exception?.Message;

        public bool IsEnabled(LogLevel logLevel) => true;

        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public void Dispose() { }
    }
}
