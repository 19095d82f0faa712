using QueueKit.Stores;

namespace QueueKit.LiteDB.Files;

/// <summary>What a store asks of a file system: the seam at which tests let disks fill up, fail, hang and lose power.</summary>
/// <remarks>
/// Obligations: a call that returns has done all of what it says, in particular no write is short; one that cannot throws an <see cref="IOException"/>
/// or <see cref="UnauthorizedAccessException"/>. Nothing survives a power cut before it is synced: bytes by <see cref="IStoreFile.Sync"/>, the names of
/// new, renamed and deleted files by <see cref="SyncDirectory"/>. Until then any part of it may survive, in 512-byte sectors and in any order.
/// </remarks>
internal interface IStoreFileSystem
{
    bool Exists(string path);

    bool IsFolder(string path);

    /// <summary>Opens a file that exists, for reading and writing.</summary>
    IStoreFile Open(string path);

    /// <summary>Creates a file, empty; one of that name is replaced.</summary>
    IStoreFile Create(string path);

    void Delete(string path);

    /// <summary>Renames a file; the name must be free.</summary>
    void Rename(string from, string to);

    /// <summary>Renames a file in the place of another one; neither is open.</summary>
    void Replace(string from, string to);

    /// <summary>Makes what happened to the names in the folder of <paramref name="path"/> safe against a power cut.</summary>
    void SyncDirectory(string path);

    /// <summary>What this process may still write to the disk of <paramref name="path"/>.</summary>
    /// <exception cref="IOException">The system does not say, for example because the disk is gone. Or <see cref="UnauthorizedAccessException"/>.</exception>
    long AvailableBytes(string path);

    /// <summary>Opens the witness of a store, which is its lock too; null where there is none, because nothing survives the process: then <see cref="TryLock"/> serves.</summary>
    Witness? OpenWitness(string storePath, bool storeExists, TimeProvider time, bool forRepair);

    /// <summary>Takes the exclusive lock that a file stands for, creating the file if need be; null if somebody else has it.</summary>
    IDisposable? TryLock(string path);
}

/// <summary>An open file. One caller at a time, except that <see cref="Read"/>, <see cref="Write"/> and <see cref="Sync"/> may run beside each other, in different places.</summary>
internal interface IStoreFile : IDisposable
{
    long Length { get; }

    /// <summary>Reads until the buffer is full or the file ends; returns how many bytes.</summary>
    int Read(long offset, Span<byte> into);

    void Write(long offset, ReadOnlySpan<byte> bytes);

    void SetLength(long length);

    /// <summary>Makes everything written safe against a power cut. A failure is final: the system may have dropped the bytes and call them good from then on.</summary>
    void Sync();
}
