namespace QueueKit.Testing.Contract;

/// <summary>Files that are not what was written: found and said, never handed out, never silently skipped.</summary>
internal static class DamageCases
{
    // For each way of damage. More are a matter of more runs with other seeds.
    private const int Seeds = 12;

    private const string Found = "damage in what was confirmed is found and reported, never delivered as good and never silently skipped";

    public static IEnumerable<StoreContractCase> All =>
    [
        Cases.New(Found, StoreAbilities.Durable, DamageToAClosedStoreIsFoundOrDoesNoHarm),
        Cases.New(Found, StoreAbilities.Durable, DamageToAKilledStoreIsFoundOrDoesNoHarm),
        Cases.New(Found, StoreAbilities.Durable, AFileOfAClosedStoreThatIsCutOffOrGoneIsFoundOrDoesNoHarm),
        Cases.New(Found, StoreAbilities.Durable, AFileOfAKilledStoreThatIsCutOffOrGoneIsFoundOrDoesNoHarm),
    ];

    private static Task DamageToAClosedStoreIsFoundOrDoesNoHarm(ContractRun run) => ForEachSeed(run, isClosed: true, Flip);

    private static Task DamageToAKilledStoreIsFoundOrDoesNoHarm(ContractRun run) => ForEachSeed(run, isClosed: false, Flip);

    private static Task AFileOfAClosedStoreThatIsCutOffOrGoneIsFoundOrDoesNoHarm(ContractRun run) => ForEachSeed(run, isClosed: true, CutOff);

    private static Task AFileOfAKilledStoreThatIsCutOffOrGoneIsFoundOrDoesNoHarm(ContractRun run) => ForEachSeed(run, isClosed: false, CutOff);

    private static async Task ForEachSeed(ContractRun run, bool isClosed, Func<SortedDictionary<string, byte[]>, string, Random, string> damage)
    {
        (SortedDictionary<string, byte[]> files, Traffic sent) = await Fill(run, isClosed).ConfigureAwait(false);
        string[] names = [.. files.Keys.Where(static name => !name.EndsWith("-witness", StringComparison.Ordinal))];
        long total = names.Sum(name => (long)files[name].Length);
        for (int seed = run.Place.Seed; seed < run.Place.Seed + Seeds; seed++)
        {
            var random = new Random(seed);
            var damaged = new SortedDictionary<string, byte[]>(files, StringComparer.Ordinal);
            // Small files as often as large ones in half of the cases, in the other half every byte as often as any.
            string name = names[random.Next(names.Length)];
            if (seed % 2 == 0)
            {
                long at = random.NextInt64(total);
                name = names.First(one => (at -= files[one].Length) < 0);
            }
            string what = damage(damaged, name, random);
            await ExpectFoundOrHarmless(run, damaged, sent, $"seed {seed}, {(isClosed ? "closed" : "killed")}: {what}").ConfigureAwait(false);
        }
        run.IsOutcomeUnknown = true;
    }

    private static async Task<(SortedDictionary<string, byte[]> Files, Traffic Sent)> Fill(ContractRun run, bool isClosed)
    {
        await run.Store.DisposeAsync().ConfigureAwait(false);
        var sent = new Traffic(run.Place.Seed);
        SortedDictionary<string, byte[]> files = [];
        await Traffic.WithBrokerAsync(run, run.Provider, async broker =>
        {
            await sent.RunAsync(broker, 120).ConfigureAwait(false);
            files = StoreInFolder.ReadFiles(run.InFolder.Folder);
        }).ConfigureAwait(false);
        return (isClosed ? StoreInFolder.ReadFiles(run.InFolder.Folder) : files, sent);
    }

    private static string Flip(SortedDictionary<string, byte[]> files, string name, Random random)
    {
        byte[] bytes = files[name] = [.. files[name]];
        if (bytes.Length == 0)
            return $"{name} is empty, and left alone";
        int at = random.Next(bytes.Length), sector = at / 512 * 512;
        switch (random.Next(3))
        {
            case 0:
                bytes[at] ^= (byte)(1 << random.Next(8));
                return $"a bit of byte {at} of {name} flipped";
            case 1:
                bytes.AsSpan(sector, Math.Min(512, bytes.Length - sector)).Clear();
                return $"sector {sector / 512} of {name} cleared";
            default:
                random.NextBytes(bytes.AsSpan(sector, Math.Min(512, bytes.Length - sector)));
                return $"sector {sector / 512} of {name} scrambled";
        }
    }

    private static string CutOff(SortedDictionary<string, byte[]> files, string name, Random random)
    {
        if (random.Next(4) == 0)
        {
            files.Remove(name);
            return $"{name} gone";
        }
        int length = files[name].Length == 0 ? 0 : random.Next(files[name].Length);
        files[name] = files[name][..length];
        return $"{name} cut off after {length} bytes";
    }

    private static async Task ExpectFoundOrHarmless(ContractRun run, SortedDictionary<string, byte[]> damaged, Traffic sent, string when)
    {
        string folder = run.InFolder.NewFolder();
        StoreInFolder.Write(damaged, folder);
        try
        {
            await Traffic.WithBrokerAsync(run, run.InFolder.CreateProviderIn(folder), async broker =>
                sent.ExpectExactly(run, await Traffic.DrainAsync(broker).ConfigureAwait(false), $"{when}, opened without a word")).ConfigureAwait(false);
        }
        catch (StoreException error)
        {
            // At opening, or by a reading later, after which durable queues have stopped.
            run.True(error.Fault is StoreFault.Unreadable or StoreFault.Stopped, $"{when}: a refusal with {StoreFault.Unreadable}", $"{error.Fault}: {error.Message}");
            run.True(error.Message.Contains(folder, StringComparison.Ordinal), $"{when}: a message that names the place, {folder}", error.Message);
        }
        Directory.Delete(folder, recursive: true);
    }
}
