using BenchmarkDotNet.Attributes;
using QueueKit.Stores;

namespace QueueKit.Benchmarks;

/// <summary>A commit that puts a batch and one that deletes it, in the order in which a queue does it. Per commit, not per message: divide by the batch.</summary>
[MemoryDiagnoser]
public class InMemoryStoreBenchmarks
{
    private static readonly ReadOnlyMemory<byte> s_head = new byte[14];
    private static readonly ReadOnlyMemory<byte> s_body = new byte[100];

    private readonly StoreBatch _batch = new();
    private IMessageStore _store = null!;
    private long _sequence;

    [Params(1, 16, 256, 4096)]
    public int Batch { get; set; }

    [GlobalSetup]
    public async Task SetUp() => _store = await ((IMessageStoreProvider)new InMemoryMessageStore()).OpenAsync();

    [GlobalCleanup]
    public async Task CleanUp() => await _store.DisposeAsync();

    [Benchmark]
    public void PutThenDelete()
    {
        for (int i = 0; i < Batch; i++)
            _batch.Put(KeyOf(_sequence + i), s_head, s_body);
        _store.Commit(_batch, FlushLevel.Flushed);
        _batch.Clear();
        for (int i = 0; i < Batch; i++)
            _batch.Delete(KeyOf(_sequence + i));
        _store.Commit(_batch, FlushLevel.Flushed);
        _batch.Clear();
        _sequence += Batch;
    }

    private static StoreKey KeyOf(long sequence) => new(StoreKind.Message, 1, 0, 0, 0, sequence);
}
