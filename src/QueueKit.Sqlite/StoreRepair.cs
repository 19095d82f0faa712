using QueueKit.Sqlite.Engine;
using QueueKit.Sqlite.Salvage;
using QueueKit.Stores;

namespace QueueKit.Sqlite;

/// <summary>Copies what can be read of a store into a new file, which then takes its place.</summary>
/// <remarks>
/// The new file is whole, closed and on the disk before the old ones are touched. Then the renames, after each of which
/// the store refuses to open until the repair is called again and finishes them.
/// </remarks>
internal static class StoreRepair
{
    public static SqliteRepairReport Run(StorePaths paths)
    {
        using Witness witness = StoreOpening.Own(paths, TimeProvider.System, forRepair: true);
        try
        {
            var findings = new List<string>();
            long messages = 0;
            if (File.Exists(paths.Repaired) && !File.Exists(paths.Data))
            {
                findings.Add("An earlier repair was cut short after it had copied everything; this one has put its file in place.");
            }
            else
            {
                if (!File.Exists(paths.Data))
                    throw StoreErrors.NothingToRepair(paths);
                messages = Copy(paths, witness, findings);
            }
            List<string> setAside = Exchange(paths);
            // The new file is on the disk and in its place: whatever the old ones were not to be believed for is past.
            witness.ClearPoison();
            return new SqliteRepairReport(messages, findings, setAside);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or SqliteError)
        {
            throw StoreErrors.RepairFailed(paths, error);
        }
    }

    private static long Copy(StorePaths paths, Witness witness, List<string> findings)
    {
        // What an earlier repair has left: it had not come far enough for anybody to need it.
        StoreOpening.DeleteDatabase(paths.Repaired);
        StoreOpening.DeleteDatabase(paths.Repairing);
        using var table = new SalvagedTable(paths, findings);
        var target = new StorePaths(paths.Repairing);
        StoreOpening.Create(target.Data);
        IReadOnlyList<string> losses;
        long messages;
        using (SqliteMessageStore store = SqliteMessageStore.OpenUnowned(target, new SqliteStoreOptions { MinFreeBytes = 0 }, TimeProvider.System))
        {
            var rebuild = new StoreRebuild(store, witness);
            foreach (StoreRecord record in table.ReadRecords())
                rebuild.Add(record);
            foreach (StoreKey key in table.LostKeys)
                rebuild.AddLost(key);
            losses = rebuild.Complete(isDamaged: findings.Count > 0);
            messages = rebuild.Messages;
            store.Close();
        }
        findings.AddRange(losses);
        Disk.Replace(paths.Repairing, paths.Repaired);
        return messages;
    }

    private static List<string> Exchange(StorePaths paths)
    {
        var setAside = new List<string>();
        // The database first: as long as it is not there, nobody opens the store, and a repair goes on from here.
        foreach ((string old, Func<string, string> nameOf) in (ReadOnlySpan<(string, Func<string, string>)>)[(paths.Data, name => name), (paths.Log, StorePaths.LogOf)])
        {
            if (!File.Exists(old))
                continue;
            string aside = nameOf(Enumerable.Range(1, int.MaxValue).Select(paths.Damaged).First(path => !File.Exists(nameOf(path))));
            File.Move(old, aside);
            setAside.Add(aside);
        }
        File.Delete(paths.Index);
        Disk.Replace(paths.Repaired, paths.Data);
        return setAside;
    }
}
