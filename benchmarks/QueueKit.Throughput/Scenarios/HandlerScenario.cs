using System.Collections.Concurrent;
using QueueKit.Throughput.Scenarios.Handlers;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Typed handlers: a JSON body, a handler class from a scope of its own for each message, on a transient queue; beside a bare receive loop on such a queue, and beside the in-memory transports of three frameworks that do the same.</summary>
/// <remarks>
/// Beside the loop there is one sender and one place, as the loop has one reader. Both sides send the same values through the same kind of sender, so that they differ in what becomes of a message that has arrived;
/// the loop beside which nothing is written as JSON, nor read, shows what all of it costs together. Beside the frameworks there are 16 senders and as many handlers at once as processors, for each of them, and no queue has a limit, as theirs have none.
/// All hosts are started once and live as long as the program: it is their messages that are timed, not the code that a container and a serializer generate.
/// </remarks>
internal static class HandlerScenario
{
    private const int Senders = 16;
    private const int Capacity = 1_024;

    private static readonly ConcurrentDictionary<(int Capacity, int Concurrency), Task<QueueKitHost>> s_hosts = new();

    public static IEnumerable<Comparison> Comparisons()
    {
        foreach ((string variant, string what, double? target, Func<MessageQueue, Func<ValueTask<SendReceipt>>> sender) in ((string, string, double?, Func<MessageQueue, Func<ValueTask<SendReceipt>>>)[])
        [
            ("beside a bare loop", "a value", null, ValueSender),
            ("beside a loop of bytes", "bytes", 0.25, BytesSender),
        ])
        {
            yield return new Comparison("handlers", variant,
                new Contender($"SendAsync of {what}, and TryReceive and Ack, awaited where they have to wait", messages => LoopAsync(messages, sender)),
                new Contender("SendAsync of a value, and a handler from its scope, on QueueKit.Hosting", messages => TypedAsync(messages, Capacity, senders: 1, concurrency: 1)))
            {
                Multiple = 1,
                RoundSeconds = 0.5,
                TargetRatio = target,
            };
        }
        foreach ((string name, IFramework framework) in ((string, IFramework)[])[("MassTransit", new MassTransitFramework()), ("Rebus", new RebusFramework()), ("Wolverine", new WolverineFramework())])
        {
            yield return new Comparison("handlers", $"beside {name}",
                new Contender($"{name} on its in-memory transport", messages => FrameworkAsync(framework, messages)),
                new Contender("SendAsync of a value, and a handler from its scope, on QueueKit.Hosting", messages => TypedAsync(messages, capacity: null, Senders, Environment.ProcessorCount)))
            {
                Multiple = Senders,
                RoundSeconds = 1,
                TargetRatio = 20,
            };
        }
    }

    private static Func<ValueTask<SendReceipt>> ValueSender(MessageQueue queue)
    {
        IQueueSender<Work> sender = queue.AsSender(WorkJson.Default.Work);
        return () => sender.SendAsync(Work.Example);
    }

    private static Func<ValueTask<SendReceipt>> BytesSender(MessageQueue queue)
    {
        byte[] body = new MessageFormat<Work>(WorkJson.Default.Work).Write(Work.Example).Body.ToArray();
        return () => queue.SendAsync(new Message(body));
    }

    private static async Task<Round> LoopAsync(long messages, Func<MessageQueue, Func<ValueTask<SendReceipt>>> sender)
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync();
        MessageQueue queue = await broker.DeclareQueueAsync("work", new QueueOptions { MaxMessages = Capacity, MaxBytes = null });
        Func<ValueTask<SendReceipt>> send = sender(queue);
        return await Round.MeasureAsync(messages, async () =>
        {
            Task<long> receiving = Task.Run(() => ReceiveAsync(queue, messages));
            await Task.Run(async () =>
            {
                for (long i = 0; i < messages; i++)
                    await send();
            });
            Round.Expect(messages, await receiving, "messages received");
        });
    }

    private static async Task<long> ReceiveAsync(MessageQueue queue, long messages)
    {
        long received = 0;
        await using MessageReceiver receiver = queue.OpenReceiver();
        while (received < messages && await receiver.WaitToReceiveAsync())
        {
            while (receiver.TryReceive(out Delivery? delivery))
            {
                delivery.Ack();
                received++;
            }
        }
        return received;
    }

    private static async Task<Round> TypedAsync(long messages, int? capacity, int senders, int concurrency)
    {
        QueueKitHost host = await s_hosts.GetOrAdd((capacity ?? 0, concurrency), _ => QueueKitHost.StartAsync(capacity, concurrency));
        Round round = await MeasureAsync(messages, senders, work => host.Sender.SendAsync(work).AsTaskIfPending());
        Round.Expect(0, host.Queue.GetSnapshot().Counts.Nacked, "messages nacked");
        return round;
    }

    private static async Task<Round> FrameworkAsync(IFramework framework, long messages)
    {
        Func<Work, Task> send = await framework.StartAsync(Environment.ProcessorCount);
        return await MeasureAsync(messages, Senders, send);
    }

    private static Task<Round> MeasureAsync(long messages, int senders, Func<Work, Task> send) => Round.MeasureAsync(messages, async () =>
    {
        Task done = Handled.Expect(messages);
        await Task.WhenAll(Enumerable.Range(0, senders).Select(_ => Task.Run(async () =>
        {
            for (long i = messages / senders; i > 0; i--)
                await send(Work.Example);
        })));
        await done;
    });

    private static Task AsTaskIfPending(this ValueTask<SendReceipt> send) => send.IsCompletedSuccessfully ? Task.CompletedTask : send.AsTask();
}
