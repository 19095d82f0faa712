using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>A store that counts how many messages are read from it.</summary>
internal sealed class CountingReads(IMessageStoreProvider inner) : IMessageStoreProvider
{
    public int Messages;

    public string Description => inner.Description;

    public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) => new Session(this, await inner.OpenAsync(ct));

    private sealed class Session(CountingReads owner, IMessageStore inner) : IMessageStore
    {
        public int MaxRecordBytes => inner.MaxRecordBytes;

        public bool CommitBlocks => inner.CommitBlocks;

        public void Commit(StoreBatch batch, FlushLevel level) => inner.Commit(batch, level);

        public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
        {
            bool more = inner.Read(from, to, maxCount, maxBytes, page);
            Interlocked.Add(ref owner.Messages, page.Records.Count(static record => record.Key.Kind is StoreKind.Message or StoreKind.Parked));
            return more;
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
