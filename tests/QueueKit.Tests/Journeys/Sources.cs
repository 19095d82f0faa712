using QueueKit.Stores;

namespace QueueKit.Tests.Journeys;

/// <summary>Messages that come from a source: moved with a watermark in the same commit, before anything is delivered.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class Sources
{
    private readonly InMemoryMessageStore _store = new();
    private readonly Guid _source = Guid.Parse("00112233-4455-6677-8899-aabbccddeeff");

    [Test]
    public async Task TheWatermarkIsCommittedWithTheMessages()
    {
        await using (MessageBroker broker = await Open())
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders");
            Assert.That(broker.FindWatermark(_source), Is.Null);
            await using BrokerTransaction transaction = broker.BeginTransaction();
            transaction.Send(queue, new Message("a"u8.ToArray()));
            transaction.MoveWatermark(_source, 7);
            transaction.MoveWatermark(Guid.Empty, -1);
            await transaction.CommitAsync();
        }

        await using MessageBroker again = await Open();

        Assert.That(again.GetQueue("orders").GetSnapshot().Messages, Is.EqualTo(1));
        Assert.That((again.FindWatermark(_source), again.FindWatermark(Guid.Empty), again.FindWatermark(Guid.NewGuid())), Is.EqualTo((7L, -1L, (long?)null)));
    }

    [Test]
    public async Task WhatIsNotCommittedMovesNoWatermark([Values("dispose", "refused", "full", "deleted")] string why)
    {
        await using MessageBroker broker = await Open();
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { Overflow = OverflowPolicy.Reject, MaxMessages = 1 });
        await using BrokerTransaction transaction = broker.BeginTransaction();
        transaction.Send(queue, new Message("a"u8.ToArray()));
        transaction.MoveWatermark(_source, 7);
        if (why == "refused")
            _store.RefuseCommits();
        else if (why == "full")
            await queue.SendAsync(new Message("b"u8.ToArray()));
        else if (why == "deleted")
            await broker.DeleteQueueAsync("orders");
        if (why != "dispose")
            Assert.That(async () => await transaction.CommitAsync(), Throws.InstanceOf<QueueKitException>());

        Assert.That(broker.FindWatermark(_source), Is.Null);
    }

    [Test]
    public async Task AWatermarkMovesWithoutMessagesToo()
    {
        await using MessageBroker broker = await Open();
        MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { Overflow = OverflowPolicy.DropNewest, MaxMessages = 1 });
        await queue.SendAsync(new Message("a"u8.ToArray()));
        for (int i = 1; i <= 2; i++)
        {
            await using BrokerTransaction transaction = broker.BeginTransaction();
            transaction.MoveWatermark(_source, i);
            if (i == 2)
                transaction.Send(queue, new Message("dropped"u8.ToArray()));
            await transaction.CommitAsync();
            Assert.That(broker.FindWatermark(_source), Is.EqualTo(i));
        }
        Assert.That(queue.GetSnapshot().Counts.DroppedNewest, Is.EqualTo(1));
    }

    [Test]
    public async Task ACommitWithAWatermarkIsFlushedWhateverTheQueueAsksFor()
    {
        var store = new InMemoryMessageStore { TracksFlushes = true };
        await using (MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store }))
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders", new QueueOptions { Durability = Durability.Written });
            await using BrokerTransaction transaction = broker.BeginTransaction();
            transaction.Send(queue, new Message("a"u8.ToArray()));
            transaction.MoveWatermark(_source, 7);
            await transaction.CommitAsync();
            store.CrashLosingUnflushed();
        }

        await using MessageBroker again = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store });

        Assert.That(again.GetQueue("orders").GetSnapshot().Messages, Is.EqualTo(1));
        Assert.That(again.FindWatermark(_source), Is.EqualTo(7));
    }

    [Test]
    public async Task ASourceOpensBehindTheStoreHearsOfQueuesAndClosesBeforeThem()
    {
        var source = new Source { Name = "one" };
        await using (MessageBroker broker = await Open())
            await broker.DeclareQueueAsync("found");
        MessageBroker again = await Open(source);
        Assert.That(source.Events, Is.EqualTo(["open with found"]));
        Assert.That(again.Sources, Is.EqualTo([source]));
        MessageQueue queue = await again.DeclareQueueAsync("orders");
        await again.DeclareQueueAsync("orders");

        await again.DisposeAsync();

        Assert.That(source.Events, Is.EqualTo(["open with found", "orders", "orders", "dispose, sent"]));
        await using MessageBroker third = await Open();
        Assert.That(third.GetQueue("orders").GetSnapshot().Messages, Is.EqualTo(1), "what it sends at the last moment is taken");
    }

    [Test]
    public async Task ASourceThatCannotOpenClosesTheBrokerAndThoseBeforeIt()
    {
        var first = new Source { Name = "first" };

        Assert.That(async () => await Open(first, new Source { Name = "second", OpenError = new StoreException(StoreFault.InUse, "It is in use.") }), Throws.InstanceOf<StoreException>().With.Message.EqualTo("It is in use."));

        Assert.That(first.Events, Is.EqualTo(["open with ", "dispose"]));
        await using MessageBroker again = await Open();
    }

    [Test]
    public async Task ASourceThatDoesNotCloseKeepsNobodyFromClosing()
    {
        var log = new List<string>();
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions
        {
            Store = _store,
            LoggerFactory = new LogHook(log.Add),
            Sources = { new Source { Name = "bad", CloseError = new IOException("no") } },
        });

        await broker.DisposeAsync();

        Assert.That(log, Has.Some.Contains("did not close well"));
        await using MessageBroker again = await Open();
    }

    [Test]
    public async Task ASourceNeedsAStore()
    {
        ArgumentException noStore = (await Assert.ThrowsAsync<ArgumentException>(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Sources = { new Source { Name = "a spool" } } })))!;
        Assert.That(noStore.Message, Does.Contain("'a spool'").And.Contain("Store is null"));
        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = _store, Sources = { null! } }), Throws.ArgumentException.With.Message.Contains("contains null"));
        await using MessageBroker broker = await MessageBroker.OpenAsync();
        await using BrokerTransaction transaction = broker.BeginTransaction();
        Assert.That(() => transaction.MoveWatermark(_source, 1), Throws.InvalidOperationException.With.Message.Contains("no store"));
        Assert.That(() => broker.FindWatermark(_source), Throws.InvalidOperationException.With.Message.Contains("no store"));
    }

    [Test]
    public async Task ARepairKeepsTheWatermarks([Values] bool isLost)
    {
        var records = new List<StoreRecord>();
        await using (MessageBroker broker = await Open())
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders");
            await using BrokerTransaction transaction = broker.BeginTransaction();
            transaction.Send(queue, new Message("a"u8.ToArray()));
            transaction.MoveWatermark(_source, 7);
            await transaction.CommitAsync();
        }
        await using (IMessageStore old = await ((IMessageStoreProvider)_store).OpenAsync())
        {
            var page = new StorePage();
            old.Read(StoreKey.First(StoreKind.Meta), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
            records.AddRange(page.Records);
        }
        var repaired = new InMemoryMessageStore();
        IReadOnlyList<string> findings;
        await using (IMessageStore target = await ((IMessageStoreProvider)repaired).OpenAsync())
        {
            var rebuild = new StoreRebuild(target, null);
            foreach (StoreRecord record in records)
            {
                if (isLost && record.Key.Kind == StoreKind.Watermark)
                    rebuild.Add(new StoreRecord(record.Key, new byte[record.Head.Length], default));
                else
                    rebuild.Add(record);
            }
            findings = rebuild.Complete(isDamaged: false);
        }

        await using MessageBroker again = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = repaired });

        Assert.That(again.FindWatermark(_source), Is.EqualTo(isLost ? null : 7L));
        Assert.That(findings.Any(static finding => finding.StartsWith("How far 1 source of messages", StringComparison.Ordinal)), Is.EqualTo(isLost), string.Join('\n', findings));
    }

    private ValueTask<MessageBroker> Open(params IMessageSourceProvider[] sources)
    {
        var options = new MessageBrokerOptions { Store = _store };
        foreach (IMessageSourceProvider source in sources)
            options.Sources.Add(source);
        return MessageBroker.OpenAsync(options);
    }

    private sealed class Source : IMessageSourceProvider, IMessageSource
    {
        private MessageQueue? _queue;

        public required string Name { get; init; }

        public Exception? OpenError { get; init; }

        public Exception? CloseError { get; init; }

        public List<string> Events { get; } = [];

        public string Description => Name;

        public ValueTask<IMessageSource> OpenAsync(MessageBroker broker, CancellationToken ct = default)
        {
            Events.Add($"open with {string.Join(", ", broker.Queues.Select(static queue => queue.Name))}");
            return OpenError is null ? new ValueTask<IMessageSource>(this) : ValueTask.FromException<IMessageSource>(OpenError);
        }

        public void QueueDeclared(MessageQueue queue)
        {
            _queue ??= queue;
            Events.Add(queue.Name);
        }

        public async ValueTask DisposeAsync()
        {
            if (CloseError is not null)
                throw CloseError;
            if (_queue is not null)
                await _queue.SendAsync(new Message("last"u8.ToArray()));
            Events.Add(_queue is null ? "dispose" : "dispose, sent");
        }
    }
}
