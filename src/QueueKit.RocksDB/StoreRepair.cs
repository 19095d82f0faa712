using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.RocksDB;

/// <summary>Copies what can be read of a store into a new database, which then takes its place.</summary>
/// <remarks>
/// The new one is whole, closed and on the disk before the old one is touched. Then two renames, between which the store refuses to open until the repair
/// is called again and finishes them.
/// </remarks>
internal static class StoreRepair
{
    public static RocksDBRepairReport Run(StorePaths paths)
    {
        using Witness witness = StoreOpening.Own(paths, TimeProvider.System, forRepair: true);
        try
        {
            var findings = new List<string>();
            long messages = 0;
            if (!Directory.Exists(paths.Folder) && Directory.Exists(paths.Repaired))
                findings.Add("An earlier repair was cut short after it had copied everything; this one has put its folder in place.");
            else
                messages = Copy(paths, witness, findings);
            List<string> setAside = Exchange(paths);
            // The new files are on the disk and in their place: whatever the old ones were not to be believed for is past.
            witness.ClearPoison();
            return new RocksDBRepairReport(messages, findings, setAside);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or RocksException)
        {
            throw StoreErrors.RepairFailed(paths, error);
        }
    }

    private static long Copy(StorePaths paths, Witness witness, List<string> findings)
    {
        if (!paths.Names().Any(StorePaths.IsOfDatabase))
            throw StoreErrors.NothingToRepair(paths);
        foreach (string leftover in (ReadOnlySpan<string>)[paths.Repaired, paths.Repairing, paths.Salvaged])
            Delete(leftover);
        long messages;
        using (RocksEngine source = OpenSource(paths, findings))
            messages = Copy(source, paths, witness, findings);
        Delete(paths.Salvaged);
        FolderNames.Rename(paths.Repairing, paths.Repaired);
        return messages;
    }

    private static long Copy(RocksEngine source, StorePaths paths, Witness witness, List<string> findings)
    {
        var salvage = new SalvagedRecords(source, paths.Names().Where(static name => name.EndsWith(".blob", StringComparison.Ordinal)).Select(name => Path.Combine(paths.Folder, name)));
        RocksMessageStore store = RocksMessageStore.Create(new StorePaths(paths.Repairing), new RocksDBStoreOptions { MinFreeBytes = 0 });
        try
        {
            var rebuild = new StoreRebuild(store, witness);
            foreach (StoreRecord record in salvage.Read())
                rebuild.Add(record);
            if (salvage.Records == 0 && salvage.LostKeys.Count == 0)
                throw StoreErrors.NotAStore(paths.Folder, "none of the records in it is one of a store");
            foreach (StoreKey key in salvage.LostKeys)
                rebuild.AddLost(key);
            findings.AddRange(salvage.Damage);
            findings.AddRange(rebuild.Complete(isDamaged: findings.Count > 0));
            store.Close();
            return rebuild.Messages;
        }
        finally
        {
            store.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }
    }

    // As it is, if RocksDB can make sense of it; otherwise what RocksDB's own repair makes of its tables and logs, in a folder beside it.
    private static RocksEngine OpenSource(StorePaths paths, List<string> findings)
    {
        var options = new RocksDBStoreOptions();
        try
        {
            RocksEngine source = RocksEngine.Open(paths.Folder, RocksMode.Salvage, options);
            RefuseOtherFormat(source, paths);
            return source;
        }
        catch (RocksException error)
        {
            findings.Add($"RocksDB cannot open '{paths.Folder}' as it is ({error.Message}); what its tables and logs hold was put together anew, and what was deleted may be back.");
        }
        Directory.CreateDirectory(paths.Salvaged);
        foreach (string name in paths.Names().Where(static name => name != "LOCK"))
            LinkOrCopy(Path.Combine(paths.Folder, name), Path.Combine(paths.Salvaged, name));
        RocksEngine.Repair(paths.Salvaged);
        return RocksEngine.Open(paths.Salvaged, RocksMode.Salvage, options);
    }

    private static void RefuseOtherFormat(RocksEngine source, StorePaths paths)
    {
        try
        {
            if (source.Get(FormatRecord.Key) is { } record && FormatRecord.Read(record) is { } version and not FormatRecord.Version)
                throw StoreErrors.TooNew(paths.Folder, version);
        }
        catch (RocksException)
        {
            // Damaged: then the records themselves say whether this is a store.
        }
        catch (StoreException)
        {
            source.Dispose();
            throw;
        }
    }

    // Tables never change once they are written, so they can be shared.
    private static void LinkOrCopy(string from, string to)
    {
        if (Path.GetExtension(from) is not (".sst" or ".blob") || !FolderNames.TryLink(from, to))
            File.Copy(from, to);
    }

    private static List<string> Exchange(StorePaths paths)
    {
        var setAside = new List<string>();
        if (Directory.Exists(paths.Folder))
        {
            string aside = paths.FindDamaged();
            FolderNames.Rename(paths.Folder, aside);
            setAside.Add(aside);
        }
        FolderNames.Rename(paths.Repaired, paths.Folder);
        return setAside;
    }

    private static void Delete(string folder)
    {
        if (Directory.Exists(folder))
            Directory.Delete(folder, recursive: true);
    }
}
