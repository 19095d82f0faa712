using System.Runtime.InteropServices;

namespace QueueKit.RocksDB;

/// <summary>Makes what happened to the names in a folder safe against a power cut. RocksDB does it for its own files; this is for the folders that it lies in.</summary>
internal static partial class FolderNames
{
    /// <summary>Renames a folder; the name must be free, and both lie in the same folder.</summary>
    /// <exception cref="IOException">It failed.</exception>
    public static void Rename(string from, string to)
    {
        Directory.Move(from, to);
        Sync(Path.GetDirectoryName(to)!);
    }

    /// <summary>Gives a file a second name; false where that cannot be done.</summary>
    public static bool TryLink(string from, string to) => !OperatingSystem.IsWindows() && link(from, to) == 0;

    // Windows has no call for it and journals names itself.
    private static void Sync(string folder)
    {
        if (OperatingSystem.IsWindows())
            return;
        int descriptor = open(folder, 0);
        if (descriptor < 0)
            throw Failure("open", folder);
        try
        {
            if (fsync(descriptor) != 0)
                throw Failure("fsync", folder);
        }
        finally
        {
            // Opened for reading only: there is nothing that closing it could lose.
            _ = close(descriptor);
        }
    }

    private static IOException Failure(string call, string folder)
    {
        int error = Marshal.GetLastPInvokeError();
        return new IOException($"{call} failed on '{folder}': {Marshal.GetPInvokeErrorMessage(error)} (error {error}).");
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int open(string path, int flags);

    [LibraryImport("libc", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int link(string from, string to);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int fsync(int descriptor);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int close(int descriptor);
}
