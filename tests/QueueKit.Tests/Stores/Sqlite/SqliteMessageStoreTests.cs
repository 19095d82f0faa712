using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.Sqlite;

public class SqliteMessageStoreTests : MessageStoreContract
{
    private readonly TestFolder _folder = new();
    private bool _failsNextWrite;

    protected override IMessageStoreProvider CreateProvider() => new SqliteStore(_folder.File("queue.db"), options: null, () => TimeProvider.System, FailIfTold);

    protected override bool TryFailNextCommit(IMessageStoreProvider provider) => _failsNextWrite = true;

    protected override void Remove(IMessageStoreProvider provider) => _folder.Delete();

    private void FailIfTold()
    {
        if (!_failsNextWrite)
            return;
        _failsNextWrite = false;
        throw new IOException("Input/output error");
    }
}
