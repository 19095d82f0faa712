using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

public class InMemoryMessageStoreTests : MessageStoreContract
{
    protected override IMessageStoreProvider CreateProvider() => new InMemoryMessageStore();

    protected override bool TryFailNextCommit(IMessageStoreProvider provider)
    {
        ((InMemoryMessageStore)provider).FailNextCommit(written: true);
        return true;
    }
}
