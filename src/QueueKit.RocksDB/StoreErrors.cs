using QueueKit.RocksDB.Engine;

namespace QueueKit.RocksDB;

/// <summary>What is said when a store cannot be opened, read or written: place, cause and remedy.</summary>
internal static class StoreErrors
{
    private const string Repair = "Restore a backup, or call RocksDBStore.RepairAsync, which copies what can be read into a new folder.";

    public static StoreException InUse(string path, Exception cause) => new(
        StoreFault.InUse, $"The database '{path}' is open in another program: {cause.Message}. Close that program first. Nothing was touched.", path, cause);

    public static StoreException NoAccess(string path, Exception cause) => new(
        StoreFault.Refused,
        $"The store '{path}' cannot be opened: {Sentence(cause)} Create the folder that it is to lie in, and let this process read and write both. Nothing was touched.",
        path, cause);

    public static StoreException NotAFolder(string path) => new(
        StoreFault.Refused, $"'{path}' is a file, and a store needs a folder of that name. Name another folder. Nothing was touched.", path);

    public static StoreException CannotCreate(string path, Exception cause) => new(
        StoreFault.Refused, $"The store '{path}' cannot be created: {Sentence(cause)} Free some space or let this process write there, and open it again. There is no store yet, so nothing is lost.", path, cause);

    public static StoreException CannotReplaceFolder(string path, Exception cause) => new(
        StoreFault.Refused, $"The store '{path}' cannot be created in the place of that empty folder: {Sentence(cause)} Where a disk is mounted, name a folder on it. Nothing was touched.", path, cause);

    public static StoreException FailedToOpen(string path, Exception cause) => new(
        StoreFault.Failed,
        $"The store '{path}' could not be made ready: {Sentence(cause)} Everything committed is as it was. Free some space or let this process write there, and open it again.", path, cause);

    public static StoreException NotAStore(string path, string what) => new(
        StoreFault.Unreadable, $"'{path}' is not a store of QueueKit: {what}. Choose another folder, or move this one away. Nothing was touched.", path);

    public static StoreException TooNew(string path, uint found) => new(
        StoreFault.Unreadable,
        $"The store '{path}' has format {found}; this version of QueueKit.RocksDB reads format {FormatRecord.Version}. Open it with a newer version. Nothing was touched.", path);

    public static StoreException FormatDamaged(string path) => Damaged(path, "the record that names its format is not what was written");

    public static StoreException CurrentMissing(StorePaths paths) => Damaged(paths.Folder, $"'{paths.Current}' is missing, and without it nobody knows which of the other files count");

    public static StoreException Damaged(string path, string what, Exception? cause = null) => new(
        StoreFault.Unreadable, $"The store '{path}' is damaged: {what}. {Repair}", path, cause) { IsRepairable = true };

    /// <summary>What RocksDB says when it cannot make sense of its files, in our words.</summary>
    public static StoreException Unreadable(string path, RocksException error) => Damaged(path, $"RocksDB cannot read it ({error.Message})", error);

    public static StoreException RepairCutShort(StorePaths paths) => new(
        StoreFault.Unreadable, $"'{paths.Folder}' is missing, because a repair was cut short: '{paths.Repaired}' is to take its place. Call RocksDBStore.RepairAsync again. Nothing was touched.", paths.Folder) { IsRepairable = true };

    public static StoreException NothingToRepair(StorePaths paths) => new(
        StoreFault.Refused, $"There is no store at '{paths.Folder}' that could be repaired. Name the folder of the database. Nothing was touched.", paths.Folder);

    public static StoreException RepairFailed(StorePaths paths, Exception cause) => new(
        StoreFault.Failed, $"The repair of '{paths.Folder}' failed: {Sentence(cause)} It needs as much free space as the store is large. The store's files are as they were; find the cause and call RocksDBStore.RepairAsync again.", paths.Folder, cause);

    public static StoreException Failed(string doing, string path, Exception cause) => new(
        StoreFault.Failed,
        $"The store '{path}' failed while {doing}: {Sentence(cause)} What is written is unknown, and the store takes no more. Find the cause, then close the broker and open it again.",
        path, cause);

    public static StoreException Stopped(StoreException reason) => new(
        StoreFault.Stopped, $"The store has stopped, nothing was done. {reason.Message}", reason.Path, reason);

    public static StoreException TooLarge(string path, long bytes, int limit) => new(
        StoreFault.Refused, $"A record of {bytes} bytes is too large for the store '{path}', which takes {limit}. Nothing was written. Send the body in parts, or store it elsewhere and send where.", path);

    public static StoreException SpaceUnknown(string path, Exception cause) => new(
        StoreFault.Refused,
        $"How much is free on the disk of '{path}' cannot be found out: {Sentence(cause)} Nothing was written. See whether the disk is still there, and send again; with RocksDBStoreOptions.MinFreeBytes = 0 nobody asks.",
        path, cause);

    public static StoreException DiskNearlyFull(string path, long free, long needed, long mark) => new(
        StoreFault.Refused,
        $"The disk of '{path}' is nearly full: {free} bytes are free, {needed} of them will be needed for what is committed already, and {mark} are to stay free (RocksDBStoreOptions.MinFreeBytes). Nothing was written. Acknowledgements are still taken; free some space to send again.",
        path);

    public static StoreException BackupFailed(string path, string folder, Exception cause) => new(
        StoreFault.Refused, $"The backup of '{path}' in '{folder}' failed: {Sentence(cause)} The store itself is as it was. Name a folder that is not there yet, in one that this process can write, on a disk with room.", folder, cause);

    public static StoreException NotOpen(string path) => new(
        StoreFault.Refused, $"The store '{path}' is not open: a backup is made while a broker has it. Closed, its folder can simply be copied.", path);

    // RocksDB's texts have no full stop.
    private static string Sentence(Exception cause) => cause.Message.EndsWith('.') ? cause.Message : cause.Message + ".";
}
