using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace QueueKit.Stores;

/// <summary>The folder of a backup: there when everything in it is complete and on the disk, and not before. For stores.</summary>
[Experimental("QUEUEKIT001")]
public static class BackupFolder
{
    private const string Unfinished = "-unfinished";

    /// <summary>Has a folder made and filled under another name; then it is flushed and gets its own. Whatever goes wrong before, nothing is left of it.</summary>
    /// <param name="folder">Not there yet; the folder that it is to lie in is.</param>
    /// <param name="fill">Gets the folder's name for now, makes it, and flushes what it writes there.</param>
    /// <exception cref="IOException">It is there already, or the disk does not want to. Or <see cref="UnauthorizedAccessException"/>, or whatever <paramref name="fill"/> throws.</exception>
    public static void Make(string folder, Action<string> fill)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        ArgumentNullException.ThrowIfNull(fill);
        string target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)), unfinished = target + Unfinished;
        if (Path.Exists(target))
            throw new IOException($"'{target}' is there already.");
        if (Path.GetDirectoryName(target) is not { } parent || !Directory.Exists(parent))
            throw new DirectoryNotFoundException($"There is no folder '{Path.GetDirectoryName(target)}' that it could lie in.");
        // Of a backup whose process was killed.
        if (Directory.Exists(unfinished))
            Directory.Delete(unfinished, recursive: true);
        try
        {
            fill(unfinished);
            SyncFolder(unfinished);
            Directory.Move(unfinished, target);
        }
        catch
        {
            Remove(unfinished);
            throw;
        }
        try
        {
            SyncFolder(parent);
        }
        catch
        {
            // Complete, but after a power cut it might not be there: nobody may believe that it is.
            Remove(target);
            throw;
        }
    }

    // What made the backup fail is what the caller is to hear of; a folder that stays has a name that is no backup's.
    private static void Remove(string folder)
    {
        try
        {
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // The disk that fails the backup fails this too.
            return;
        }
    }

    private static void SyncFolder(string folder)
    {
        // Windows journals names by itself.
        if (OperatingSystem.IsWindows())
            return;
        if (Libc.SyncFolder(folder) is not 0 and var error)
            throw new IOException($"The folder '{folder}' cannot be synced: {Marshal.GetPInvokeErrorMessage(error)}.");
    }
}
