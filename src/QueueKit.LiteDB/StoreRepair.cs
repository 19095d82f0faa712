using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.LiteDB;

/// <summary>Copies what can be read of a store into a new file, which then takes its place.</summary>
/// <remarks>
/// The new file is whole, closed and on the disk before the old ones are touched. Then three renames, after each of which
/// the store refuses to open until the repair is called again and finishes them.
/// </remarks>
internal static class StoreRepair
{
    public static LiteDBRepairReport Run(IStoreFileSystem files, StorePaths paths)
    {
        (IDisposable storeLock, Witness? witness) = StoreOpening.Own(files, paths, TimeProvider.System, forRepair: true);
        using IDisposable ownership = storeLock;
        try
        {
            var findings = new List<string>();
            long messages = 0;
            if (files.Exists(paths.Repaired) && !files.Exists(paths.Data))
            {
                findings.Add("An earlier repair was cut short after it had copied everything; this one has put its file in place.");
            }
            else
            {
                if (!files.Exists(paths.Data))
                    throw StoreErrors.NothingToRepair(paths);
                messages = Copy(files, paths, witness, findings);
            }
            List<string> setAside = Exchange(files, paths);
            // The new files are on the disk and in their place: whatever the old ones were not to be believed for is past.
            witness?.ClearPoison();
            return new LiteDBRepairReport(messages, findings, setAside);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw StoreErrors.RepairFailed(paths, error);
        }
    }

    private static long Copy(IStoreFileSystem files, StorePaths paths, Witness? witness, List<string> findings)
    {
        foreach (string leftover in (ReadOnlySpan<string>)[paths.Repaired, paths.Repairing, new StorePaths(paths.Repairing).Log])
        {
            if (files.Exists(leftover))
                files.Delete(leftover);
        }
        using IStoreFile data = files.Open(paths.Data);
        using IStoreFile? log = files.Exists(paths.Log) ? files.Open(paths.Log) : null;
        SalvagedPages pages = new(data, log, ReadLog(data, log, paths, findings));
        var target = new StorePaths(paths.Repairing);
        IReadOnlyList<string> losses;
        long messages;
        using (LiteMessageStore store = LiteMessageStore.Create(files, target, new LiteDBStoreOptions { MinFreeBytes = 0 }, TimeProvider.System))
        {
            var rebuild = new StoreRebuild(store, witness);
            foreach (StoreRecord record in pages.ReadRecords())
                rebuild.Add(record);
            foreach (StoreKey key in pages.LostKeys)
                rebuild.AddLost(key);
            findings.AddRange(pages.Damage);
            losses = rebuild.Complete(isDamaged: findings.Count > 0);
            messages = rebuild.Messages;
            store.Close();
        }
        findings.AddRange(losses);
        files.Delete(target.Lock);
        files.Rename(paths.Repairing, paths.Repaired);
        files.SyncDirectory(paths.Repaired);
        return messages;
    }

    private static Dictionary<uint, long> ReadLog(IStoreFile data, IStoreFile? log, StorePaths paths, List<string> findings)
    {
        byte[] header = new byte[PageFormat.Size];
        StoreState? state = null;
        if (data.Read(0, header) == header.Length && PageFormat.Unseal(header, 0) is null && PageFormat.HasMark(header))
            state = PageFormat.ReadState(header);
        else
            findings.Add($"The first page of '{paths.Data}' is not what was written.");
        if (state is { Phase: not StorePhase.Live })
            return [];
        if (log is null)
        {
            findings.Add($"'{paths.Log}' is missing: {(state is null ? "if the store was not closed, " : "")}what was committed since the last checkpoint is lost.");
            return [];
        }
        byte[] first = new byte[PageFormat.Size];
        if (log.Read(0, first) == first.Length && PageFormat.TryReadLogHeader(first, out Guid storeId, out long generation, out _))
        {
            if (state is { } known && (known.StoreId != storeId || known.Generation != generation))
            {
                findings.Add($"'{paths.Log}' does not belong to '{paths.Data}' and was left out.");
                return [];
            }
            state ??= new StoreState(storeId, generation, StorePhase.Live);
        }
        else
        {
            findings.Add($"The first page of '{paths.Log}' is not what was written.");
        }
        return state is { } live ? LogScan.Salvage(log, live, findings) : [];
    }

    private static List<string> Exchange(IStoreFileSystem files, StorePaths paths)
    {
        var setAside = new List<string>();
        foreach (string old in (ReadOnlySpan<string>)[paths.Data, paths.Log])
        {
            if (!files.Exists(old))
                continue;
            string suffix = old == paths.Log ? "-log" : "";
            string aside = Enumerable.Range(1, int.MaxValue).Select(number => paths.Beside($"-damaged-{number}{suffix}")).First(path => !files.Exists(path));
            files.Rename(old, aside);
            setAside.Add(aside);
        }
        files.Rename(paths.Repaired, paths.Data);
        files.SyncDirectory(paths.Data);
        return setAside;
    }
}
