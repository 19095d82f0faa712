using QueueKit;

namespace Overflow;

/// <summary>A producer that sends a burst every moment, and consumers that cannot keep up: each does one message in such a moment.</summary>
internal sealed record Overload(int Messages, int BodyBytes, int Burst, int Consumers, TimeSpan Moment)
{
    /// <summary>Runs it on a queue of its own, until everything that was accepted is consumed or dropped.</summary>
    /// <param name="options">Of the queue.</param>
    /// <param name="store">The file of a durable store; null for a transient queue.</param>
    public async Task<OverloadResult> RunAsync(QueueOptions options, string? store)
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync(store is null ? null : new MessageBrokerOptions().UseLiteDB(store));
        MessageQueue queue = await broker.DeclareQueueAsync("work", options);
        await using MessageConsumer consumer = queue.Consume(
            async (_, ct) => await Task.Delay(Moment, ct),
            new ConsumeOptions { Concurrency = Consumers });

        var message = new Message(new byte[BodyBytes]);
        int sent = 0;
        long peakBytes = 0;
        while (sent < Messages)
        {
            await Task.WhenAll(Enumerable.Range(0, Burst).Select(_ => SendAsync(queue, message)));
            sent += Burst;
            QueueSnapshot snapshot = queue.GetSnapshot();
            peakBytes = Math.Max(peakBytes, snapshot.Bytes - snapshot.Paged.Bytes);
            await Task.Delay(Moment);
        }

        while (queue.GetSnapshot().Messages > 0)
            await Task.Delay(Moment);
        return new OverloadResult(sent, peakBytes, queue.GetSnapshot());
    }

    private static async Task SendAsync(MessageQueue queue, Message message)
    {
        try
        {
            await queue.SendAsync(message);
        }
        catch (QueueFullException)
        {
            // Reject: this sender goes on without the message, and the queue has counted it.
        }
    }
}

/// <summary>What an overload did to a queue.</summary>
/// <param name="Sent">The messages that the producer tried to send.</param>
/// <param name="PeakBytes">The most bytes of messages in memory that a snapshot showed after a send.</param>
/// <param name="End">The queue when all was over.</param>
internal sealed record OverloadResult(int Sent, long PeakBytes, QueueSnapshot End);
