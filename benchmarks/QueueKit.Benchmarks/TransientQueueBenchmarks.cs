using BenchmarkDotNet.Attributes;

namespace QueueKit.Benchmarks;

/// <summary>The whole way of a message through a transient queue, with nobody else there: what is left is the work itself.</summary>
[MemoryDiagnoser]
public class TransientQueueBenchmarks
{
    private const int SendBatch = 64;
    private const int AckBatch = 16;

    private readonly Message _message = new(new byte[100]);
    private readonly Message[] _messages = [.. Enumerable.Repeat(new Message(new byte[100]), SendBatch)];
    private MessageBroker _broker = null!;
    private MessageQueue _queue = null!;
    private MessageReceiver _receiver = null!;

    /// <summary>Messages that lie in the queue all the time, behind which the others line up.</summary>
    [Params(0, 1_000_000)]
    public int Backlog { get; set; }

    [GlobalSetup]
    public async Task SetUp()
    {
        _broker = await MessageBroker.OpenAsync();
        _queue = await _broker.DeclareQueueAsync("benchmark", new QueueOptions { Durability = Durability.Transient, MaxMessages = null, MaxBytes = null });
        _receiver = _queue.OpenReceiver();
        for (int i = 0; i < Backlog; i++)
            await _queue.SendAsync(_message);
    }

    [GlobalCleanup]
    public async Task CleanUp()
    {
        await _receiver.DisposeAsync();
        await _broker.DisposeAsync();
    }

    [Benchmark(Baseline = true)]
    public async ValueTask<SettleResult> SendTryReceiveAck()
    {
        await _queue.SendAsync(_message);
        _receiver.TryReceive(out Delivery? delivery);
        return delivery!.Ack();
    }

    [Benchmark]
    public async ValueTask<SettleResult> SendReceiveAck()
    {
        await _queue.SendAsync(_message);
        Delivery delivery = await _queue.ReceiveAsync();
        return delivery.Ack();
    }

    [Benchmark]
    public async ValueTask<SettleResult> SendReceiveAckAsync()
    {
        await _queue.SendAsync(_message);
        Delivery delivery = await _queue.ReceiveAsync();
        return await delivery.AckAsync();
    }

    [Benchmark(OperationsPerInvoke = SendBatch)]
    public async ValueTask SendBatchReceiveBatchCommit()
    {
        await _queue.SendBatchAsync(_messages);
        for (int received = 0; received < SendBatch; received += AckBatch)
        {
            IReadOnlyList<Delivery> batch = await _queue.ReceiveBatchAsync(AckBatch, TimeSpan.Zero);
            await using BrokerTransaction transaction = _broker.BeginTransaction();
            for (int i = 0; i < batch.Count; i++)
                transaction.Settle(batch[i], Settlement.Ack);
            await transaction.CommitAsync();
        }
    }

    [Benchmark(OperationsPerInvoke = SendBatch)]
    public async ValueTask SendBatchTryReceiveAck()
    {
        await _queue.SendBatchAsync(_messages);
        for (int i = 0; i < SendBatch; i++)
        {
            _receiver.TryReceive(out Delivery? delivery);
            delivery!.Ack();
        }
    }

    [Benchmark]
    public async ValueTask<SettleResult> SendReceiveReleaseReceiveAck()
    {
        await _queue.SendAsync(_message);
        _receiver.TryReceive(out Delivery? first);
        first!.Release();
        _receiver.TryReceive(out Delivery? second);
        return second!.Ack();
    }
}
