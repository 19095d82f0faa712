using QueueKit.Stores;
using QueueKit.Testing;

namespace QueueKit.Tests.Stores;

/// <summary>What a store can do wrong.</summary>
public enum Lie
{
    None = 0,
    ForgetsDeletes,
    EndsRangesLate,
    SwapsHeadAndBody,
    SaysThereIsMore,
    TearsBatches,
    GoesOnAfterAFailure,
    FlushesNothing,
    LetsASecondOwnerIn,
}

/// <summary>A store in memory that breaks one promise.</summary>
internal sealed class LyingStore(Lie lie) : StoreUnderTest, IMessageStoreProvider
{
    private readonly InMemoryMessageStore _honest = new() { TracksFlushes = true };
    private IMessageStore? _open;

    public override StoreAbilities Abilities => StoreAbilities.FailingCommits | StoreAbilities.PowerCuts;

    public string Description => "a store that lies";

    public override IMessageStoreProvider CreateProvider() => this;

    public override void FailNextCommit()
    {
        // One that goes on has written nothing and says that nobody knows.
        if (lie == Lie.GoesOnAfterAFailure)
            FailsNext = true;
        else
            _honest.FailNextCommit(written: true);
    }

    public bool FailsNext { get; private set; }

    public override void CutPower() => _honest.CrashLosingUnflushed();

    public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default)
    {
        if (lie == Lie.LetsASecondOwnerIn && _open is { } open)
            return open;
        _open = new Session(this, await ((IMessageStoreProvider)_honest).OpenAsync(ct), lie);
        return _open;
    }

    private sealed class Session(LyingStore owner, IMessageStore honest, Lie lie) : IMessageStore
    {
        public int MaxRecordBytes => lie == Lie.TearsBatches ? 1 << 20 : honest.MaxRecordBytes;

        public bool CommitBlocks => honest.CommitBlocks;

        public void Commit(StoreBatch batch, FlushLevel level)
        {
            if (owner.FailsNext)
            {
                owner.FailsNext = false;
                throw new StoreException(StoreFault.Failed, "Nobody knows.");
            }
            var changed = new StoreBatch();
            foreach (StoreOperation operation in batch.Operations)
            {
                if ((long)operation.Head.Length + operation.Body.Length > MaxRecordBytes)
                {
                    honest.Commit(changed, level);
                    throw new StoreException(StoreFault.Refused, "Too large.");
                }
                Add(changed, operation);
            }
            honest.Commit(changed, lie == Lie.FlushesNothing ? FlushLevel.Written : level);
        }

        public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page) =>
            honest.Read(from, to, maxCount, maxBytes, page) || lie == Lie.SaysThereIsMore;

        public ValueTask DisposeAsync() => honest.DisposeAsync();

        private void Add(StoreBatch batch, in StoreOperation operation)
        {
            switch (operation.Kind)
            {
                case StoreOperationKind.Delete when lie == Lie.ForgetsDeletes:
                    break;
                case StoreOperationKind.Delete:
                    batch.Delete(operation.Key);
                    break;
                case StoreOperationKind.DeleteRange:
                    batch.DeleteRange(operation.Key, lie == Lie.EndsRangesLate ? operation.To.Next() : operation.To);
                    break;
                default:
                    if (lie == Lie.SwapsHeadAndBody)
                        batch.Put(operation.Key, operation.Body, operation.Head);
                    else
                        batch.Put(operation.Key, operation.Head, operation.Body);
                    break;
            }
        }
    }
}
