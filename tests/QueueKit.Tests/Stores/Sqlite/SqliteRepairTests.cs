using QueueKit.Queues;
using QueueKit.Sqlite;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.Sqlite;

/// <summary>A repair copies what can be read, says what cannot, and may itself be cut short.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class SqliteRepairTests
{
    private const int PageBytes = 4096;

    private readonly TestFolder _folder = new();

    private string Data => _folder.File("queue.db");

    private string Log => _folder.File("queue.db-wal");

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [TestCase(true)]
    [TestCase(false)]
    public async Task ARepairOfAWholeStoreCopiesEverything(bool wasClosed)
    {
        string[] before = await Store(wasClosed);

        SqliteRepairReport report = await SqliteStore.RepairAsync(Data);

        Assert.That(report.Findings.Where(finding => !finding.Contains("witness", StringComparison.Ordinal) && !finding.Contains("numbers", StringComparison.Ordinal)), Is.Empty);
        Assert.That(report.Messages, Is.EqualTo(before.Length));
        Assert.That(report.SetAside, Has.Count.EqualTo(wasClosed ? 1 : 2).And.All.Matches<string>(path => File.Exists(path!)));
        Assert.That(File.Exists(Log), Is.False);
        Assert.That(await Messages(), Is.EqualTo(before));
    }

    [Test]
    public async Task ADamagedPageCostsWhatStoodInItAndThatIsSaid()
    {
        string[] before = await Store(wasClosed: true);
        byte[] data = await File.ReadAllBytesAsync(Data);
        int lostInAll = 0;
        for (int page = 0; page < data.Length / PageBytes; page++)
        {
            foreach (string path in Directory.EnumerateFiles(_folder.Path))
                File.Delete(path);
            byte[] damaged = [.. data];
            damaged.AsSpan((page * PageBytes) + 2000, 512).Clear();
            await File.WriteAllBytesAsync(Data, damaged);

            SqliteRepairReport report = await SqliteStore.RepairAsync(Data);

            string[] after = await Messages();
            string findings = string.Join('\n', report.Findings);
            Assert.That(after, Is.SubsetOf(before), $"page {page}");
            if (after.Length < before.Length)
                Assert.That(findings, Does.Contain("is lost").Or.Contain("cannot be read").Or.Contain("not what was written"), $"page {page}");
            lostInAll += before.Length - after.Length;
        }
        Assert.That(lostInAll, Is.GreaterThan(10));
    }

    [Test]
    public async Task DamageInTheLogCostsTheCommitThatItHitAndNotThoseBehindIt()
    {
        string[] before = await Store(wasClosed: false);
        byte[] log = await File.ReadAllBytesAsync(Log);
        // Of the first commits: each has put one record.
        log[32 + (6 * (24 + PageBytes)) + 1000] ^= 1;
        await File.WriteAllBytesAsync(Log, log);

        SqliteRepairReport report = await SqliteStore.RepairAsync(Data);

        Assert.That(report.Findings, Has.Some.Contains("is damaged between its frames"));
        Assert.That(before.Except(await Messages()).Count(), Is.LessThanOrEqualTo(1));
    }

    [Test]
    public async Task AStoreWithoutItsLogGoesOnFromTheLastCheckpoint()
    {
        await Store(wasClosed: false);
        File.Delete(Log);

        await SqliteStore.RepairAsync(Data);

        Assert.That(await Messages(), Is.Empty);
    }

    [Test]
    public void WhereThereIsNothingThereIsNothingToRepair() =>
        Assert.That(async () => await SqliteStore.RepairAsync(Data), Throws.InstanceOf<StoreException>().With.Message.Contains("no store"));

    [Test]
    public async Task AStoreThatIsOpenIsNotRepaired()
    {
        await Store(wasClosed: true);
        await using IMessageStore store = await Open();

        Assert.That(async () => await SqliteStore.RepairAsync(Data), Throws.InstanceOf<StoreException>().With.Property(nameof(StoreException.Fault)).EqualTo(StoreFault.InUse));
    }

    // Every step of a repair is a file that is there, or has another name.
    [TestCase("queue.db-repairing")]
    [TestCase("queue.db-repaired")]
    public async Task ARepairThatWasCutShortBeforeTheExchangeBeginsAnew(string leftover)
    {
        string[] before = await Store(wasClosed: false);
        await File.WriteAllTextAsync(_folder.File(leftover), "half of something");

        SqliteRepairReport report = await SqliteStore.RepairAsync(Data);

        Assert.That(report.Messages, Is.EqualTo(before.Length));
        Assert.That(await Messages(), Is.EqualTo(before));
        Assert.That(File.Exists(_folder.File(leftover)), Is.False);
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task ARepairThatWasCutShortInTheExchangeGoesOnThere(bool logIsStillThere)
    {
        string[] before = await Store(wasClosed: false);
        byte[] log = await File.ReadAllBytesAsync(Log);
        await SqliteStore.RepairAsync(Data);
        File.Move(Data, _folder.File("queue.db-repaired"));
        if (logIsStillThere)
            await File.WriteAllBytesAsync(Log, log);

        StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await Open());

        Assert.That(refusal.Message, Does.Contain("cut short").And.Contain("RepairAsync again"));
        SqliteRepairReport report = await SqliteStore.RepairAsync(Data);
        Assert.That(report.Findings, Has.One.Contains("cut short"));
        Assert.That(await Messages(), Is.EqualTo(before));
    }

    // Thirty messages of a queue, some on pages of their own. Without a witness: the store is as it was found somewhere.
    private async Task<string[]> Store(bool wasClosed)
    {
        string made = _folder.File("made.db");
        string[] messages;
        await using (IMessageStore store = await Open(made))
        {
            SomeBatch.Fill(store);
            messages = Messages(store);
            if (!wasClosed)
                CopyTo(made);
        }
        if (wasClosed)
            CopyTo(made);
        foreach (string path in Directory.EnumerateFiles(_folder.Path, "made*"))
            File.Delete(path);
        return messages;
    }

    private void CopyTo(string made)
    {
        File.Copy(made, Data);
        if (File.Exists(made + "-wal"))
            File.Copy(made + "-wal", Log);
    }

    private ValueTask<IMessageStore> Open(string? path = null)
    {
        IMessageStoreProvider provider = new SqliteStore(path ?? Data, new SqliteStoreOptions { MinFreeBytes = 0, TimeProvider = new VirtualClock() });
        return provider.OpenAsync();
    }

    private async Task<string[]> Messages()
    {
        await using IMessageStore store = await Open();
        return Messages(store);
    }

    private static string[] Messages(IMessageStore store)
    {
        var page = new StorePage();
        store.Read(StoreKey.First(StoreKind.Message), StoreKey.After(StoreKind.Message), int.MaxValue, long.MaxValue, page);
        return [.. page.Records.Select(record => StoreModel.Describe(record.Key, record.Head, record.Body))];
    }
}
