using QueueKit.LiteDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

public class LiteMessageStoreTests : MessageStoreContract
{
    private readonly TestFolder _folder = new();

    protected override IMessageStoreProvider CreateProvider() => new LiteDBStore(_folder.File("queue.db"));

    protected override void Remove(IMessageStoreProvider provider) => _folder.Delete();
}
