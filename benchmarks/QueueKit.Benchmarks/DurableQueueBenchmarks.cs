using BenchmarkDotNet.Attributes;
using QueueKit.Stores;

namespace QueueKit.Benchmarks;

/// <summary>The whole way of a message through the commit pipeline and the in-memory store, with one or several sends under way at a time.</summary>
[MemoryDiagnoser]
public class DurableQueueBenchmarks
{
    private readonly Message _message = new(new byte[100]);
    private MessageBroker _broker = null!;
    private MessageQueue _queue = null!;
    private Task<SendReceipt>[] _sends = [];

    [Params(1, 64)]
    public int Outstanding { get; set; }

    [GlobalSetup]
    public async Task SetUp()
    {
        _sends = new Task<SendReceipt>[Outstanding];
        _broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = new InMemoryMessageStore() });
        _queue = await _broker.DeclareQueueAsync("benchmark", new QueueOptions { Durability = Durability.Flushed, MaxMessages = null, MaxBytes = null });
    }

    [GlobalCleanup]
    public async Task CleanUp() => await _broker.DisposeAsync();

    /// <summary>Sends so many, awaits their receipts, then receives and acks them all.</summary>
    [Benchmark]
    public async Task SendReceiveAck()
    {
        for (int i = 0; i < _sends.Length; i++)
            _sends[i] = _queue.SendAsync(_message).AsTask();
        await Task.WhenAll(_sends);
        for (int i = 0; i < _sends.Length; i++)
        {
            Delivery delivery = await _queue.ReceiveAsync();
            delivery.Ack();
        }
    }
}
