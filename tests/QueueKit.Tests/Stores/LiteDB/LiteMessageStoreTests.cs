using QueueKit.LiteDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

public class LiteMessageStoreTests : MessageStoreContract
{
    private readonly TestFolder _folder = new();
    private readonly FailingFileSystem _files = new();

    protected override IMessageStoreProvider CreateProvider() => new LiteDBStore(_folder.File("queue.db"), options: null, _files, () => TimeProvider.System);

    protected override bool TryFailNextCommit(IMessageStoreProvider provider) => _files.FailsNextWrite = true;

    protected override void Remove(IMessageStoreProvider provider) => _folder.Delete();
}
