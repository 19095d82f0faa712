using System.Text;
using QueueKit.Sqlite;
using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.Sqlite;

/// <summary>A broker, its SQLite files and their witness, from the damage to the repair: nothing confirmed goes missing unsaid, nothing wrong is delivered.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class DamagedSqliteTests
{
    private const int PageBytes = 4096;
    private const int FrameBytes = 24 + PageBytes;

    // For more: dotnet test --filter DamagedSqliteTests -- 'TestRunParameters.Parameter(name="DamageSeeds",value="2000")'
    private static readonly int s_seeds = TestContext.Parameters.Get("DamageSeeds", 40);

    private readonly VirtualClock _clock = new();
    private readonly TestFolder _folder = new();
    private int _copies;

    // By number: what is to be delivered.
    private readonly SortedDictionary<long, string> _expected = [];
    // By number: whatever was sent.
    private readonly Dictionary<long, string> _sent = [];

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task AFlushThatFailedIsRefusedUntilTheStoreIsRepairedAndNothingConfirmedIsLost()
    {
        const int FlushFailed = NativeSqlite.IOError | 4 << 8;
        bool failsNext = false;
        string path = _folder.File("queue.db");
        MessageBroker broker = await Open(path, () =>
        {
            if (failsNext)
                throw new SqliteError(FlushFailed, "disk I/O error: Input/output error");
        });
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 20; i++)
            await orders.SendAsync(Text($"{i}"));
        failsNext = true;

        StoreException failure = await Assert.ThrowsAsync<StoreException>(async () => await orders.SendAsync(Text("unknown")));

        Assert.That(failure.OutcomeUnknown, Is.True);
        Assert.That(async () => await orders.SendAsync(Text("later")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).False);
        Assert.That(async () => await broker.Completion, Throws.InstanceOf<StoreException>());
        await broker.DisposeAsync();
        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open(path));
        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(path).And.Contain("SqliteStore.RepairAsync").And.Contain("Input/output error"));

        SqliteRepairReport report = await SqliteStore.RepairAsync(path);

        Assert.That(report.Findings, Is.Empty);
        Assert.That(report.SetAside, Is.Not.Empty);
        await using MessageBroker repaired = await Open(path);
        string[] found = [.. (await Drain(repaired.GetQueue("orders"))).Select(Text)];
        Assert.That(found[..20], Is.EqualTo(Enumerable.Range(0, 20).Select(i => $"{i}")));
        Assert.That(found[20..], Is.Empty.Or.EqualTo(new[] { "unknown" }));
        await repaired.GetQueue("orders").SendAsync(Text("goes on"));
    }

    [Test]
    public async Task DamageAnywhereIsFoundOrDoesNoHarmAndAfterARepairTheRestIsThere()
    {
        Files files = await CrashedStore();
        var tally = new Tally();
        for (int seed = 1; seed <= s_seeds; seed++)
        {
            var random = new Random(seed);
            bool isLog = random.Next(2) == 0;
            byte[] damaged = [.. isLog ? files.Log : files.Data];
            string what = Damage(damaged, random);
            await Check(files with { Log = isLog ? damaged : files.Log, Data = isLog ? files.Data : damaged }, tally, $"seed {seed}: {what} of the {(isLog ? "log" : "database")}");
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–{s_seeds}: {tally}");
        Assert.That((tally.Refused, tally.Harmless), Is.GreaterThan((s_seeds / 4, 0)));
    }

    [Test]
    public async Task ALogCutOffOrDamagedAtItsEndIsRefusedByTheWitness()
    {
        Files files = await CrashedStore();
        int frames = FramesOf(files.Log);
        var tally = new Tally();
        var random = new Random(20261124);
        for (int frame = frames - 1; frame > frames - 7; frame--)
        {
            await Check(files with { Log = files.Log[..FrameAt(frame)] }, tally, $"cut off at frame {frame} of {frames}");
            await Check(files with { Log = files.Log[..(FrameAt(frame) + random.Next(1, FrameBytes))] }, tally, $"cut off in frame {frame} of {frames}");
            byte[] flipped = [.. files.Log];
            flipped[FrameAt(frame) + random.Next(FrameBytes)] ^= 1;
            await Check(files with { Log = flipped }, tally, $"a bit of frame {frame} of {frames} flipped");
        }
        await TestContext.Out.WriteLineAsync(tally.ToString());
        Assert.That(tally.Harmless, Is.Zero);
    }

    [Test]
    public async Task WhatTheWitnessRefusesIsNotTouched()
    {
        Files files = await CrashedStore();
        byte[] log = [.. files.Log];
        log[FrameAt(FramesOf(log)) - 100] ^= 1;
        string path = Write(files with { Log = log });

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open(path));

        Assert.That(refusal.Message, Does.Contain("1 confirmed commits are missing").And.Contain("SqliteStore.RepairAsync"));
        Assert.That(File.ReadAllBytes(path), Is.EqualTo(files.Data));
        Assert.That(File.ReadAllBytes(new StorePaths(path).Log), Is.EqualTo(log));
        SqliteRepairReport report = await SqliteStore.RepairAsync(path);
        Assert.That(report.Findings, Has.One.StartsWith("The last 1 confirmed commit (number "));
        Assert.That(report.Findings, Has.One.Contains("maybe delivered before"));
    }

    [Test]
    public async Task AStoreThatWasOnlyLookedAtIsClosedInGoodOrderAllTheSame()
    {
        Files files = await CrashedStore();
        string path = Write(files);

        await (await Open(path)).DisposeAsync();

        Assert.That(File.Exists(new StorePaths(path).Log), Is.False);
        await using MessageBroker broker = await Open(path);
        Assert.That(await DrainAll(broker), Is.EquivalentTo(_expected));
    }

    // Opens a copy, and repairs and opens another.
    private async Task Check(Files files, Tally tally, string what)
    {
        try
        {
            if (await TryReadAll(Write(files)) is { } read)
            {
                Assert.That(read, Is.EquivalentTo(_expected), "opened without a word");
                tally.Harmless++;
            }
            else
            {
                tally.Refused++;
            }

            string path = Write(files);
            SqliteRepairReport report = await SqliteStore.RepairAsync(path);
            List<KeyValuePair<long, string>> found;
            await using (MessageBroker broker = await Open(path))
            {
                found = await DrainAll(broker);
                MessageQueue fresh = await broker.DeclareQueueAsync("fresh");
                Assert.That((await fresh.SendAsync(Text("new"))).Sequence, Is.GreaterThan(_sent.Keys.Max()), "a number was used again");
            }
            await using (MessageBroker again = await Open(path))
                Assert.That((await Drain(again.GetQueue("fresh"))).Select(Text), Is.EqualTo(["new"]));

            string findings = string.Join('\n', report.Findings);
            Assert.That(found, Is.Unique);
            Assert.That(found, Is.SubsetOf(_sent), "delivered what was never sent");
            KeyValuePair<long, string>[] lost = [.. _expected.Except(found)], back = [.. found.Except(_expected)];
            bool commitsAreMissing = findings.Contains("missing", StringComparison.Ordinal);
            Assert.That(back.Length == 0 || commitsAreMissing, $"{back.Length} acknowledged messages are back, and the report does not say so:\n{findings}");
            foreach ((long number, _) in lost)
                Assert.That(commitsAreMissing || findings.Contains($"Message {number} of ", StringComparison.Ordinal) || findings.Contains("By its commits", StringComparison.Ordinal), $"message {number} is missing, and the report does not say so:\n{findings}");
            tally.Lost += lost.Length;
            tally.Back += back.Length;
            tally.Whole += lost.Length + back.Length == 0 ? 1 : 0;
        }
        catch (Exception error)
        {
            Assert.Fail($"{what}: {error}");
        }
    }

    private async Task<List<KeyValuePair<long, string>>?> TryReadAll(string path)
    {
        MessageBroker? broker = null;
        try
        {
            broker = await Open(path);
            return await DrainAll(broker);
        }
        catch (StoreException error)
        {
            Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable).Or.EqualTo(StoreFault.Stopped), error.Message);
            return null;
        }
        finally
        {
            if (broker is not null)
                await broker.DisposeAsync();
        }
    }

    // Three queues with a backlog, of which a part was acknowledged; a part in the data file, a part in the log; then the process ends.
    private async Task<Files> CrashedStore()
    {
        string path = _folder.File("queue.db");
        MessageBroker broker = await Open(path);
        var random = new Random(7);
        MessageQueue[] queues = [await broker.DeclareQueueAsync("a"), await broker.DeclareQueueAsync("b"), await broker.DeclareQueueAsync("c")];
        for (int step = 0; step < 150; step++)
        {
            MessageQueue queue = queues[random.Next(3)];
            string text = $"{queue.Name} {step} {new string('x', random.Next(10) == 0 ? random.Next(20_000) : random.Next(600))}";
            SendReceipt receipt = await queue.SendAsync(Text(text));
            _sent.Add(receipt.Sequence, text);
            _expected.Add(receipt.Sequence, text);
            if (random.Next(6) == 0 && await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
            {
                await delivery.AckAsync();
                _expected.Remove(delivery.Sequence);
            }
            // The store takes two looks to see that nothing goes on.
            if (step == 80)
                _clock.Advance(TimeSpan.FromSeconds(5));
        }
        // At rest, these are the files that a kill would leave.
        broker.Pipeline!.Witness!.Abandon();
        var files = new Files(await File.ReadAllBytesAsync(path), await File.ReadAllBytesAsync(new StorePaths(path).Log), await File.ReadAllBytesAsync(Witness.PathOf(path)));
        await broker.DisposeAsync();
        return files;
    }

    private string Write(Files files)
    {
        string path = Path.Combine(Directory.CreateDirectory(_folder.File($"copy {++_copies}")).FullName, "queue.db");
        File.WriteAllBytes(path, files.Data);
        File.WriteAllBytes(new StorePaths(path).Log, files.Log);
        File.WriteAllBytes(Witness.PathOf(path), files.Witness);
        return path;
    }

    private static string Damage(byte[] bytes, Random random)
    {
        int page = random.Next(bytes.Length / PageBytes), at = page * PageBytes;
        switch (random.Next(4))
        {
            case 0:
                bytes[at + random.Next(PageBytes)] ^= (byte)(1 << random.Next(8));
                return $"a bit of page {page}";
            case 1:
                bytes.AsSpan(at, PageBytes).Clear();
                return $"all of page {page}, cleared,";
            case 2:
                bytes.AsSpan(at + (random.Next(PageBytes / 512) * 512), 512).Clear();
                return $"a sector of page {page}, cleared,";
            default:
                random.NextBytes(bytes.AsSpan(at, PageBytes));
                return $"all of page {page}, scrambled,";
        }
    }

    // Behind them is what an earlier use of the log has left: it has other salts.
    private static int FramesOf(byte[] log)
    {
        int frames = 0;
        while (FrameAt(frames + 1) <= log.Length && log.AsSpan(FrameAt(frames) + 8, 8).SequenceEqual(log.AsSpan(16, 8)))
            frames++;
        return frames;
    }

    private static int FrameAt(int number) => 32 + (number * FrameBytes);

    private async Task<MessageBroker> Open(string path, Action? beforeWrite = null) => await MessageBroker.OpenAsync(new MessageBrokerOptions
    {
        Store = new SqliteStore(path, new SqliteStoreOptions { MinFreeBytes = 0 }, () => _clock, beforeWrite),
        TimeProvider = _clock,
    });

    private static async Task<List<KeyValuePair<long, string>>> DrainAll(MessageBroker broker)
    {
        var all = new List<KeyValuePair<long, string>>();
        foreach (MessageQueue queue in broker.Queues)
        {
            List<Delivery> delivered = await Drain(queue);
            Assert.That(delivered.Select(delivery => delivery.Sequence), Is.Ordered);
            all.AddRange(delivered.Select(delivery => KeyValuePair.Create(delivery.Sequence, Text(delivery))));
        }
        return all;
    }

    private static async Task<List<Delivery>> Drain(MessageQueue queue)
    {
        var all = new List<Delivery>();
        while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero) is { Count: > 0 } some)
            all.AddRange(some);
        foreach (Delivery delivery in all)
            delivery.Ack();
        return all;
    }

    private static Message Text(string text) => new(Encoding.UTF8.GetBytes(text));

    private static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    private sealed record Files(byte[] Data, byte[] Log, byte[] Witness);

    private sealed class Tally
    {
        public int Refused { get; set; }
        public int Harmless { get; set; }
        public int Whole { get; set; }
        public int Lost { get; set; }
        public int Back { get; set; }

        public override string ToString() =>
            $"{Refused + Harmless} damaged stores: {Refused} refused, {Harmless} opened with everything; after the repair {Whole} have everything, {Lost} messages are lost and {Back} are back in the others, all of it said";
    }
}
