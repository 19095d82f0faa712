using System.Threading.Channels;

namespace QueueKit.Throughput.Scenarios;

/// <summary>A transient queue beside a bounded channel: what leases, individual acks and the overflow gate cost.</summary>
/// <remarks>
/// Both hold at most 1,024 messages and carry a fresh <see cref="Message"/> each time. "async" awaits every send and enumerates; "try" goes on
/// without awaiting as long as it can; "batch" sends 64 and acks 16 at a time, beside the channel that carries one at a time.
/// </remarks>
internal static class MemoryScenario
{
    // Two threads that share a lock fall into one rhythm or another for a while, and the rates of the rhythms differ by half:
    // with rounds of 350 ms a channel beside itself came to 0.85 to 1.13, with 30 ms and ten times as many pairs to 0.97 to 1.02.
    public const double RoundSeconds = 0.03;
    private const int Capacity = 1_024;
    public const int SendBatch = 64;
    private const int AckBatch = 16;

    private static readonly byte[] s_body = new byte[100];

    // An empty body tells one consumer to stop.
    private static readonly Message s_stop = new(ReadOnlyMemory<byte>.Empty);

    /// <summary>The forms in which producers and consumers work.</summary>
    public static IReadOnlyList<string> Forms { get; } = ["async", "try", "batch"];

    /// <summary>Carries messages over a queue, in one of the <see cref="Forms"/>.</summary>
    public static Task<Round> RunQueueAsync(string form, long messages, int parties, bool hasTelemetry) => form switch
    {
        "async" => QueueAsync(messages, parties, SendAsync, ReceiveAllAsync, hasTelemetry),
        "try" => QueueAsync(messages, parties, TrySendAsync, TryReceiveAsync, hasTelemetry),
        _ => QueueAsync(messages, parties, SendBatchAsync, ReceiveBatchAsync, hasTelemetry),
    };

    public static IEnumerable<Comparison> Comparisons()
    {
        int[] parties = [1, 2, 4];
        var awaitedChannel = (int n) => new Contender("Channel<Message> of 1,024 with WriteAsync and await foreach", messages => ChannelAsync(messages, n, WriteAsync, ReadAllAsync));
        var triedChannel = (int n) => new Contender("Channel<Message> of 1,024 with TryWrite and TryRead", messages => ChannelAsync(messages, n, TryWriteAsync, TryReadAsync));

        foreach (int n in parties)
            yield return Compare("async", n, awaitedChannel(n), new Contender("SendAsync and await foreach over ReceiveAllAsync, Ack", messages => QueueAsync(messages, n, SendAsync, ReceiveAllAsync)), 0.7);
        foreach (int n in parties)
            yield return Compare("try", n, triedChannel(n), new Contender("SendAsync, awaited if not completed, and TryReceive, Ack", messages => QueueAsync(messages, n, TrySendAsync, TryReceiveAsync)), 0.7);
        foreach (int n in parties)
            yield return Compare("batch", n, awaitedChannel(n), new Contender("SendBatchAsync of 64 and transactions that ack 16", messages => QueueAsync(messages, n, SendBatchAsync, ReceiveBatchAsync)), 1.5);
    }

    private static Comparison Compare(string form, int parties, Contender reference, Contender queue, double target) =>
        new("memory", $"{form} {parties}x{parties}", reference, queue)
        {
            Multiple = parties * SendBatch,
            RoundSeconds = RoundSeconds,
            TargetRatio = target,
            TargetBytes = 120,
        };

    private static Task<Round> ChannelAsync(
        long messages, int parties, Func<ChannelWriter<Message>, long, Task> produce, Func<ChannelReader<Message>, Task<long>> consume)
    {
        Channel<Message> channel = Channel.CreateBounded<Message>(Capacity);
        return FlowAsync(messages, parties, share => produce(channel.Writer, share), () => consume(channel.Reader), () => channel.Writer.WriteAsync(s_stop).AsTask());
    }

    private static async Task<Round> QueueAsync(
        long messages, int parties, Func<MessageQueue, long, Task> produce, Func<MessageBroker, MessageQueue, Task<long>> consume, bool hasTelemetry = true)
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { HasTelemetry = hasTelemetry });
        MessageQueue queue = await broker.DeclareQueueAsync("memory", new QueueOptions { Durability = Durability.Transient, MaxMessages = Capacity, MaxBytes = null });
        Round round = await FlowAsync(messages, parties, share => produce(queue, share), () => consume(broker, queue), () => queue.SendAsync(s_stop).AsTask());
        QueueSnapshot snapshot = queue.GetSnapshot();
        Round.Expect(0, snapshot.Messages, "messages left");
        Round.Expect(messages + parties, snapshot.Counts.Acked, "messages acked");
        return round;
    }

    /// <summary>One thread that sends a message, takes it and acks it, and then the next: what an operation costs where nobody competes.</summary>
    public static async Task<Round> RunAloneAsync(long messages, bool hasTelemetry)
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { HasTelemetry = hasTelemetry });
        MessageQueue queue = await broker.DeclareQueueAsync("memory", new QueueOptions { Durability = Durability.Transient, MaxMessages = Capacity, MaxBytes = null });
        await using MessageReceiver receiver = queue.OpenReceiver();
        long acked = 0;
        Round round = await Round.MeasureAsync(messages, async () =>
        {
            for (long i = 0; i < messages; i++)
            {
                await queue.SendAsync(new Message(s_body));
                if (receiver.TryReceive(out Delivery? delivery) && delivery.Ack() == SettleResult.Settled)
                    acked++;
            }
        });
        Round.Expect(messages, acked, "messages acked");
        return round;
    }

    private static Task<Round> FlowAsync(long messages, int parties, Func<long, Task> produce, Func<Task<long>> consume, Func<Task> stopOne) =>
        Round.MeasureAsync(messages, async () =>
        {
            List<Task<long>> consumers = [.. Enumerable.Range(0, parties).Select(_ => Task.Run(consume))];
            Task producing = Task.WhenAll(Enumerable.Range(0, parties).Select(_ => Task.Run(() => produce(messages / parties))));
            if (await Task.WhenAny([producing, .. consumers]) is Task<long> early)
                throw new InvalidOperationException($"A consumer ended after {await early} messages, before the producers.");
            await producing;

            // One after the other: a consumer that takes several messages at once must not take the stop of another one.
            long received = 0;
            while (consumers.Count > 0)
            {
                await stopOne();
                Task<long> ended = await Task.WhenAny(consumers);
                consumers.Remove(ended);
                received += await ended;
            }
            Round.Expect(messages, received, "messages received");
        });

    private static async Task WriteAsync(ChannelWriter<Message> writer, long count)
    {
        for (long i = 0; i < count; i++)
            await writer.WriteAsync(new Message(s_body));
    }

    private static async Task<long> ReadAllAsync(ChannelReader<Message> reader)
    {
        long received = 0;
        await foreach (Message message in reader.ReadAllAsync())
        {
            if (message.Body.IsEmpty)
                break;
            received++;
        }
        return received;
    }

    private static async Task SendAsync(MessageQueue queue, long count)
    {
        for (long i = 0; i < count; i++)
            await queue.SendAsync(new Message(s_body));
    }

    private static async Task<long> ReceiveAllAsync(MessageBroker broker, MessageQueue queue)
    {
        long received = 0;
        await foreach (Delivery delivery in queue.ReceiveAllAsync())
        {
            bool stop = delivery.Message.Body.IsEmpty;
            delivery.Ack();
            if (stop)
                break;
            received++;
        }
        return received;
    }

    private static async Task TryWriteAsync(ChannelWriter<Message> writer, long count)
    {
        for (long i = 0; i < count; i++)
        {
            var message = new Message(s_body);
            while (!writer.TryWrite(message))
                await writer.WaitToWriteAsync();
        }
    }

    private static async Task<long> TryReadAsync(ChannelReader<Message> reader)
    {
        long received = 0;
        while (await reader.WaitToReadAsync())
        {
            while (reader.TryRead(out Message? message))
            {
                if (message.Body.IsEmpty)
                    return received;
                received++;
            }
        }
        return received;
    }

    private static async Task TrySendAsync(MessageQueue queue, long count)
    {
        for (long i = 0; i < count; i++)
        {
            ValueTask<SendReceipt> send = queue.SendAsync(new Message(s_body));
            if (send.IsCompletedSuccessfully)
                _ = send.Result;
            else
                await send;
        }
    }

    private static async Task<long> TryReceiveAsync(MessageBroker broker, MessageQueue queue)
    {
        long received = 0;
        await using MessageReceiver receiver = queue.OpenReceiver();
        while (await receiver.WaitToReceiveAsync())
        {
            while (receiver.TryReceive(out Delivery? delivery))
            {
                bool stop = delivery.Message.Body.IsEmpty;
                delivery.Ack();
                if (stop)
                    return received;
                received++;
            }
        }
        return received;
    }

    private static async Task SendBatchAsync(MessageQueue queue, long count)
    {
        var batch = new Message[SendBatch];
        for (long i = 0; i < count; i += SendBatch)
        {
            for (int j = 0; j < batch.Length; j++)
                batch[j] = new Message(s_body);
            await queue.SendBatchAsync(batch);
        }
    }

    private static async Task<long> ReceiveBatchAsync(MessageBroker broker, MessageQueue queue)
    {
        long received = 0;
        for (bool stop = false; !stop;)
        {
            IReadOnlyList<Delivery> batch = await queue.ReceiveBatchAsync(AckBatch, TimeSpan.FromSeconds(10));
            await using BrokerTransaction transaction = broker.BeginTransaction();
            for (int i = 0; i < batch.Count; i++)
            {
                if (batch[i].Message.Body.IsEmpty)
                    stop = true;
                else
                    received++;
            }
            transaction.Settle(batch, Settlement.Ack);
            await transaction.CommitAsync();
        }
        return received;
    }
}
