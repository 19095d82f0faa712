using QueueKit.Sqlite;
using QueueKit.Stores;
using QueueKit.Tests.Stores.LiteDB;

namespace QueueKit.Tests.Stores.Sqlite;

public class SqliteMessageStoreTests : MessageStoreContract
{
    private readonly TestFolder _folder = new();

    protected override IMessageStoreProvider CreateProvider() => new SqliteStore(_folder.File("queue.db"));

    protected override void Remove(IMessageStoreProvider provider) => _folder.Delete();
}
