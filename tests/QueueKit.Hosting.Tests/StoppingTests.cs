using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Tests;

public class StoppingTests : HostJourney
{
    private static readonly Order s_latte = new("latte", 2);

    [Test]
    public async Task AStopWaitsForStartedHandlersAndChargesNothing()
    {
        TaskCompletionSource started = Signal();
        TaskCompletionSource finish = Signal();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", async (_, _, _) =>
        {
            started.TrySetResult();
            await finish.Task;
        }));
        await Send(host, s_latte, s_latte, s_latte);
        await Soon(started.Task);
        MessageQueue queue = Queue(host);

        Task stop = host.StopAsync();
        await Until(() => Consumer(host).State == ConsumerState.Stopping);
        Assert.That(stop.IsCompleted, Is.False);
        finish.SetResult();
        await Soon(stop);

        QueueSnapshot end = queue.GetSnapshot();
        Assert.That((end.Counts.Acked, end.Messages, end.Counts.Nacked, end.Counts.LeasesLost), Is.EqualTo((1L, 2L, 0L, 0L)));
        IHost again = await Start(queueKit => queueKit.AddQueue("orders"));
        foreach (Delivery delivery in await Soon(Queue(again).ReceiveBatchAsync(10, TimeSpan.Zero)))
        {
            Assert.That(delivery.Attempt, Is.EqualTo(1));
            delivery.Release();
        }
    }

    [Test]
    public async Task AHandlerThatNeverReturnsIsLeftAtTheDeadlineAndItsMessageReleased()
    {
        TaskCompletionSource started = Signal();
        var token = new TaskCompletionSource<CancellationToken>();
        IHost host = await Start(queueKit => queueKit
            .Configure(options => options.DrainTimeout = Minute)
            .AddQueue("orders").MapQueue<Order>("orders", async (_, _, ct) =>
            {
                token.TrySetResult(ct);
                started.TrySetResult();
                await new TaskCompletionSource().Task;
            }));
        await Send(host, s_latte);
        await Soon(started.Task);

        Task stop = host.StopAsync();
        await AdvanceUntil(() => stop.IsCompleted, Second);
        await Soon(stop);

        await Until(() => token.Task.Result.IsCancellationRequested);
        Assert.That(Log.Has(103), Is.True);
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Stopped));
        IHost again = await Start(queueKit => queueKit.AddQueue("orders"));
        Delivery delivery = await Soon(Queue(again).ReceiveAsync());
        Assert.That(delivery.Attempt, Is.EqualTo(1), "nothing was charged");
        delivery.Release();
    }

    [Test]
    public async Task AHandlerThatBlocksItsThreadAndACallbackThatBlocksCannotHoldUpAStop()
    {
        using var blocked = new ManualResetEventSlim();
        TaskCompletionSource started = Signal();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, _, ct) =>
        {
            ct.Register(() => blocked.Wait(TimeSpan.FromSeconds(60)));
            started.TrySetResult();
            blocked.Wait(TimeSpan.FromSeconds(60), CancellationToken.None);
            return default(ValueTask);
        }));
        await Send(host, s_latte);
        await Soon(started.Task);
        using var deadline = new CancellationTokenSource();

        Task stop = host.StopAsync(deadline.Token);
        await Until(() => Consumer(host).State == ConsumerState.Stopping);
        await deadline.CancelAsync();
        Exception? ended = null;
        try
        {
            await Soon(stop);
        }
        catch (OperationCanceledException error)
        {
            // The host says that its own deadline has passed.
            ended = error;
        }
        finally
        {
            blocked.Set();
        }

        Assert.That(ended, Is.Null.Or.InstanceOf<OperationCanceledException>());
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Stopped));
    }

    [Test]
    public async Task AConsumerWhoseQueueIsDeletedSaysSo()
    {
        TaskCompletionSource told = Signal();
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, _, _) => default(ValueTask), options => options.Concurrency = 3));
        HostedConsumer consumer = Consumer(host);
        consumer.Stopped += (_, _) => told.SetResult();

        await Soon(host.Services.GetRequiredService<MessageBroker>().DeleteQueueAsync("orders"));

        await Soon(told.Task);
        Assert.That(consumer.State, Is.EqualTo(ConsumerState.Faulted));
        Assert.That(() => consumer.Completion, Throws.TypeOf<QueueNotFoundException>());
        Assert.That(Log.Has(102), Is.True);
    }

    [Test]
    public async Task AConsumerWhoseStoreStopsSaysSo()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, _, _) => default(ValueTask)));
        HostedConsumer consumer = Consumer(host);
        await Until(() => Queue(host).GetSnapshot().WaitingReceivers == 1);

        Store.FailNextCommit(written: false);
        Assert.That(() => Send(host, s_latte), Throws.TypeOf<StoreException>());

        await Until(() => consumer.State == ConsumerState.Faulted);
        Assert.That(() => consumer.Completion, Throws.TypeOf<StoreException>());
    }

    [Test]
    public async Task WhoeverIsToldAndThrowsDoesNotKeepTheConsumerFromEnding()
    {
        IHost host = await Start(queueKit => queueKit.AddQueue("orders").MapQueue<Order>("orders", (_, _, _) => default(ValueTask)));
        Consumer(host).Stopped += (_, _) => throw new InvalidOperationException("told");

        await Soon(host.StopAsync());

        await Until(() => Log.Has(104), "a line about what threw");
        Assert.That(Consumer(host).State, Is.EqualTo(ConsumerState.Stopped));
    }
}
