using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>The machine's file system, which fails a write or a flush when it is told to.</summary>
internal sealed class FailingFileSystem : IStoreFileSystem
{
    private readonly DiskFileSystem _disk = DiskFileSystem.Instance;

    public bool FailsNextWrite { get; set; }

    public bool FailsNextSync { get; set; }

    public bool Exists(string path) => _disk.Exists(path);

    public bool IsFolder(string path) => _disk.IsFolder(path);

    public IStoreFile Open(string path) => new FailingFile(this, _disk.Open(path));

    public IStoreFile Create(string path) => new FailingFile(this, _disk.Create(path));

    public void Delete(string path) => _disk.Delete(path);

    public void Rename(string from, string to) => _disk.Rename(from, to);

    public void Replace(string from, string to) => _disk.Replace(from, to);

    public void SyncDirectory(string path) => _disk.SyncDirectory(path);

    public long AvailableBytes(string path) => _disk.AvailableBytes(path);

    public Witness? OpenWitness(string storePath, bool storeExists, TimeProvider time, bool forRepair) => _disk.OpenWitness(storePath, storeExists, time, forRepair);

    public IDisposable? TryLock(string path) => _disk.TryLock(path);

    private sealed class FailingFile(FailingFileSystem owner, IStoreFile file) : IStoreFile
    {
        public long Length => file.Length;

        public int Read(long offset, Span<byte> into) => file.Read(offset, into);

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            if (owner.FailsNextWrite)
            {
                owner.FailsNextWrite = false;
                throw new IOException("Input/output error, on a test's demand.");
            }
            file.Write(offset, bytes);
        }

        public void SetLength(long length) => file.SetLength(length);

        public void Sync()
        {
            if (owner.FailsNextSync)
            {
                owner.FailsNextSync = false;
                throw new IOException("Input/output error, on a test's demand.");
            }
            file.Sync();
        }

        public void Dispose() => file.Dispose();
    }
}
