using System.Text;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>What a repair could save, made into a store that a broker opens: what is there is delivered as it was sent, what is not is named.</summary>
public sealed class StoreRebuildTests : IDisposable
{
    private readonly TestFolder _folder = new();
    private readonly VirtualClock _clock = new();
    private readonly Guid _boot = Guid.NewGuid();
    private readonly StoreKey _firstOfAll = StoreKey.First(StoreKind.Meta);
    private string _path = "";

    [SetUp]
    public void NameTheStore() => _path = _folder.File(Guid.NewGuid().ToString("N"));

    public void Dispose() => _folder.Delete();

    [Test]
    public async Task WhateverIsLostTheRestIsDeliveredAndTheLossIsNamed()
    {
        int damaged = 0, whole = 0;
        for (int seed = 1; seed <= 60; seed++)
        {
            NameTheStore();
            var random = new Random(seed);
            List<StoreRecord> records = await Live(random);
            double share = random.Next(4) switch { 0 => 0, 1 => 0.02, 2 => 0.2, _ => 0.6 };
            List<StoreRecord> lost = [.. records.Where(_ => random.NextDouble() < share)], saved = [.. records.Except(lost)];
            try
            {
                await RebuildAndCheck(records, saved, lost, random);
            }
            catch (Exception error)
            {
                Assert.Fail($"Seed {seed}: {error}");
            }
            if (lost.Count == 0)
                whole++;
            else
                damaged++;
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–60: {damaged} stores with losses, {whole} without, all opened");
        Assert.That((damaged, whole), Is.GreaterThan((20, 5)));
    }

    [Test]
    public async Task MessagesWhoseQueueIsLostAreInARecoveredOne()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            await broker.DeclareQueueAsync("recovered-2");
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            await orders.SendAsync(Text("a"));
            await orders.SendAsync(Text("b"));
        });

        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(records.Where(record => record.Key != QueueRecord.KeyOf(2)), [QueueRecord.KeyOf(2)]);

        Assert.That(findings, Has.One.Contains("queue number 2 are lost: its 2 messages are in the queue 'recovered-2-2' now"));
        await using MessageBroker broker = await Open(store);
        Assert.That(broker.Queues.Select(queue => queue.Name), Is.EquivalentTo(["recovered-2", "recovered-2-2"]));
        Assert.That(await Drain(broker.GetQueue("recovered-2-2")), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task WhatADeletedQueueHasLeftIsNotBack()
    {
        List<StoreRecord> records = await Store(async broker => await (await broker.DeclareQueueAsync("orders")).SendAsync(Text("a")));
        records[records.FindIndex(record => record.Key.Kind == StoreKind.Queue)] = new StoreRecord(QueueRecord.KeyOf(1), QueueRecord.EncodeDeleted(1, "orders"), default);

        (InMemoryMessageStore store, _) = Rebuild(records, []);

        await using MessageBroker broker = await Open(store);
        Assert.That(broker.Queues, Is.Empty);
        Assert.That(await Drain(await broker.DeclareQueueAsync("orders")), Is.Empty);
    }

    [Test]
    public async Task OfTwoQueuesOfOneNameOneGetsAnother()
    {
        List<StoreRecord> records = await Store(async broker => await (await broker.DeclareQueueAsync("orders")).SendAsync(Text("a")));
        var twin = new StoreRecord(QueueRecord.KeyOf(7), QueueRecord.Encode(7, "orders", new QueueOptions { Durability = Durability.Written, MaxAttempts = 3 }), default);

        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(records.Append(twin), []);

        Assert.That(findings, Has.One.Contains("Two queues are named 'orders': number 7"));
        await using MessageBroker broker = await Open(store);
        Assert.That(broker.GetQueue("recovered-7").Options.MaxAttempts, Is.EqualTo(3));
        Assert.That(await Drain(broker.GetQueue("orders")), Is.EqualTo(["a"]));
    }

    [Test]
    public async Task ConfirmedCommitsThatAreMissingAreCountedAndEveryMessageCountsAsMaybeDelivered()
    {
        List<StoreRecord> before = [];
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            await orders.SendAsync(Text("a"));
            before = ReadAll(orders.Conductor.Broker.Store!);
            await orders.SendAsync(Text("b"));
            await orders.SendAsync(Text("c"));
        });
        long highest = records.Max(record => record.Key.Kind == StoreKind.Message ? record.Key.Sequence : 0);

        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(before, []);

        Assert.That(findings, Has.One.StartsWith("The last 2 confirmed commits (numbers 3 to 4 are missing)"));
        Assert.That(findings, Has.One.Contains("maybe delivered before"));
        await using MessageBroker broker = await Open(store);
        MessageQueue queue = broker.GetQueue("orders");
        Assert.That((await queue.SendAsync(Text("d"))).Sequence, Is.GreaterThan(highest));
        Delivery first = await queue.ReceiveAsync();
        Assert.That(first.IsRedelivered, Is.True);
        first.Ack();
        Assert.That((await queue.ReceiveAsync()).IsRedelivered, Is.False);
    }

    [Test]
    public async Task WithoutAWitnessALostRecordBehindTheLastCommitMayBeOfANewerOne()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            for (int i = 0; i < 5; i++)
                await orders.SendAsync(Text($"{i}"));
        });
        StoreKey[] lost = [CommitRecord.KeyOf(4), CommitRecord.KeyOf(5)];

        (_, IReadOnlyList<string> known) = Rebuild(records.Where(record => !lost.Contains(record.Key)), lost);
        File.Delete(_path + "-witness");
        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(records.Where(record => !lost.Contains(record.Key)), lost);

        Assert.That(known, Has.One.StartsWith("The last 2 confirmed commits (numbers 5 to 6 are missing)"));
        Assert.That(known.Concat(findings).Count(finding => finding.StartsWith("2 records of what commits changed", StringComparison.Ordinal)), Is.EqualTo(2));
        Assert.That(findings, Has.One.StartsWith("The record of 2 commits behind commit 4 may be lost"));
        await using MessageBroker broker = await Open(store);
        Assert.That(await Drain(broker.GetQueue("orders")), Is.EqualTo(["0", "1", "2", "3", "4"]));
    }

    [Test]
    public async Task WithoutTheFoldWhatIsMissingBehindItIsCountedAllTheSame()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            for (int i = 0; i < 24; i++)
                await orders.SendAsync(Text($"{i}"));
        });
        StoreKey[] lost = [CommitRecord.FoldKey, CommitRecord.KeyOf(0), CommitRecord.KeyOf(1)];

        (_, IReadOnlyList<string> findings) = Rebuild(records.Where(record => !lost.Contains(record.Key)), []);

        Assert.That(findings, Has.One.StartsWith("Commits 17 to 18 are missing"));
    }

    [Test]
    public async Task ALostRecordOfAnOldCommitIsNoMissingCommit()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            for (int i = 0; i < 20; i++)
                await orders.SendAsync(Text($"{i}"));
        });
        StoreKey lost = CommitRecord.KeyOf(10);

        (_, IReadOnlyList<string> findings) = Rebuild(records.Where(record => record.Key != lost), [lost]);

        Assert.That(findings, Has.One.StartsWith("1 record of what commits changed"));
        Assert.That(findings, Has.None.Contains("missing"));
    }

    [Test]
    public async Task WhatTheStoreCannotNameItsCountsKnow()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            for (int i = 0; i < 5; i++)
                await orders.SendAsync(Text($"{i}"));
        });

        (_, IReadOnlyList<string> findings) = Rebuild(records.Where(record => record.Key is not { Kind: StoreKind.Message, Sequence: 2 or 3 }), []);

        Assert.That(findings, Has.One.EqualTo("By its commits queue 'orders' had 5 messages that were not delayed; 3 of them were found."));
    }

    [Test]
    public async Task ARecordThatIsNotWhatWasWrittenIsLeftOutAndNamed()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            await orders.SendAsync(Text("a"));
            await orders.SendAsync(Text("b"));
        });
        StoreRecord damaged = records.First(record => record.Key.Kind == StoreKind.Message);
        records[records.IndexOf(damaged)] = damaged with { Body = "?"u8.ToArray() };

        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(records, []);

        Assert.That(findings, Has.One.EqualTo($"Message {damaged.Key.Sequence} of queue 'orders' is lost."));
        await using MessageBroker broker = await Open(store);
        Assert.That(await Drain(broker.GetQueue("orders")), Is.EqualTo(["b"]));
    }

    [Test]
    public void WhatANewerVersionHasWrittenIsNotRebuilt()
    {
        byte[] format = new byte[8];
        format[0] = (byte)(MetaRecord.Format + 1);
        var newer = new StoreRecord(MetaRecord.FormatKey, RecordChecksum.Seal(format, MetaRecord.FormatKey), default);

        Assert.That(() => Rebuild([newer], []), Throws.InstanceOf<StoreException>().With.Message.Contains("newer version"));
        Assert.That(() => Rebuild([new StoreRecord(new StoreKey((StoreKind)77, 0, 0, 0, 0, 0), new byte[9], default)], []), Throws.InstanceOf<StoreException>().With.Message.Contains("newer version"));
    }

    [Test]
    public async Task ManyLossesAreCountedAndNotListed()
    {
        List<StoreRecord> records = await Store(async broker =>
        {
            MessageQueue orders = await broker.DeclareQueueAsync("orders");
            await orders.SendBatchAsync(Enumerable.Range(0, 250).Select(i => Text($"{i}")).ToArray());
        });

        (_, IReadOnlyList<string> findings) = Rebuild(records.Where(record => record.Key.Kind != StoreKind.Message), records.Select(record => record.Key).Where(key => key.Kind == StoreKind.Message));

        Assert.That(findings.Count(finding => finding.StartsWith("Message ", StringComparison.Ordinal)), Is.EqualTo(100));
        Assert.That(findings, Has.One.EqualTo("150 further messages of queue 'orders' are lost."));
    }

    // Sends, acks, failures, delays and dead letters in some queues; then the process ends. What the store holds.
    private Task<List<StoreRecord>> Live(Random random) => Store(async broker =>
    {
        var queues = new List<MessageQueue>();
        for (int i = 0; i < 3; i++)
            queues.Add(await broker.DeclareQueueAsync($"queue {i}", new QueueOptions { MaxAttempts = null }));
        int steps = random.Next(20, 400);
        for (int step = 0; step < steps; step++)
        {
            MessageQueue queue = queues[random.Next(queues.Count)];
            if (random.Next(3) > 0)
            {
                await queue.SendAsync(new Message(Encoding.UTF8.GetBytes($"{queue.Name} {step}")) { Priority = (byte)random.Next(3), Delay = random.Next(8) == 0 ? TimeSpan.FromMinutes(random.Next(60)) : null });
            }
            else if (await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
            {
                switch (random.Next(4))
                {
                    case 0:
                        delivery.Nack(TimeSpan.Zero);
                        break;
                    case 1:
                        await delivery.SettleAsync(Settlement.Reject("bad"));
                        break;
                    case 2:
                        await delivery.AckAsync();
                        break;
                }
            }
        }
    });

    private async Task RebuildAndCheck(List<StoreRecord> all, List<StoreRecord> saved, List<StoreRecord> lost, Random random)
    {
        // Of some losses not even the key is found; and what is found comes in any order.
        StoreKey[] known = [.. lost.Select(record => record.Key).Where(_ => random.Next(4) > 0)];
        StoreRecord[] shuffled = [.. saved];
        random.Shuffle(shuffled);

        (InMemoryMessageStore store, IReadOnlyList<string> findings) = Rebuild(shuffled, known);

        Assert.That(findings, lost.Count == 0 ? Is.Empty : Is.Not.Empty);
        foreach (StoreKey key in known.Where(key => key.Kind is StoreKind.Message or StoreKind.Parked).Order().Take(100))
            Assert.That(findings, Has.One.StartsWith($"Message {key.Sequence} of queue "));
        List<StoreRecord> messages = [.. saved.Where(record => record.Key.Kind is StoreKind.Message or StoreKind.Parked)];
        await using (MessageBroker broker = await Open(store))
        {
            // Delayed ones are due by then, and so are those that failed.
            _clock.Advance(TimeSpan.FromHours(2));
            var found = new List<(long, string)>();
            foreach (MessageQueue queue in broker.Queues)
            {
                List<Delivery> delivered = await AckAll(queue);
                found.AddRange(delivered.Select(delivery => (delivery.Sequence, Text(delivery))));
                Assert.That(delivered.Where(delivery => !delivery.IsRedelivered).Select(delivery => (-delivery.Message.Priority, delivery.Sequence)), Is.Ordered);
                Assert.That(queue.GetSnapshot().Messages, Is.Zero);
            }
            Assert.That(found, Is.EquivalentTo(messages.Select(record => (record.Key.Sequence, Encoding.UTF8.GetString(record.Body.Span)))));
            MessageQueue fresh = await broker.DeclareQueueAsync("fresh");
            Assert.That((await fresh.SendAsync(Text("new"))).Sequence, Is.GreaterThan(all.Max(record => record.Key.Kind is StoreKind.Message or StoreKind.Parked ? record.Key.Sequence : 0)));
            Assert.That(fresh.Conductor.Id, Is.GreaterThan(all.Max(record => record.Key.Queue)));
        }
        await using MessageBroker again = await Open(store);
        Assert.That(await Drain(again.GetQueue("fresh")), Is.EqualTo(["new"]));
    }

    private async Task<List<StoreRecord>> Store(Func<MessageBroker, Task> live)
    {
        var store = new InMemoryMessageStore { WitnessedAt = _path, TimeProvider = _clock, Boot = _boot };
        MessageBroker broker = await Open(store);
        await live(broker);
        store.Crash();
        await broker.DisposeAsync();
        await using IMessageStore found = await ((IMessageStoreProvider)store).OpenAsync();
        return ReadAll(found);
    }

    private List<StoreRecord> ReadAll(IMessageStore store)
    {
        var page = new StorePage();
        store.Read(_firstOfAll, StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records];
    }

    private (InMemoryMessageStore Store, IReadOnlyList<string> Findings) Rebuild(IEnumerable<StoreRecord> saved, IEnumerable<StoreKey> lost)
    {
        var store = new InMemoryMessageStore { TimeProvider = _clock, Boot = _boot };
        IMessageStore session = ((IMessageStoreProvider)store).OpenAsync().AsTask().Result;
        using Witness witness = Witness.Open(_path, storeExists: true, forRepair: true, _clock, _boot);
        var rebuild = new StoreRebuild(session, witness);
        foreach (StoreRecord record in saved)
            rebuild.Add(record);
        foreach (StoreKey key in lost)
            rebuild.AddLost(key);
        IReadOnlyList<string> findings = rebuild.Complete(isDamaged: false);
        session.DisposeAsync().AsTask().Wait();
        store.WitnessedAt = _path;
        return (store, findings);
    }

    private async Task<MessageBroker> Open(InMemoryMessageStore store) => await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = store, TimeProvider = _clock });

    private static Message Text(string body) => new(Encoding.UTF8.GetBytes(body));

    private static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    // Of suspects only one is out at a time.
    private static async Task<List<Delivery>> AckAll(MessageQueue queue)
    {
        var all = new List<Delivery>();
        while (await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
        {
            all.Add(delivery);
            await delivery.AckAsync();
        }
        return all;
    }

    private static async Task<string[]> Drain(MessageQueue queue) => [.. (await AckAll(queue)).Select(Text)];
}
