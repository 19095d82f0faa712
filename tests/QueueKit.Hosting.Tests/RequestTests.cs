using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

public class RequestTests : HostJourney
{
    [Test]
    public async Task ARequestGetsItsOwnReply()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Order>("orders", async (order, context, _) =>
        {
            await Task.Yield();
            if (context.WantsReply)
                context.Reply(new Parcel($"{order.Product} {order.Pieces}"));
        }, options => options.Concurrency = 4));
        IQueueRequester<Order> requester = host.Services.GetRequiredService<IQueueRequester<Order>>();

        Parcel[] replies = await Soon(Task.WhenAll(Enumerable.Range(1, 50).Select(i => requester.RequestAsync<Parcel>(new Order("latte", i)).AsTask())));

        Assert.That(replies.Select(reply => reply.Address), Is.EqualTo(Enumerable.Range(1, 50).Select(i => $"latte {i}")));
    }

    [Test]
    public async Task AReplyFindsItsWayAfterARestartOfTheResponder()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders"));
        Task<Parcel> reply = host.Services.GetRequiredService<IQueueRequester<Order>>().RequestAsync<Parcel>(new Order("latte", 1)).AsTask();
        TaskCompletionSource started = Signal();
        MessageConsumer responder = Queue(host).Consume(async (_, ct) =>
        {
            started.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, Clock, ct);
        });
        await Soon(started.Task);
        await Soon(responder.StopAsync(new CancellationToken(canceled: true)).AsTask());
        Assert.That(reply.IsCompleted, Is.False);

        await using MessageConsumer another = Queue(host).Consume(async (delivery, ct) => await Queue(host, delivery.Message.ReplyTo!)
            .AsSender(OrderJson.Default.Parcel).SendAsync(new Parcel("Main Street"), new SendOptions { CorrelationId = delivery.Message.CorrelationId }, ct));

        Assert.That(await Soon(reply), Is.EqualTo(new Parcel("Main Street")));
    }

    [Test]
    public async Task ARequestThatOutlivesItsProcessIsHandledAndItsReplyLeftOut()
    {
        IHost first = await Start(queueKit => queueKit.AddQueue<Order>("orders"));
        Task<Parcel> reply = first.Services.GetRequiredService<IQueueRequester<Order>>().RequestAsync<Parcel>(new Order("latte", 1)).AsTask();
        await Until(() => Queue(first).GetSnapshot().Messages == 1);
        await Soon(first.StopAsync());
        Assert.That(() => Soon(reply), Throws.TypeOf<ObjectDisposedException>());

        IHost second = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Order>("orders", (_, context, _) =>
        {
            context.Reply(new Parcel("nobody"));
            return default(ValueTask);
        }));

        await Until(() => Queue(second).GetSnapshot().Counts.Acked == 1);
        Assert.That(Log.Has(140), Is.True);
    }

    [Test]
    public async Task WithoutAReplyInTimeTheWaitEndsAndTheReplyThatComesLaterIsLeftOut()
    {
        TaskCompletionSource finish = Signal();
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Order>("orders", async (_, context, _) =>
        {
            await finish.Task;
            context.Reply(new Parcel("late"));
        }));
        Task<Parcel> reply = host.Services.GetRequiredService<IQueueRequester<Order>>().RequestAsync<Parcel>(new Order("latte", 1), 5 * Second).AsTask();
        await Until(() => Queue(host).GetSnapshot().InFlight.Messages == 1);

        Clock.Advance(5 * Second);

        Assert.That(() => Soon(reply), Throws.TypeOf<TimeoutException>().With.Message.Contains("within 00:00:05"));
        finish.SetResult();
        await Until(() => Log.Has(140));
    }

    [Test]
    public async Task AReplyThatCannotBeReadSaysSo()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Order>("orders", (order, context, _) =>
        {
            context.Reply(order);
            return default(ValueTask);
        }));

        Task<Parcel> reply = host.Services.GetRequiredService<IQueueRequester<Order>>().RequestAsync<Parcel>(new Order("latte", 1)).AsTask();

        Assert.That(() => Soon(reply), Throws.TypeOf<QueueKitException>().With.Message.Contains("cannot be read"));
    }

    [Test]
    public async Task ARequestThatIsRejectedHearsWhyAtOnce()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Order>("orders", (_, _, _) => new ValueTask<Settlement>(Settlement.Reject("no milk", "the cow is ill"))));

        await Hears(host, "no milk", "the cow is ill", "The request was given up by queue 'orders': no milk. the cow is ill");
        Assert.That((await DeadLetter(host)).DeadLetter!.Description, Is.EqualTo("no milk"));
    }

    [Test]
    public async Task ARequestThatARuleRejectsHearsWhy()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders")
            .MapQueue<Order>("orders", (_, _, _) => ValueTask.FromException(new FormatException("latte?")), options => options.On<FormatException>(FailureOutcome.Reject("bad order"))));

        await Hears(host, "bad order", "System.FormatException: latte?");
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task OfFailuresOnlyTheLastIsHeard(bool throws)
    {
        int attempts = 0;
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders", options => (options.MaxAttempts, options.RetryDelay) = (3, RetryDelay.None)).MapQueue<Order>("orders", (_, _, _) =>
        {
            attempts++;
            var error = new FormatException($"attempt {attempts}");
            return throws ? throw error : new ValueTask<Settlement>(Settlement.Nack(error: error));
        }));

        await Hears(host, "attempts exhausted", "System.FormatException: attempt 3");
        Assert.That(attempts, Is.EqualTo(3));
    }

    [Test]
    public async Task AFailureThatIsTriedAgainMayStillBringAReply()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders", options => options.RetryDelay = RetryDelay.None).MapQueue<Order>("orders", (order, context, _) =>
        {
            if (context.Attempt < 3)
                throw new FormatException();
            context.Reply(new Parcel(order.Product));
            return default(ValueTask);
        }));

        Assert.That(await Soon(Request(host)), Is.EqualTo(new Parcel("latte")));
    }

    [Test]
    public async Task ARequestThatNobodyCanReadHearsSo()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Parcel>("orders", (_, _, _) => default(ValueTask)));

        await Hears(host, "unreadable");
    }

    [Test]
    public async Task ARequestThatNobodyHandlesHearsSo()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").MapQueue<Parcel>("orders", (_, _, _) => default(ValueTask)).MapQueue<string>("orders", (_, _, _) => default(ValueTask))
            .AddMessage(new MessageFormat<string>(OrderJson.Default.String)));

        await Hears(host, "no handler");
    }

    [Test]
    public async Task ARequestThatABatchHandlerRejectsHearsWhy()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders").AddBatchHandler<Order, Refusing>("orders"));

        await Hears(host, "too many");
    }

    [Test]
    public async Task ATimeoutThatCannotBeWaitedForIsRefused([Values(0, -1, long.MaxValue)] long ticks)
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders"));
        IQueueRequester<Order> requester = host.Services.GetRequiredService<IQueueRequester<Order>>();

        Assert.That(() => Soon(requester.RequestAsync<Parcel>(new Order("latte", 1), TimeSpan.FromTicks(ticks))), Throws.TypeOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("timeout"));
        Assert.That(Queue(host).GetSnapshot().Messages, Is.Zero);
    }

    [Test]
    public async Task ARequestThatTheQueueDropsHearsSo()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue<Order>("orders", options => (options.MaxMessages, options.Overflow) = (1, OverflowPolicy.DropNewest)));
        await Send(host, new Order("latte", 1));

        Assert.That(() => Soon(Request(host)), Throws.TypeOf<QueueFullException>().With.Message.Contains("dropped the request"));
    }

    [Test]
    public async Task AMessageThatAsksForNoReplyGetsNone()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders", options => options.MaxAttempts = 1).MapQueue<Order>("orders", (order, context, _) =>
        {
            context.Reply(order);
            return default(ValueTask);
        }));

        await Send(host, new Order("latte", 1));

        Assert.That((await DeadLetter(host)).DeadLetter!.LastError, Does.Contain("asks for no reply"));
    }

    private static Task<Parcel> Request(IHost host) => host.Services.GetRequiredService<IQueueRequester<Order>>().RequestAsync<Parcel>(new Order("latte", 1)).AsTask();

    private static async Task Hears(IHost host, string reason, string? details = null, string? message = null)
    {
        RequestRejectedException error = (await Assert.ThrowsAsync<RequestRejectedException>(() => Soon(Request(host))))!;
        Assert.That((error.QueueName, error.Reason), Is.EqualTo(("orders", reason)));
        Assert.That(error.Details, details is null ? Is.Null.Or.Not.Empty : Is.EqualTo(details));
        Assert.That(error.Message, Does.Contain(message ?? reason));
    }

    private sealed class Refusing : IBatchHandler<Order>
    {
        public ValueTask HandleAsync(MessageBatch<Order> batch, CancellationToken ct)
        {
            foreach (BatchItem<Order> item in batch)
                item.Outcome = Settlement.Reject("too many");
            return default;
        }
    }
}
