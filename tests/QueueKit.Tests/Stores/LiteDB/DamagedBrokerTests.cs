using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A broker, its LiteDB files and their witness, from the damage to the repair: nothing confirmed goes missing unsaid, nothing wrong is delivered.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class DamagedBrokerTests : DamagedFiles
{
    private const int PageLength = 8192;

    protected override int PageBytes => PageLength;

    [Test]
    public async Task AFlushThatFailedIsRefusedUntilTheStoreIsRepairedAndNothingConfirmedIsLost()
    {
        var files = new FailingFileSystem();
        string path = Folder.File("queue.db");
        MessageBroker broker = await Open(path, files);
        MessageQueue orders = await broker.DeclareQueueAsync("orders");
        for (int i = 0; i < 20; i++)
            await orders.SendAsync(Text($"{i}"));
        files.FailsNextSync = true;

        StoreException failure = await Assert.ThrowsAsync<StoreException>(async () => await orders.SendAsync(Text("unknown")));

        Assert.That(failure.OutcomeUnknown, Is.True);
        Assert.That(async () => await orders.SendAsync(Text("later")), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.OutcomeUnknown)).False);
        Assert.That(async () => await broker.Completion, Throws.InstanceOf<StoreException>());
        await broker.DisposeAsync();
        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open(path));
        Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable));
        Assert.That(refusal.Message, Does.Contain(path).And.Contain("LiteDBStore.RepairAsync").And.Contain("Input/output error"));

        LiteDBRepairReport report = await LiteDBStore.RepairAsync(path);

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
            await Check(files with { Log = isLog ? damaged : files.Log, Data = isLog ? files.Data : damaged }, tally, $"seed {seed}: {what} of the {(isLog ? "log" : "data file")}");
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–{Seeds}: {tally}");
        Assert.That((tally.Refused, tally.Harmless), Is.GreaterThan((Seeds / 4, 0)));
    }

    [Test]
    public async Task ALogCutOffOrDamagedAtItsEndIsRefusedByTheWitness()
    {
        Files files = await CrashedStore();
        int end = EndOf(files.Log), pages = end / PageLength;
        var tally = new DamageTally();
        var random = new Random(20261124);
        for (int page = pages - 1; page > pages - 7; page--)
        {
            await Check(files with { Log = files.Log[..(page * PageLength)] }, tally, $"cut off at page {page} of {pages}");
            await Check(files with { Log = files.Log[..((page * PageLength) + random.Next(1, PageLength))] }, tally, $"cut off in page {page} of {pages}");
            byte[] flipped = [.. files.Log];
            flipped[(page * PageLength) + random.Next(PageLength)] ^= 1;
            await Check(files with { Log = flipped }, tally, $"a bit of page {page} of {pages} flipped");
        }
        await TestContext.Out.WriteLineAsync(tally.ToString());
        Assert.That(tally.Harmless, Is.Zero);
    }

    [Test]
    public async Task WhatTheWitnessRefusesIsNotTouched()
    {
        Files files = await CrashedStore();
        byte[] log = [.. files.Log];
        log[EndOf(log) - 100] ^= 1;
        string path = Write(files with { Log = log });

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open(path));

        Assert.That(refusal.Message, Does.Contain("1 confirmed commits are missing").And.Contain("LiteDBStore.RepairAsync"));
        Assert.That(File.ReadAllBytes(path), Is.EqualTo(files.Data));
        Assert.That(File.ReadAllBytes(new StorePaths(path).Log), Is.EqualTo(log));
        LiteDBRepairReport report = await LiteDBStore.RepairAsync(path);
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

    // Behind it there are zeros, written ahead.
    private static int EndOf(byte[] log) => (log.AsSpan().LastIndexOfAnyExcept((byte)0) + PageLength) / PageLength * PageLength;

    private async Task<MessageBroker> Open(string path, IStoreFileSystem? files) => await MessageBroker.OpenAsync(new MessageBrokerOptions
    {
        Store = new LiteDBStore(path, new LiteDBStoreOptions { MinFreeBytes = 0 }, files ?? DiskFileSystem.Instance, () => Clock),
        TimeProvider = Clock,
    });

    protected override Task<MessageBroker> Open(string path) => Open(path, null);

    protected override async Task<IReadOnlyList<string>> RepairAsync(string path) => (await LiteDBStore.RepairAsync(path)).Findings;

    protected override string LogOf(string path) => new StorePaths(path).Log;
}
