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
    // A log is given its space ahead, as much as the buffer holds: on a disk that was full there may be little.
    private static readonly RocksDBStoreOptions s_target = new() { MinFreeBytes = 0, WriteBufferBytes = 4 * 1024 * 1024 };

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
        catch (StoreException error) when (error is { Fault: StoreFault.Failed or StoreFault.Refused, InnerException: { } cause } && error.Path == paths.Repairing)
        {
            throw StoreErrors.RepairFailed(paths, cause);
        }
    }

    private static long Copy(StorePaths paths, Witness witness, List<string> findings)
    {
        if (!paths.Names().Any(StorePaths.IsOfDatabase))
            throw StoreErrors.NothingToRepair(paths);
        foreach (string leftover in (ReadOnlySpan<string>)[paths.Repaired, paths.Repairing, paths.Salvaged])
            Delete(leftover);
        long messages;
        RocksMessageStore store = RocksMessageStore.Create(new StorePaths(paths.Repairing), s_target);
        try
        {
            var rebuild = new StoreRebuild(store, witness);
            CopyRecords(paths, rebuild, findings);
            findings.AddRange(rebuild.Complete(isDamaged: findings.Count > 0));
            store.Close();
            messages = rebuild.Messages;
        }
        finally
        {
            store.Dispose();
        }
        Delete(paths.Salvaged);
        FolderNames.Rename(paths.Repairing, paths.Repaired);
        return messages;
    }

    private static void CopyRecords(StorePaths paths, StoreRebuild rebuild, List<string> findings)
    {
        long records = 0;
        IReadOnlyList<KeyGap> gaps;
        try
        {
            using RocksEngine source = RocksEngine.Open(paths.Folder, RocksMode.Salvage, new RocksDBStoreOptions());
            RefuseOtherFormat(source, paths);
            gaps = Copy(source, paths, KeyGap.All(""), rebuild, ref records);
        }
        catch (RocksException error)
        {
            gaps = [KeyGap.All($"RocksDB cannot open '{paths.Folder}' as it is ({error.Message})")];
        }
        if (gaps.Count > 0)
            CopyFromWholeTables(paths, gaps, rebuild, findings, ref records);
        if (records == 0)
            throw StoreErrors.NotAStore(paths.Folder, "none of the records in it is one of a store");
    }

    // A table that is damaged hides what others have under the same keys. RocksDB's own repair leaves such tables out altogether, and whatever else the list of files says.
    private static void CopyFromWholeTables(StorePaths paths, IReadOnlyList<KeyGap> gaps, StoreRebuild rebuild, List<string> findings, ref long records)
    {
        Directory.CreateDirectory(paths.Salvaged);
        foreach (string name in paths.Names().Where(static name => name != "LOCK"))
            LinkOrCopy(Path.Combine(paths.Folder, name), Path.Combine(paths.Salvaged, name));
        RocksEngine.Repair(paths.Salvaged);
        using RocksEngine whole = RocksEngine.Open(paths.Salvaged, RocksMode.Salvage, new RocksDBStoreOptions());
        foreach (KeyGap gap in gaps)
        {
            long before = records;
            findings.AddRange(Copy(whole, paths, gap, rebuild, ref records).Select(static rest => $"{rest.Reason}."));
            findings.Add($"{gap.Reason}; {records - before} records were found there in tables and logs that are whole, and what had been deleted there may be back.");
        }
    }

    private static IReadOnlyList<KeyGap> Copy(RocksEngine source, StorePaths paths, KeyGap range, StoreRebuild rebuild, ref long records)
    {
        var salvage = new SalvagedRecords(source, paths.Names().Where(static name => name.EndsWith(".blob", StringComparison.Ordinal)).Select(name => Path.Combine(paths.Folder, name)));
        foreach (StoreRecord record in salvage.Read(range))
        {
            rebuild.Add(record);
            records++;
        }
        foreach (StoreKey key in salvage.LostKeys)
            rebuild.AddLost(key);
        records += salvage.LostKeys.Count;
        return salvage.Gaps;
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
