using Microsoft.Win32.SafeHandles;

namespace QueueKit.LiteDB.Files;

/// <summary>The lock of a store: an exclusive lock on a file beside it, which goes with the process however it ends.</summary>
/// <remarks>
/// Not the lock that .NET takes when it opens a file: on Unix that is a shared one for any share mode but None, and an environment variable turns
/// it off. The file is never deleted: whoever had it open would hold a lock on nothing.
/// </remarks>
internal sealed class FileLock : IDisposable
{
    private readonly SafeFileHandle _file;

    private FileLock(SafeFileHandle file) => _file = file;

    /// <summary>Takes the lock, creating its file if need be; null if somebody else has it, in this process or another.</summary>
    public static FileLock? TryTake(string path)
    {
        SafeFileHandle file;
        try
        {
            // On Windows the share mode is the lock, and a real one.
            file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException error) when (IsSharingViolation(error))
        {
            return null;
        }
        if (OperatingSystem.IsWindows() || NativeCalls.TryLock(file))
            return new FileLock(file);
        file.Dispose();
        return null;
    }

    public void Dispose() => _file.Dispose();

    // Windows: ERROR_SHARING_VIOLATION; Unix: EWOULDBLOCK of the lock that .NET itself takes (11 on Linux, 35 on macOS).
    private static bool IsSharingViolation(IOException error) => error.HResult is unchecked((int)0x80070020) or 11 or 35;
}
