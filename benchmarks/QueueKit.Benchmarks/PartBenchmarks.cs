using BenchmarkDotNet.Attributes;
using QueueKit.Queues;

namespace QueueKit.Benchmarks;

/// <summary>The parts of a queue that work under its lock, each alone.</summary>
[MemoryDiagnoser]
public class PartBenchmarks
{
    private const int Count = 1_024;

    private readonly Message _message = new(new byte[100]);
    private readonly InFlightTable _table = new();
    private readonly LaneScheduler _lanes = new();
    private readonly OverflowGate _gate = new() { Policy = OverflowPolicy.Backpressure, MaxMessages = Count, MaxBytes = long.MaxValue };
    private readonly InFlightDelivery[] _deliveries = new InFlightDelivery[Count];
    private readonly QueuedMessage[] _queued = new QueuedMessage[Count];

    [GlobalSetup]
    public void SetUp()
    {
        var consumer = new Consumer(null);
        for (int i = 0; i < Count; i++)
        {
            _queued[i] = new QueuedMessage(_message, i, i);
            // The table asks a delivery for its deadline and size only, never for its queue.
            _deliveries[i] = new InFlightDelivery(_queued[i], consumer, LeaseState.Held, i);
        }
    }

    [Benchmark(OperationsPerInvoke = Count)]
    public long InFlightAddRemove()
    {
        for (int i = 0; i < Count; i++)
            _table.Add(_deliveries[i], i, plain: true);
        for (int i = 0; i < Count; i++)
            _table.Remove(_deliveries[i]);
        return _table.Count;
    }

    [Benchmark(OperationsPerInvoke = Count)]
    public long InFlightAddRemoveOwnLeases()
    {
        for (int i = 0; i < Count; i++)
            _table.Add(_deliveries[i], i, plain: false);
        for (int i = 0; i < Count; i++)
            _table.Remove(_deliveries[i]);
        return _table.Count;
    }

    [Benchmark(OperationsPerInvoke = Count)]
    public long LaneAppendTake()
    {
        for (int i = 0; i < Count; i++)
            _lanes.Append(_queued[i]);
        while (_lanes.TryTake(out _))
        {
        }
        return _lanes.Count;
    }

    [Benchmark(OperationsPerInvoke = Count)]
    public long LaneInsertTake()
    {
        for (int i = 0; i < Count; i++)
            _lanes.Insert(_queued[i]);
        while (_lanes.TryTake(out _))
        {
        }
        return _lanes.Count;
    }

    [Benchmark(OperationsPerInvoke = Count)]
    public long GateAdmitGiveBack()
    {
        for (int i = 0; i < Count; i++)
        {
            if (_gate.Judge(1, 100, mayWait: true, readyMessages: 0, readyBytes: 0) == GateVerdict.Admit)
                _gate.Take(1, 100);
        }
        _gate.GiveBack(_gate.Messages, _gate.Bytes);
        return _gate.Messages;
    }
}
