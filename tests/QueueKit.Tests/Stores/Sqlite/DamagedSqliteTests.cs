using QueueKit.Sqlite;
using QueueKit.Sqlite.Engine;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.Sqlite;

/// <summary>A broker, its SQLite files and their witness, from the damage to the repair: nothing confirmed goes missing unsaid, nothing wrong is delivered.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class DamagedSqliteTests : DamagedFiles
{
    private const int PageLength = 4096;
    private const int FrameBytes = 24 + PageLength;

    protected override int PageBytes => PageLength;

    [Test]
    public async Task AFlushThatFailedIsRefusedUntilTheStoreIsRepairedAndNothingConfirmedIsLost()
    {
        const int FlushFailed = NativeSqlite.IOError | 4 << 8;
        bool failsNext = false;
        string path = Folder.File("queue.db");
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
        var tally = new DamageTally();
        for (int seed = 1; seed <= Seeds; seed++)
        {
            var random = new Random(seed);
            bool isLog = random.Next(2) == 0;
            byte[] damaged = [.. isLog ? files.Log : files.Data];
            string what = Damage(damaged, random);
            await Check(files with { Log = isLog ? damaged : files.Log, Data = isLog ? files.Data : damaged }, tally, $"seed {seed}: {what} of the {(isLog ? "log" : "database")}");
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–{Seeds}: {tally}");
        Assert.That((tally.Refused, tally.Harmless), Is.GreaterThan((Seeds / 4, 0)));
    }

    [Test]
    public async Task ALogCutOffOrDamagedAtItsEndIsRefusedByTheWitness()
    {
        Files files = await CrashedStore();
        int frames = FramesOf(files.Log);
        var tally = new DamageTally();
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
        Assert.That(await DrainAll(broker), Is.EquivalentTo(Expected));
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

    private async Task<MessageBroker> Open(string path, Action? beforeWrite) => await MessageBroker.OpenAsync(new MessageBrokerOptions
    {
        Store = new SqliteStore(path, new SqliteStoreOptions { MinFreeBytes = 0 }, () => Clock, beforeWrite),
        TimeProvider = Clock,
    });

    protected override Task<MessageBroker> Open(string path) => Open(path, null);

    protected override async Task<IReadOnlyList<string>> RepairAsync(string path) => (await SqliteStore.RepairAsync(path)).Findings;

    protected override string LogOf(string path) => new StorePaths(path).Log;
}
