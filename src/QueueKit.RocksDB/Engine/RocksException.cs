using System.Runtime.InteropServices;

namespace QueueKit.RocksDB.Engine;

/// <summary>What RocksDB says when a call has failed: a text that begins with its kind.</summary>
internal sealed class RocksException(string message) : Exception(message)
{
    /// <summary>Whether another process, or this one, has the database open.</summary>
    public bool IsLocked => IsAbout("Resource temporarily unavailable") || IsAbout("No locks available") || IsAbout("lock hold by current process") || IsAbout("used by another process");

    /// <summary>Whether the disk, or what this user may have of it, is full.</summary>
    public bool IsDiskFull => IsAbout("No space left on device") || IsAbout("Disk quota exceeded") || IsAbout("not enough space");

    /// <summary>Whether this process may not do what is needed.</summary>
    public bool IsAccess => IsAbout("Read-only file system") || IsAbout("Permission denied") || IsAbout("Operation not permitted") || IsAbout("Access is denied");

    /// <summary>Throws if a call has left an error, and frees it.</summary>
    public static unsafe void ThrowIf(byte* error)
    {
        if (error is null)
            return;
        string text = Marshal.PtrToStringUTF8((nint)error) ?? "";
        RocksNative.rocksdb_free(error);
        throw new RocksException(text);
    }

    private bool IsAbout(string text) => Message.Contains(text, StringComparison.OrdinalIgnoreCase);
}
