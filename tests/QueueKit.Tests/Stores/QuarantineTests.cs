using System.Text;
using QueueKit.LiteDB;
using QueueKit.RocksDB;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>A host that prefers the rest to nothing: what cannot be read is set aside and counted, and everything else is served.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class QuarantineTests
{
    private readonly TestFolder _folder = new();
    private readonly VirtualClock _clock = new();

    public enum Engine { LiteDB, RocksDB, Sqlite }

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    // Found while a backlog is read

    [Test]
    public async Task UnreadableMessagesAreSetAsideAndTheRestIsServedInOrder()
    {
        var store = new DamagedStore();
        await Fill(store, messages: 60);
        store.Damage(sequence => sequence is 1 or 20 or 21 or 60);

        await using MessageBroker broker = await OpenAsync(store, DamagePolicy.Quarantine);
        MessageQueue queue = broker.GetQueue("orders");

        Assert.That(await DrainAsync(queue), Is.EqualTo(Enumerable.Range(1, 60).Except([1, 20, 21, 60])));
        QueueSnapshot snapshot = queue.GetSnapshot();
        Assert.That((snapshot.Unreadable, snapshot.Paged.Messages, snapshot.Messages), Is.EqualTo((4, 4, 4)));
        await queue.SendAsync(Text(61));
        Assert.That(await DrainAsync(queue), Is.EqualTo([61]));
        Assert.That(broker.Quarantine, Is.Null, "the store was opened as it was");
    }

    [Test]
    public async Task WhatWasSetAsideIsStillThereForWhoeverCanReadIt()
    {
        var store = new DamagedStore();
        await Fill(store, messages: 10);
        store.Damage(sequence => sequence == 5);
        await using (MessageBroker broker = await OpenAsync(store, DamagePolicy.Quarantine))
            Assert.That(await DrainAsync(broker.GetQueue("orders")), Has.Count.EqualTo(9));
        await using (MessageBroker again = await OpenAsync(store, DamagePolicy.Quarantine))
        {
            Assert.That(await DrainAsync(again.GetQueue("orders")), Is.Empty);
            Assert.That(again.GetQueue("orders").GetSnapshot().Unreadable, Is.EqualTo(1));
        }
        store.Damage(static _ => false);

        await using MessageBroker repaired = await OpenAsync(store, DamagePolicy.Refuse);

        Assert.That(await DrainAsync(repaired.GetQueue("orders")), Is.EqualTo([5]));
    }

    [Test]
    public async Task ByDefaultTheQueueStopsAtTheDamageAndSaysSo()
    {
        var store = new DamagedStore();
        await Fill(store, messages: 10);
        store.Damage(sequence => sequence == 5);

        await using MessageBroker broker = await OpenAsync(store, DamagePolicy.Refuse);

        Assert.That(async () => await DrainAsync(broker.GetQueue("orders")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.Unreadable));
        Assert.That(broker.GetQueue("orders").GetSnapshot().Unreadable, Is.Zero);
    }

    [Test]
    public async Task MessagesThatAreGoneWithoutATraceAreCountedAndStopNobody()
    {
        var store = new DamagedStore();
        await Fill(store, messages: 20);
        store.Hide(sequence => sequence is > 5 and < 10);

        await using MessageBroker broker = await OpenAsync(store, DamagePolicy.Quarantine);

        Assert.That(await DrainAsync(broker.GetQueue("orders")), Has.Count.EqualTo(16));
        await broker.GetQueue("orders").SendAsync(Text(21));
        Assert.That(await DrainAsync(broker.GetQueue("orders")), Is.EqualTo([21]));
        Assert.That(broker.GetQueue("orders").GetSnapshot().Unreadable, Is.EqualTo(4));
    }

    [Test]
    public async Task ScheduledMessagesThatCannotBeReadAreSetAsideToo()
    {
        var store = new DamagedStore();
        await using (MessageBroker broker = await OpenAsync(store, DamagePolicy.Quarantine))
        {
            MessageQueue queue = await broker.DeclareQueueAsync("orders");
            for (int i = 1; i <= 8; i++)
                await queue.SendAsync(new Message(Encoding.UTF8.GetBytes($"{i}")) { Delay = TimeSpan.FromMinutes(i) });
        }
        store.Damage(sequence => sequence is 3 or 7);

        await using MessageBroker again = await OpenAsync(store, DamagePolicy.Quarantine);
        var found = new List<int>();
        for (int i = 0; i < 10; i++)
        {
            _clock.Advance(TimeSpan.FromMinutes(1));
            found.AddRange(await DrainAsync(again.GetQueue("orders")));
        }

        Assert.That(found, Is.EqualTo([1, 2, 4, 5, 6, 8]));
        Assert.That(again.GetQueue("orders").GetSnapshot().Unreadable, Is.EqualTo(2));
    }

    [Test]
    public async Task AStoreThatCannotReadAnythingIsNoQuarantine()
    {
        var store = new DamagedStore();
        await Fill(store, messages: 2_000);
        store.Damage(static _ => true);

        await using MessageBroker broker = await OpenAsync(store, DamagePolicy.Quarantine);

        Assert.That(async () => await DrainAsync(broker.GetQueue("orders")), Throws.InstanceOf<StoreException>());
    }

    // On a disk

    [Test]
    public async Task ADamagedMessageOfARealStoreIsSetAsideNowOrAtTheNextOpening([Values] Engine engine)
    {
        await using (MessageBroker broker = await OpenAsync(Store(engine), DamagePolicy.Refuse))
            await Send(await broker.DeclareQueueAsync("orders"), 1, 100, padding: 600);
        string file = await FlipIn(Padding(17, 600).AsMemory(100, 64));

        var found = new SortedSet<int>();
        long unreadable;
        QuarantineReport? repaired;
        await using (MessageBroker broker = await OpenAsync(Store(engine), DamagePolicy.Quarantine))
        {
            await TryDrainAsync(Orders(broker), found);
            unreadable = Orders(broker).GetSnapshot().Unreadable;
            repaired = broker.Quarantine;
        }
        await using MessageBroker again = await OpenAsync(Store(engine), DamagePolicy.Quarantine);
        await TryDrainAsync(Orders(again), found);

        Assert.That(found, Is.SubsetOf(Enumerable.Range(1, 100)));
        Assert.That(found, Has.No.Member(17), "damaged, and delivered as good");
        // What lies in one piece with it goes with it.
        Assert.That(found, Has.Count.GreaterThan(40));
        unreadable = Math.Max(unreadable, Orders(again).GetSnapshot().Unreadable);
        repaired ??= again.Quarantine;
        await TestContext.Out.WriteLineAsync($"{engine}, {Path.GetFileName(file)}: {found.Count} of 100 served, {unreadable} unreadable; repaired: {string.Join(" | ", repaired?.Findings ?? ["never"])}");
        Assert.That(unreadable + (repaired?.Findings.Count ?? 0), Is.Positive, "missing, and nobody says so");
        if (repaired is null)
            Assert.That(unreadable, Is.EqualTo(100 - found.Count), "as many are missing as it says");
        await Orders(again).SendAsync(Text(101));
        Assert.That(await DrainAsync(Orders(again)), Is.EqualTo([101]));
    }

    [Test]
    public async Task AStoreThatRefusesToOpenIsRepairedAndTheOldFilesStayBesideIt([Values] Engine engine)
    {
        await using (MessageBroker broker = await OpenAsync(Store(engine), DamagePolicy.Refuse))
            await Send(await broker.DeclareQueueAsync("orders"), 1, 30, padding: 100);
        using (Witness witness = Witness.Open(PathOf(engine), storeExists: true))
            witness.SetPoison("A flush has failed.");
        Assert.That(async () => await OpenAsync(Store(engine), DamagePolicy.Refuse), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.IsRepairable)).True);

        await using MessageBroker again = await OpenAsync(Store(engine), DamagePolicy.Quarantine);

        Assert.That(again.Quarantine!.Cause.Message, Does.Contain("A flush has failed."));
        Assert.That(again.Quarantine.SetAside, Is.Not.Empty.And.All.Matches<string>(static path => Path.Exists(path)));
        Assert.That(await DrainAsync(again.GetQueue("orders")), Is.EqualTo(Enumerable.Range(1, 30)));
    }

    [Test]
    public async Task WhatIsNoStoreIsNotRepaired([Values] Engine engine)
    {
        string path = PathOf(engine);
        if (engine == Engine.RocksDB)
            Directory.CreateDirectory(path);
        string letter = engine == Engine.RocksDB ? Path.Combine(path, "letter.txt") : path;
        await File.WriteAllTextAsync(letter, "Dear diary,");

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await OpenAsync(Store(engine), DamagePolicy.Quarantine));

        Assert.That((refusal.Fault, refusal.IsRepairable), Is.EqualTo((StoreFault.Unreadable, false)));
        Assert.That(await File.ReadAllTextAsync(letter), Is.EqualTo("Dear diary,"));
    }

    // Where the queue's own record was in the same piece, the repair has given it a new name.
    private static MessageQueue Orders(MessageBroker broker) => broker.TryGetQueue("orders", out MessageQueue? queue) ? queue : broker.GetQueue("recovered-1");

    private string PathOf(Engine engine) => _folder.File(engine == Engine.RocksDB ? "queue" : "queue.db");

    private IMessageStoreProvider Store(Engine engine) => engine switch
    {
        Engine.LiteDB => new LiteDBStore(PathOf(engine), new LiteDBStoreOptions { MinFreeBytes = 0 }),
        Engine.RocksDB => new RocksDBStore(PathOf(engine), new RocksDBStoreOptions { MinFreeBytes = 0 }),
        _ => new SqliteStore(PathOf(engine), new SqliteStoreOptions { MinFreeBytes = 0 }),
    };

    private async Task<MessageBroker> OpenAsync(IMessageStoreProvider store, DamagePolicy policy) =>
        await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store, DamagedStore = policy, TimeProvider = _clock });

    private async Task Fill(DamagedStore store, int messages)
    {
        await using MessageBroker broker = await OpenAsync(store, DamagePolicy.Refuse);
        await Send(await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null }), 1, messages);
    }

    private static async Task Send(MessageQueue queue, int first, int count, int padding = 0)
    {
        for (int i = first; i < first + count; i++)
            await queue.SendAsync(new Message((byte[])[.. Encoding.UTF8.GetBytes($"{i} of the messages "), .. Padding(i, padding)]));
    }

    // Of no use to a store that compresses.
    private static byte[] Padding(int number, int length)
    {
        byte[] bytes = new byte[length];
        new Random(number).NextBytes(bytes);
        return bytes;
    }

    private static Message Text(int number) => new(Encoding.UTF8.GetBytes($"{number} of the messages "));

    private static async Task<List<int>> DrainAsync(MessageQueue queue)
    {
        var all = new List<int>();
        while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero) is { Count: > 0 } some)
        {
            foreach (Delivery delivery in some)
            {
                all.Add(int.Parse(Encoding.UTF8.GetString(delivery.Message.Body.Span).Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));
                await delivery.AckAsync();
            }
        }
        return all;
    }

    // False if the queue stops on the way.
    private static async Task<bool> TryDrainAsync(MessageQueue queue, SortedSet<int> found)
    {
        try
        {
            foreach (int one in await DrainAsync(queue))
                found.Add(one);
            return true;
        }
        catch (StoreException)
        {
            return false;
        }
    }

    // Flips a bit of a text wherever it is in the files of the store.
    private async Task<string> FlipIn(ReadOnlyMemory<byte> text)
    {
        foreach (string path in Directory.EnumerateFiles(_folder.Path, "*", SearchOption.AllDirectories))
        {
            byte[] bytes = await File.ReadAllBytesAsync(path);
            int at = bytes.AsSpan().IndexOf(text.Span);
            if (at < 0)
                continue;
            bytes[at + 4] ^= 1;
            await File.WriteAllBytesAsync(path, bytes);
            return path;
        }
        throw new AssertionException("The message is in none of the files as it was sent.");
    }

    // In memory, with messages that cannot be read, or are not there.
    private sealed class DamagedStore : IMessageStoreProvider
    {
        private readonly InMemoryMessageStore _inMemory = new();
        private Predicate<long> _isDamaged = static _ => false;
        private Predicate<long> _isHidden = static _ => false;

        public string Description => "a damaged store";

        public void Damage(Predicate<long> isDamaged) => _isDamaged = isDamaged;

        public void Hide(Predicate<long> isHidden) => _isHidden = isHidden;

        public async ValueTask<IMessageStore> OpenAsync(CancellationToken ct = default) => new Session(this, await ((IMessageStoreProvider)_inMemory).OpenAsync(ct));

        private sealed class Session(DamagedStore owner, IMessageStore store) : IMessageStore
        {
            private readonly StorePage _read = new();

            public int MaxRecordBytes => store.MaxRecordBytes;

            public bool CommitBlocks => store.CommitBlocks;

            public void Commit(StoreBatch batch, FlushLevel level) => store.Commit(batch, level);

            public bool Read(StoreKey from, StoreKey to, int maxCount, long maxBytes, StorePage page)
            {
                page.Clear();
                bool more = store.Read(from, to, maxCount, maxBytes, _read);
                foreach (StoreRecord record in _read.Records)
                {
                    bool isMessage = record.Key.Kind is StoreKind.Message or StoreKind.Parked;
                    if (isMessage && owner._isDamaged(record.Key.Sequence))
                    {
                        page.Clear();
                        throw new StoreException(StoreFault.Unreadable, $"The record {record.Key} is not what was written.") { IsRepairable = true };
                    }
                    if (!isMessage || !owner._isHidden(record.Key.Sequence))
                        page.Add(record.Key, record.Head, record.Body);
                }
                return more;
            }

            public ValueTask DisposeAsync() => store.DisposeAsync();
        }
    }
}
