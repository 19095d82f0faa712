using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Passes everything on to another store and counts commits and the messages in them: one virtual call per commit, nothing per message that counts.</summary>
internal sealed class CountingStoreProvider(IMessageStoreProvider inner) : IMessageStoreProvider
{
    /// <summary>The commits that put messages.</summary>
    public long Commits { get; private set; }

    /// <summary>The messages they put.</summary>
    public long Messages { get; private set; }

    /// <summary>All commits.</summary>
    public long AllCommits { get; private set; }

    /// <summary>The operations in them, but for the records that every commit leaves.</summary>
    public long Operations { get; private set; }

    public string Description => inner.Description;

    public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) => new Counting(this, await inner.OpenAsync(ct));

    public void Reset() => Commits = Messages = AllCommits = Operations = 0;

    private sealed class Counting(CountingStoreProvider owner, IMessageStore inner) : IMessageStore
    {
        public int MaxRecordBytes => inner.MaxRecordBytes;

        public bool CommitBlocks => inner.CommitBlocks;

        public Witness? Witness => inner.Witness;

        public void Commit(StoreBatch batch, FlushLevel level)
        {
            int messages = 0;
            foreach (ref readonly StoreOperation operation in batch.Operations)
            {
                if (operation.Kind == StoreOperationKind.Insert && operation.Key.Kind == StoreKind.Message)
                    messages++;
            }
            inner.Commit(batch, level);
            owner.AllCommits++;
            owner.Operations += batch.Operations.Length - 1;
            owner.Messages += messages;
            owner.Commits += messages > 0 ? 1 : 0;
        }

        public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page) => inner.Read(from, to, maxCount, maxBytes, page);

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
