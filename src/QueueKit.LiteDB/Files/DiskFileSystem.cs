using Microsoft.Win32.SafeHandles;
using QueueKit.Stores;

namespace QueueKit.LiteDB.Files;

/// <summary>The file system of the machine.</summary>
internal sealed class DiskFileSystem : IStoreFileSystem
{
    public static readonly DiskFileSystem Instance = new();

    public bool Exists(string path) => File.Exists(path);

    public bool IsFolder(string path) => Directory.Exists(path);

    public IStoreFile Open(string path) => new DiskFile(path, FileMode.Open);

    public IStoreFile Create(string path) => new DiskFile(path, FileMode.Create);

    public void Delete(string path) => File.Delete(path);

    public void Rename(string from, string to) => File.Move(from, to, overwrite: false);

    public void Replace(string from, string to) => File.Move(from, to, overwrite: true);

    public void SyncDirectory(string path) => NativeCalls.SyncDirectory(Path.GetDirectoryName(path)!);

    public long AvailableBytes(string path) => new DriveInfo(Path.GetDirectoryName(path)!).AvailableFreeSpace;

    public Witness? OpenWitness(string storePath, bool storeExists, TimeProvider time, bool forRepair)
    {
        string folder = Path.GetDirectoryName(storePath)!;
        return Directory.Exists(folder) ? Witness.Open(storePath, storeExists, forRepair, time, repair: "LiteDBStore.RepairAsync") : throw new DirectoryNotFoundException($"There is no folder '{folder}'.");
    }

    public IDisposable? TryLock(string path) => FileLock.TryTake(path);

    private sealed class DiskFile : IStoreFile
    {
        private readonly SafeFileHandle _handle;
        private readonly string _path;

        public DiskFile(string path, FileMode mode)
        {
            _path = path;
            _handle = File.OpenHandle(path, mode, FileAccess.ReadWrite, FileShare.Read);
        }

        public long Length => RandomAccess.GetLength(_handle);

        public int Read(long offset, Span<byte> into)
        {
            int done = 0;
            while (done < into.Length && RandomAccess.Read(_handle, into[done..], offset + done) is > 0 and var read)
                done += read;
            return done;
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes) => RandomAccess.Write(_handle, bytes, offset);

        public void SetLength(long length) => RandomAccess.SetLength(_handle, length);

        public void Sync() => NativeCalls.Sync(_handle, _path);

        public void Dispose() => _handle.Dispose();
    }
}
