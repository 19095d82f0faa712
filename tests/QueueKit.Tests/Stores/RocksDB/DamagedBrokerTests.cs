using QueueKit.RocksDB;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>A broker, its RocksDB files and their witness, from the damage to the repair: nothing confirmed goes missing unsaid, nothing wrong is delivered.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class DamagedBrokerTests
{
    // For more: dotnet test --filter DamagedBrokerTests -- 'TestRunParameters.Parameter(name="RocksDamageSeeds",value="2000")'
    private static readonly int s_seeds = TestContext.Parameters.Get("RocksDamageSeeds", 16);

    private readonly TestFolder _folder = new();
    private readonly DamageTally _tally = new();
    private CrashedStore _crashed = null!;

    [SetUp]
    public async Task MakeACrashedStore() => _crashed = await CrashedStore.MakeAsync(_folder);

    [TearDown]
    public void DeleteTheFolder() => _folder.Delete();

    [Test]
    public async Task AWholeStoreIsOpenedAndARepairOfItCopiesEverything()
    {
        await Check(_crashed.Files, "nothing");

        Assert.That((_tally.Harmless, _tally.Whole), Is.EqualTo((1, 1)));
    }

    [Test]
    public async Task WhicheverFileIsMissingItIsSaidOrDoesNoHarm()
    {
        foreach (string name in _crashed.Files.Keys)
            await Check(_crashed.With(name, null), $"{name} is missing");
        await TestContext.Out.WriteLineAsync($"{_crashed.Files.Count} files: {_tally}");
        Assert.That(_tally.Refused, Is.GreaterThanOrEqualTo(_crashed.Files.Keys.Count(StorePaths.IsOfDatabase)));
    }

    [Test]
    public async Task WhicheverFileIsCutOffItIsSaidOrDoesNoHarm()
    {
        var random = new Random(20261124);
        foreach ((string name, byte[] content) in _crashed.Files.Where(static file => file.Value.Length > 0))
        {
            await Check(_crashed.With(name, []), $"{name} is empty");
            int length = random.Next(1, content.Length);
            await Check(_crashed.With(name, content[..length]), $"{name} is cut off at {length} of {content.Length}");
        }
        await TestContext.Out.WriteLineAsync($"{_crashed.Files.Count} files: {_tally}");
        Assert.That(_tally.Refused, Is.GreaterThan(_tally.Harmless));
    }

    [Test]
    public async Task DamageAnywhereIsFoundOrDoesNoHarmAndAfterARepairTheRestIsThere()
    {
        string[] names = [.. _crashed.Files.Keys.Where(name => _crashed.Files[name].Length > 0 && !name.StartsWith("OPTIONS", StringComparison.Ordinal))];
        for (int seed = 1; seed <= s_seeds; seed++)
        {
            var random = new Random(seed);
            string name = names[random.Next(names.Length)];
            byte[] damaged = [.. _crashed.Files[name]];
            await Check(_crashed.With(name, damaged), $"seed {seed}: {Damage(damaged, random)} of {name}, which has {damaged.Length}");
        }
        await TestContext.Out.WriteLineAsync($"seeds 1–{s_seeds}: {_tally}");
        Assert.That((_tally.Refused, _tally.Harmless), Is.GreaterThan((s_seeds / 4, 0)));
    }

    [Test]
    public async Task ALogCutOffOrDamagedAnywhereIsRefusedAndNotTouched()
    {
        string log = _crashed.Log;
        byte[] content = _crashed.Files[log];
        var random = new Random(20261124);
        for (int i = 0; i < 4; i++)
        {
            // Close to its end first, where nothing but the witness knows that more was there.
            int at = content.Length - 1 - (int)(content.Length * (i / 4.0));
            byte[] flipped = [.. content];
            flipped[at] ^= (byte)(1 << random.Next(8));
            foreach ((string what, byte[] damaged) in ((string, byte[])[])[("cut off", content[..at]), ("flipped", flipped)])
            {
                SortedDictionary<string, byte[]> files = _crashed.With(log, damaged);
                string path = _crashed.Write(files);

                StoreException refusal = await Assert.ThrowsAsync<StoreException>(async () => await _crashed.OpenAsync(path));

                Assert.That(refusal.Fault, Is.EqualTo(StoreFault.Unreadable), $"{what} at {at}");
                Assert.That(refusal.Message, Does.Contain("missing").And.Contain(path).And.Contain("RocksDBStore.RepairAsync"), $"{what} at {at}");
                Assert.That(CrashedStore.Read(path), Is.EquivalentTo(files), $"{what} at {at}");
                await Check(files, $"{what} at {at}");
            }
        }
        Assert.That(_tally.Harmless, Is.Zero);
    }

    // A power cut leaves anything of what was not flushed, and of what was not confirmed the witness knows nothing.
    [Test]
    public async Task ATornTailThatWasNotConfirmedIsDropped()
    {
        string log = _crashed.Log;
        byte[] confirmed = _crashed.Files[log], torn = [.. confirmed, .. confirmed[^600..^100]];
        new Random(3).NextBytes(torn.AsSpan(confirmed.Length + 20, 40));
        for (int length = confirmed.Length + 1; length <= torn.Length; length += 250)
            await Check(_crashed.With(log, torn[..length]), $"{length - confirmed.Length} bytes of an unconfirmed commit", isHarmless: true);
        await Check(_crashed.With(log, [.. confirmed, .. new byte[5000]]), "zeros behind the last commit", isHarmless: true);
    }

    [Test]
    public async Task AStoreThatWasOnlyLookedAtIsWhatItWas()
    {
        string path = _crashed.Write();

        await (await _crashed.OpenAsync(path)).DisposeAsync();

        await using MessageBroker broker = await _crashed.OpenAsync(path);
        Assert.That(await CrashedStore.DrainAsync(broker), Is.EquivalentTo(_crashed.Expected));
    }

    // Opens a copy, and repairs and opens another.
    private async Task Check(IReadOnlyDictionary<string, byte[]> files, string what, bool isHarmless = false)
    {
        try
        {
            List<KeyValuePair<long, string>>? read = await TryReadAll(_crashed.Write(files));
            if (read is not null)
                Assert.That(read, Is.EquivalentTo(_crashed.Expected), "opened without a word");
            Assert.That(read is not null || !isHarmless, "refused");
            _tally.Harmless += read is null ? 0 : 1;
            _tally.Refused += read is null ? 1 : 0;
            await CheckRepair(_crashed.Write(files));
        }
        catch (Exception error)
        {
            Assert.Fail($"{what}: {error}");
        }
    }

    private async Task CheckRepair(string path)
    {
        RocksDBRepairReport report = await RocksDBStore.RepairAsync(path);
        List<KeyValuePair<long, string>> found;
        await using (MessageBroker broker = await _crashed.OpenAsync(path))
        {
            found = await CrashedStore.DrainAsync(broker);
            MessageQueue fresh = await broker.DeclareQueueAsync("fresh");
            Assert.That((await fresh.SendAsync(CrashedStore.Text("new"))).Sequence, Is.GreaterThan(_crashed.Sent.Keys.Max()), "a number was used again");
        }
        await using (MessageBroker again = await _crashed.OpenAsync(path))
            Assert.That((await CrashedStore.DrainAsync(again)).Select(static message => message.Value), Is.EqualTo(["new"]));

        string findings = string.Join('\n', report.Findings);
        Assert.That(found, Is.Unique);
        Assert.That(found, Is.SubsetOf(_crashed.Sent), "delivered what was never sent");
        KeyValuePair<long, string>[] lost = [.. _crashed.Expected.Except(found)], back = [.. found.Except(_crashed.Expected)];
        bool isSaid = findings.Contains("missing", StringComparison.Ordinal) || findings.Contains("may be back", StringComparison.Ordinal) || findings.Contains("Nothing can be read", StringComparison.Ordinal);
        Assert.That(back.Length == 0 || isSaid, $"{back.Length} acknowledged messages are back, and the report does not say so:\n{findings}");
        foreach ((long number, _) in lost)
            Assert.That(isSaid || findings.Contains($"Message {number} of ", StringComparison.Ordinal) || findings.Contains("By its commits", StringComparison.Ordinal), $"message {number} is missing, and the report does not say so:\n{findings}");
        _tally.Lost += lost.Length;
        _tally.Back += back.Length;
        _tally.Whole += lost.Length + back.Length == 0 ? 1 : 0;
    }

    private async Task<List<KeyValuePair<long, string>>?> TryReadAll(string path)
    {
        MessageBroker? broker = null;
        try
        {
            broker = await _crashed.OpenAsync(path);
            return await CrashedStore.DrainAsync(broker);
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

    private static string Damage(byte[] bytes, Random random)
    {
        int at = random.Next(bytes.Length), length = Math.Min(bytes.Length - at, 512);
        switch (random.Next(3))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                return $"a bit of byte {at}";
            case 1:
                bytes.AsSpan(at, length).Clear();
                return $"bytes {at} to {at + length}, cleared,";
            default:
                random.NextBytes(bytes.AsSpan(at, length));
                return $"bytes {at} to {at + length}, scrambled,";
        }
    }
}
