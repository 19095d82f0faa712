using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>Puts a failed attempt on record. Nobody waits for it: were it lost, the message would get one attempt more than it should.</summary>
internal sealed class AttemptWrite : CommitWork
{
    private readonly QueueConductor _queue;
    private readonly long _sequence;
    private readonly AttemptsRecord _record;

    public AttemptWrite(QueueConductor queue, FlushLevel level, long sequence, AttemptsRecord record)
    {
        _queue = queue;
        Level = level;
        _sequence = sequence;
        _record = record;
    }

    public override ICommitTarget Target => _queue.Commits;

    public override void WriteTo(StoreBatch batch, ref long sequence)
    {
        if (!_queue.Commits.IsGone)
            _record.WriteTo(batch, _queue.Id, _sequence);
    }

    public override void Refused(StoreException reason) => _queue.Log.AttemptNotStored(_queue.Name, _sequence, reason.Message);

    public override void Failed(StoreException reason) => _queue.Log.AttemptNotStored(_queue.Name, _sequence, reason.Message);

    protected override void Run() { }
}
