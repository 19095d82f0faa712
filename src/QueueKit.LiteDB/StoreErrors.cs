namespace QueueKit.LiteDB;

/// <summary>What is said when a store cannot be opened, read or written: file, cause and remedy.</summary>
internal static class StoreErrors
{
    private const string Repair = "Restore a backup, or call LiteDBStore.RepairAsync, which copies what can be read into new files.";

    public static StoreException InUse(StorePaths paths) => new(
        StoreFault.InUse,
        $"The store '{paths.Data}' is open in another broker, in this process or another: it holds the lock '{paths.Lock}'. Close that broker first, or give each broker a store of its own. Nothing was touched.",
        paths.Data);

    public static StoreException NoAccess(string path, Exception cause) => new(
        StoreFault.Refused,
        $"The store at '{path}' cannot be opened: {cause.Message} Create the folder, name a file in it and let this process read and write both. Nothing was touched.",
        path, cause);

    public static StoreException NotAFile(string path) => new(
        StoreFault.Refused, $"'{path}' is a folder, and a store needs a file of that name. Name another file, for example one in that folder. Nothing was touched.", path);

    public static StoreException CannotCreate(string path, Exception cause) => new(
        StoreFault.Refused, $"The store '{path}' cannot be created: {cause.Message} Free some space or let this process write there, and open it again. There is no store yet, so nothing is lost.", path, cause);

    public static StoreException FailedToOpen(string path, Exception cause) => new(
        StoreFault.Failed,
        $"The store '{path}' could not be made ready: {cause.Message} Everything committed is as it was. Free some space or let this process write there, and open it again.", path, cause);

    public static StoreException NotAStore(string path, string what) => new(
        StoreFault.Unreadable, $"'{path}' is not a store of QueueKit: {what}. Choose another file name, or move this one away. Nothing was touched.", path);

    public static StoreException TooNew(string path, int found) => new(
        StoreFault.Unreadable,
        $"The store '{path}' has format {found}; this version of QueueKit.LiteDB reads format {PageFormat.Version}. Open it with a newer version. Nothing was touched.", path);

    public static StoreException Damaged(string path, string what, Exception? cause = null) => new(
        StoreFault.Unreadable, $"The store is damaged: {what}. {Repair}", path, cause) { IsRepairable = true };

    public static StoreException LogMissing(StorePaths paths) => new(
        StoreFault.Unreadable,
        $"'{paths.Log}' is missing, and the store was not closed when it was last used: the log holds what was committed since. Put the log back beside '{paths.Data}'. If it is lost, LiteDBStore.RepairAsync goes on without it. Nothing was touched.",
        paths.Log) { IsRepairable = true };

    public static StoreException DataMissing(StorePaths paths, string found) => new(
        StoreFault.Unreadable,
        $"'{paths.Data}' is missing, but '{found}' is there. Put the data file back beside it; if there is nothing to keep, delete '{found}', and a new store is created. Nothing was touched.",
        paths.Data);

    public static StoreException RepairCutShort(StorePaths paths) => new(
        StoreFault.Unreadable, $"'{paths.Data}' is missing, because a repair was cut short: '{paths.Repaired}' is to take its place. Call LiteDBStore.RepairAsync again. Nothing was touched.", paths.Data) { IsRepairable = true };

    public static StoreException NothingToRepair(StorePaths paths) => new(
        StoreFault.Refused, $"There is no store at '{paths.Data}' that could be repaired. Name the data file. Nothing was touched.", paths.Data);

    public static StoreException RepairFailed(StorePaths paths, Exception cause) => new(
        StoreFault.Failed, $"The repair of '{paths.Data}' failed: {cause.Message} It needs as much free space as the store is large. The store's files are as they were; find the cause and call LiteDBStore.RepairAsync again.", paths.Data, cause);

    public static StoreException BackupFailed(string path, string folder, Exception cause) => new(
        StoreFault.Refused,
        $"The backup of '{path}' in '{folder}' failed: {cause.Message} The store itself is as it was. Name a folder that is not there yet, in one that this process can write, on a disk with room.", folder, cause);

    public static StoreException NotOpen(string path) => new(
        StoreFault.Refused, $"The store '{path}' is not open: a backup is made while a broker has it. Closed, the data file can simply be copied.", path);

    public static StoreException WrongLog(StorePaths paths, string why) => new(
        StoreFault.Unreadable,
        $"'{paths.Log}' does not belong to '{paths.Data}': {why}. Copy and restore the two files together, and only while the store is closed. Nothing was touched.",
        paths.Log);

    public static StoreException Failed(string doing, StorePaths paths, Exception cause) => new(
        StoreFault.Failed,
        $"The store '{paths.Data}' failed while {doing}: {cause.Message} What is written is unknown, and the store takes no more. Find the cause, then close the broker and open it again.",
        paths.Data, cause);

    public static StoreException Stopped(StoreException reason) => new(
        StoreFault.Stopped, $"The store has stopped, nothing was done. {reason.Message}", reason.Path, reason);

    public static StoreException TooLarge(string path, long bytes, int limit) => new(
        StoreFault.Refused, $"A record of {bytes} bytes is too large for the store '{path}': LiteDB takes {limit}. Nothing was written. Send the body in parts, or store it elsewhere and send where.", path);

    public static StoreException SpaceUnknown(string path, Exception cause) => new(
        StoreFault.Refused,
        $"How much is free on the disk of '{path}' cannot be found out: {cause.Message} Nothing was written. See whether the disk is still there, and send again; with LiteDBStoreOptions.MinFreeBytes = 0 nobody asks.",
        path, cause);

    public static StoreException DiskNearlyFull(string path, long free, long needed, long mark) => new(
        StoreFault.Refused,
        $"The disk of '{path}' is nearly full: {free} bytes are free, {needed} of them will be needed for what is committed already, and {mark} are to stay free (LiteDBStoreOptions.MinFreeBytes). Nothing was written. Acknowledgements are still taken; free some space to send again.",
        path);
}
