using System.Collections.Concurrent;
using System.IO.MemoryMappedFiles;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace QueueKit.Stores;

/// <summary>The file of a <see cref="Witness"/>, held by one process alone: locked, written, synced, mapped. Never deleted, because a lock on a deleted file keeps nobody out.</summary>
internal sealed class WitnessFile : IDisposable
{
    // How many views of files that were let go are kept, in case somebody is about to write to one.
    private const int Retired = 64;

    private static readonly ConcurrentQueue<MemoryMappedViewAccessor> s_retired = new();

    private readonly SafeFileHandle _handle;

    private WitnessFile(string path, SafeFileHandle handle)
    {
        Path = path;
        _handle = handle;
    }

    public string Path { get; }

    /// <summary>Lets the views go that are kept, for a test that needs the disk they lie on.</summary>
    internal static void ReleaseRetired()
    {
        while (s_retired.TryDequeue(out MemoryMappedViewAccessor? view))
            view.Dispose();
    }

    public long Length => RandomAccess.GetLength(_handle);

    /// <summary>Opens and locks the file, which it creates, empty, where there is none.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.InUse"/>: another has it, and the message says who.</exception>
    public static WitnessFile Open(string path)
    {
        SafeFileHandle handle = OperatingSystem.IsWindows() ? OpenOnWindows(path) : OpenOnUnix(path);
        return new WitnessFile(path, handle);
    }

    /// <summary>Whether the path still leads to this file: between the opening and the locking it may have been replaced.</summary>
    /// <param name="opening">What was just written to its beginning and stands in no other file.</param>
    public bool IsWhatThePathLeadsTo(ReadOnlySpan<byte> opening)
    {
        Span<byte> there = stackalloc byte[opening.Length];
        return Peek(Path, there) == opening.Length && there.SequenceEqual(opening);
    }

    public byte[] ReadAll()
    {
        byte[] content = new byte[checked((int)Length)];
        int read = 0;
        while (read < content.Length && RandomAccess.Read(_handle, content.AsSpan(read), read) is > 0 and var more)
            read += more;
        return content;
    }

    public void Write(ReadOnlySpan<byte> bytes, long offset) => RandomAccess.Write(_handle, bytes, offset);

    public void CutAt(long length) => RandomAccess.SetLength(_handle, length);

    /// <summary>Brings what was written onto the disk.</summary>
    /// <exception cref="IOException">It did not get there.</exception>
    public void Sync()
    {
        if (OperatingSystem.IsWindows())
        {
#pragma warning disable RS0030 // On Windows the BCL does report that a flush has failed.
            RandomAccess.FlushToDisk(_handle);
#pragma warning restore RS0030
            return;
        }
        ThrowIf(Libc.Sync((int)_handle.DangerousGetHandle()));
    }

    /// <summary>Brings the entry of a new file onto the disk. Windows does that by itself.</summary>
    public void SyncFolder()
    {
        if (!OperatingSystem.IsWindows())
            ThrowIf(Libc.SyncFolder(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(Path))!));
    }

    /// <summary>Maps a part that has been written: a store into a part that has no place on the disk yet would kill the process on a full one.</summary>
    public MemoryMappedViewAccessor Map(long offset, long length)
    {
        using var mapped = MemoryMappedFile.CreateFromFile(_handle, null, 0, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
        return mapped.CreateViewAccessor(offset, length);
    }

    /// <summary>Gives a view back that is not to be written to any more. A thread may have been stopped between the question where and the writing, and memory that is gone would kill the process: so it goes much later.</summary>
    public static void Retire(MemoryMappedViewAccessor view)
    {
        s_retired.Enqueue(view);
        if (s_retired.Count > Retired && s_retired.TryDequeue(out MemoryMappedViewAccessor? oldest))
            oldest.Dispose();
    }

    /// <summary>Lets the file and its lock go. What is mapped stays mapped, and keeps the file open.</summary>
    public void Dispose()
    {
        if (!OperatingSystem.IsWindows() && !_handle.IsClosed)
            Libc.Unlock((int)_handle.DangerousGetHandle());
        _handle.Dispose();
    }

    /// <summary>Reads the beginning of a file, whoever has it: past .NET's own locks, which would find it taken.</summary>
    /// <returns>How much there was; negative if it cannot be opened.</returns>
    public static int Peek(string path, Span<byte> into)
    {
        SafeFileHandle handle;
        if (OperatingSystem.IsWindows())
            handle = File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        else if (Libc.Open(path, forWriting: false, out int descriptor) == 0)
            handle = new SafeFileHandle(descriptor, ownsHandle: true);
        else
            return -1;
        using (handle)
        {
            int read = 0;
            while (read < into.Length && RandomAccess.Read(handle, into[read..], read) is > 0 and var more)
                read += more;
            return read;
        }
    }

    private static SafeFileHandle OpenOnUnix(string path)
    {
        int error = Libc.Open(path, forWriting: true, out int descriptor);
        if (error == Libc.NotFound)
        {
            Create(path);
            error = Libc.Open(path, forWriting: true, out descriptor);
        }
        ThrowIf(error);
        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        error = Libc.Lock(descriptor);
        if (error == 0)
            return handle;
        handle.Dispose();
        if (error is Libc.WouldBlockOnLinux or Libc.WouldBlockElsewhere)
            throw InUse(path);
        throw new IOException($"{Marshal.GetPInvokeErrorMessage(error)} (the file system does not lock files)");
    }

    private static SafeFileHandle OpenOnWindows(string path)
    {
        const int SharingViolation = unchecked((int)0x80070020);
        try
        {
            // Readers may look who it is; no second writer.
            return File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read);
        }
        catch (IOException error) when (error.HResult == SharingViolation)
        {
            throw InUse(path);
        }
    }

    private static void Create(string path)
    {
        try
        {
            File.OpenHandle(path, FileMode.CreateNew, FileAccess.Write, FileShare.ReadWrite).Dispose();
        }
        catch (IOException) when (File.Exists(path))
        {
            // Another was faster, which is as good; the lock decides who gets it.
        }
    }

    private static StoreException InUse(string path)
    {
        Span<byte> sector = stackalloc byte[WitnessOwner.Length];
        int read = Peek(path, sector);
        string owner = WitnessOwner.Decode(sector[..Math.Max(0, read)], out _, out _)?.ToString() ?? "a process that has not written its name yet";
        return new StoreException(StoreFault.InUse,
            $"The store '{Witness.StorePathOf(path)}' is in use by {owner}. One broker at a time can have it: close that one, or give this one a store of its own. Nothing was touched.", Witness.StorePathOf(path));
    }

    private static void ThrowIf(int error)
    {
        if (error != 0)
            throw new IOException(Marshal.GetPInvokeErrorMessage(error), error);
    }
}
