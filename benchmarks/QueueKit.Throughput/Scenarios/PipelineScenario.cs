using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Confirmed sends through the commit pipeline and the in-memory store, beside the least that gathers and confirms: a <see cref="BareLoop"/>.</summary>
/// <remarks>Every task sends, awaits the receipt, and sends again. Nothing is received: the queue keeps all messages of a round, the loop none. Rounds are therefore
/// short enough to end before the collector has copied what is kept: with a million messages a round, half of the queue's time was the collector's pauses.</remarks>
internal static class PipelineScenario
{
    private static readonly byte[] s_body = new byte[100];

    public static IEnumerable<Comparison> Comparisons() => ((int[])[16, 256, 2048]).Select(tasks => new Comparison(
        "pipeline",
        $"{tasks} tasks",
        new Contender("a bare loop that gathers from a Channel<T> and completes pooled value-task sources", messages => LoopAsync(messages, tasks)),
        new Contender("SendAsync to a durable queue on an InMemoryMessageStore", messages => QueueAsync(messages, tasks)))
    {
        Multiple = tasks,
        RoundSeconds = 0.03,
        MaxMessages = 65_536,
        TargetRatio = 0.8,
    });

    private static async Task<Round> LoopAsync(long messages, int tasks)
    {
        var loop = new BareLoop();
        Task running = Task.Run(loop.RunAsync);
        Round round = await Round.MeasureAsync(messages, () => Task.WhenAll(Enumerable.Range(0, tasks).Select(_ => Task.Run(async () =>
        {
            for (long i = messages / tasks; i > 0; i--)
                await loop.SendAsync(new Message(s_body));
        }))));
        loop.Complete();
        await running;
        Round.Expect(messages, loop.Messages, "messages confirmed");
        return round with { MeanBatch = (double)loop.Messages / loop.Gathers };
    }

    private static async Task<Round> QueueAsync(long messages, int tasks)
    {
        var store = new CountingStoreProvider(new InMemoryMessageStore());
        await using MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });
        MessageQueue queue = await broker.DeclareQueueAsync("pipeline", new QueueOptions { Durability = Durability.Flushed, MaxMessages = null, MaxBytes = null });
        store.Reset();
        Round round = await Round.MeasureAsync(messages, () => Task.WhenAll(Enumerable.Range(0, tasks).Select(_ => Task.Run(async () =>
        {
            for (long i = messages / tasks; i > 0; i--)
                await queue.SendAsync(new Message(s_body));
        }))));
        Round.Expect(messages, store.Messages, "messages stored");
        return round with { MeanBatch = (double)store.Messages / store.Commits };
    }
}
