using LiteDB;
using QueueKit.LiteDB;
using QueueKit.Queues;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A repair copies what can be read, says what cannot, and may itself be cut short.</summary>
public class RepairTests
{
    private static StorePaths Paths => SimulatedStore.Paths;

    [TestCase(true)]
    [TestCase(false)]
    public async Task ARepairOfAWholeStoreCopiesEverything(bool wasClosed)
    {
        SimulatedDisk disk = await Store(wasClosed);
        string[] before = Read(disk.AfterCrash());

        LiteDBRepairReport report = StoreRepair.Run(disk, Paths);

        Assert.That(report.Findings, Is.Empty);
        Assert.That(report.Messages, Is.EqualTo(before.Length));
        Assert.That(report.SetAside, Has.Count.EqualTo(wasClosed ? 1 : 2).And.All.Matches<string>(path => disk.Exists(path!)));
        Assert.That(disk.Exists(Paths.Log), Is.False);
        Assert.That(Read(disk), Is.EqualTo(before));
    }

    [Test]
    public async Task ADamagedPageCostsWhatStoodInItAndThatIsNamed()
    {
        SimulatedDisk template = await Store(wasClosed: true);
        string[] before = Read(template.AfterCrash());
        byte[] data = template.ReadAll(Paths.Data);
        int lostInAll = 0;
        for (int page = 0; page < data.Length / 8192; page++)
        {
            SimulatedDisk disk = template.AfterCrash();
            byte[] damaged = [.. data];
            damaged[(page * 8192) + 3000] ^= 16;
            disk.Put(Paths.Data, damaged);

            LiteDBRepairReport report = StoreRepair.Run(disk, Paths);

            string[] after = Read(disk);
            int named = report.Findings.Count(finding => finding.StartsWith("Message ", StringComparison.Ordinal));
            Assert.That(after, Is.SubsetOf(before), $"page {page}");
            Assert.That(report.Findings, Is.Not.Empty, $"page {page}");
            Assert.That(named, Is.EqualTo(before.Length - after.Length), $"page {page}");
            lostInAll += named;
        }
        Assert.That(lostInAll, Is.GreaterThan(0));
    }

    [Test]
    public async Task DamageInTheLogCostsTheCommitThatItHit()
    {
        SimulatedDisk disk = await Store(wasClosed: false);
        string[] before = Read(disk.AfterCrash());
        byte[] log = disk.ReadAll(Paths.Log);
        // The first commits put one record each.
        log[(3 * 8192) + 100] ^= 1;
        disk.Put(Paths.Log, log);

        LiteDBRepairReport report = StoreRepair.Run(disk, Paths);

        Assert.That(report.Findings, Has.Some.Contains("The log is damaged between its pages"));
        Assert.That(before.Except(Read(disk)).Count(), Is.LessThanOrEqualTo(1));
    }

    [Test]
    public async Task AStoreWithoutItsLogGoesOnFromTheLastCheckpoint()
    {
        SimulatedDisk disk = await Store(wasClosed: false);
        disk.Remove(Paths.Log);

        LiteDBRepairReport report = StoreRepair.Run(disk, Paths);

        Assert.That(report.Findings, Has.One.Contains("is missing"));
        Assert.That(Read(disk), Is.Empty);
    }

    [Test]
    public void WhereThereIsNothingThereIsNothingToRepair() =>
        Assert.That(() => StoreRepair.Run(new SimulatedDisk(), Paths), Throws.InstanceOf<StoreException>().With.Message.Contains("no store"));

    [Test]
    public async Task AStoreThatIsOpenIsNotRepaired()
    {
        SimulatedDisk disk = await Store(wasClosed: true);
        await using LiteMessageStore store = SimulatedStore.Open(disk);

        Assert.That(() => StoreRepair.Run(disk, Paths), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.InUse));
    }

    [Test]
    public async Task ARepairThatIsCutShortIsDoneAgainAndNothingIsLost()
    {
        SimulatedDisk template = await Store(wasClosed: false);
        string[] before = Read(template.AfterCrash());
        bool wasCut = true;
        int calls = 0;
        for (int call = 1; wasCut; call++)
        {
            SimulatedDisk disk = template.AfterCrash();
            disk.CutAt = call;
            var random = new Random(call);
            disk.Random = random;
            wasCut = false;
            try
            {
                StoreRepair.Run(disk, Paths);
            }
            catch (StoreException) when (disk.IsCut)
            {
                wasCut = true;
                calls++;
            }
            disk = disk.Reboot(random);
            if (!disk.Exists(Paths.Data))
                Assert.That(() => SimulatedStore.Open(disk), Throws.InstanceOf<StoreException>().With.Message.Contains("RepairAsync again"), $"cut at call {call}");
            else if (random.Next(2) == 0)
                Assert.That(Read(disk.AfterCrash()), Is.EqualTo(before), $"cut at call {call}");

            StoreRepair.Run(disk, Paths);

            Assert.That(Read(disk), Is.EqualTo(before), $"cut at call {call}");
        }
        Assert.That(calls, Is.GreaterThan(30));
    }

    [Test]
    public async Task WhatAnotherProgramHasWrittenIsRead()
    {
        var folder = new TestFolder();
        try
        {
            string path = folder.File("queue.db");
            IMessageStoreProvider provider = new LiteDBStore(path);
            await using (IMessageStore store = await provider.OpenAsync())
                SomeBatch.Fill((LiteMessageStore)store);
            using (var other = new LiteDatabase(path))
            {
                other.GetCollection("records").Delete(RecordDocument.KeyOf(SomeBatch.Key(3)));
                other.Checkpoint();
            }
            Assert.That(() => ReadAsync(provider), Throws.InstanceOf<StoreException>().With.Message.Contains("another program"));

            LiteDBRepairReport report = await LiteDBStore.RepairAsync(path);

            Assert.That(await ReadAsync(provider), Has.Length.EqualTo(29));
            Assert.That(report.Messages, Is.EqualTo(29));
        }
        finally
        {
            folder.Delete();
        }
    }

    private static async Task<SimulatedDisk> Store(bool wasClosed)
    {
        SimulatedDisk disk = await SimulatedStore.NewDisk();
        LiteMessageStore store = SimulatedStore.Open(disk, logBytes: 1 << 24);
        SomeBatch.Fill(store);
        if (wasClosed)
            store.Close();
        return disk.AfterCrash();
    }

    private static async Task<string[]> ReadAsync(IMessageStoreProvider provider)
    {
        await using IMessageStore store = await provider.OpenAsync();
        return Messages(store);
    }

    private static string[] Read(SimulatedDisk disk)
    {
        using LiteMessageStore store = SimulatedStore.Open(disk);
        return Messages(store);
    }

    private static string[] Messages(IMessageStore store)
    {
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records.Select(record => StoreModel.Describe(record.Key, record.Head, record.Body))];
    }
}
