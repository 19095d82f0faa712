using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Stores;

/// <summary>What a store on a disk adds to <see cref="IMessageStore"/>: a copy of itself while it is in use.</summary>
[Experimental("QUEUEKIT001")]
public interface IBackupStore
{
    /// <summary>Copies the store into a folder. Commits and reads go on meanwhile. Restoring it is opening what is in the folder.</summary>
    /// <remarks>
    /// The copy is the state after one commit: all that had returned when the backup began, perhaps some that came later, none in part. It is on the disk when
    /// this returns, and the folder is there only when it is complete. It has no witness: whoever opens it is told of every message that it was maybe delivered before.
    /// </remarks>
    /// <param name="folder">Not there yet; the folder that it is to lie in is.</param>
    /// <param name="ct">Gives up as soon as the store can; nothing is left then.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Refused"/>: the copy could not be made, and nothing is left of it. <see cref="StoreFault.Unreadable"/>: the store
    /// is damaged, and so would the copy be. In either case the store goes on. <see cref="StoreFault.Stopped"/>: it had stopped before.</exception>
    ValueTask BackupAsync(string folder, CancellationToken ct = default);
}
