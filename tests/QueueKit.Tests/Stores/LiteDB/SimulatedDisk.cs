using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.LiteDB;

/// <summary>A disk in memory that remembers what has not been flushed, and can lose it: sector by sector, in any order, in the midst of a call.</summary>
/// <remarks>
/// After a power cut (<see cref="Reboot"/>) a sector that was written and not flushed holds one of the versions written since the last flush, or the one
/// before them; lengths and names are those of some moment since their last flush. That is the disk that the store's promises are made for.
/// </remarks>
internal sealed class SimulatedDisk : IStoreFileSystem
{
    public const int SectorSize = 512;

    private readonly Dictionary<string, SimulatedFile> _files = [];
    private readonly List<Dictionary<string, SimulatedFile>> _namesSinceSync = [[]];
    private readonly HashSet<string> _locks = [];

    /// <summary>How many calls have changed or flushed something.</summary>
    public int Calls { get; private set; }

    /// <summary>How many of them were flushes.</summary>
    public int Syncs { get; private set; }

    /// <summary>The call, counted by <see cref="Calls"/>, at which the power fails: it is done in part, and everything after it fails. 0 for none.</summary>
    public int CutAt { get; set; }

    /// <summary>The call that fails. What a failed write has written is anybody's guess; a failed flush has flushed nothing. 0 for none.</summary>
    public int FailAt { get; set; }

    /// <summary>Whether everything fails after the call that does.</summary>
    public bool StaysFailed { get; set; }

    /// <summary>A disk that says it has flushed, and has not.</summary>
    public bool LiesAboutFlushes { get; set; }

    /// <summary>Called before each flush, on the thread that flushes.</summary>
    public Action? BeforeSync { get; set; }

    /// <summary>What is free; below zero: nobody can say.</summary>
    public long Available { get; set; } = 1L << 40;

    /// <summary>Whether the power is gone.</summary>
    public bool IsCut { get; private set; }

    public Random Random { get; set; } = new(1);

    public bool Exists(string path) => _files.ContainsKey(path);

    public bool IsFolder(string path) => false;

    public IStoreFile Open(string path)
    {
        ThrowIfCut();
        return new Handle(this, _files.TryGetValue(path, out SimulatedFile? file) ? file : throw new FileNotFoundException($"There is no '{path}'."));
    }

    public IStoreFile Create(string path)
    {
        Call();
        _files[path] = new SimulatedFile();
        NoteNames();
        return new Handle(this, _files[path]);
    }

    public void Delete(string path)
    {
        Call();
        _files.Remove(path);
        NoteNames();
    }

    public void Rename(string from, string to)
    {
        Call();
        if (!_files.Remove(from, out SimulatedFile? file) || !_files.TryAdd(to, file))
            throw new IOException($"Cannot rename '{from}' to '{to}'.");
        NoteNames();
    }

    public void Replace(string from, string to)
    {
        Call();
        if (!_files.Remove(from, out SimulatedFile? file))
            throw new IOException($"Cannot rename '{from}' to '{to}'.");
        _files[to] = file;
        NoteNames();
    }

    public void SyncDirectory(string path)
    {
        Syncs++;
        Call();
        _namesSinceSync.Clear();
        NoteNames();
    }

    public long AvailableBytes(string path) => Available >= 0 ? Available : throw new IOException("The disk does not answer.");

    public Witness? OpenWitness(string storePath, bool storeExists, TimeProvider time, bool forRepair) => null;

    public IDisposable? TryLock(string path) => _locks.Add(path) ? new HeldLock(this, path) : null;

    /// <summary>The bytes of a file as its readers see them.</summary>
    public byte[] ReadAll(string path) => _files[path].ToArray();

    /// <summary>Puts a file there, flushed.</summary>
    public void Put(string path, byte[] bytes)
    {
        _files[path] = new SimulatedFile(bytes);
        _namesSinceSync.Clear();
        NoteNames();
    }

    public void Remove(string path) => _files.Remove(path);

    /// <summary>The disk after the power has failed and come back.</summary>
    /// <param name="random">Chooses what survives.</param>
    public SimulatedDisk Reboot(Random random)
    {
        var disk = new SimulatedDisk { Random = random };
        // Often nearly everything or nearly nothing survives: both ends have their own mistakes.
        double survival = random.Next(5) switch { 0 => 0, 1 => 1, 2 => 0.02, 3 => 0.98, _ => random.NextDouble() };
        foreach ((string path, SimulatedFile file) in _namesSinceSync[random.Next(_namesSinceSync.Count)])
            disk._files[path] = new SimulatedFile(file.AfterPowerCut(random, survival));
        disk._namesSinceSync.Clear();
        disk.NoteNames();
        return disk;
    }

    /// <summary>The disk when the process has died: everything written is there.</summary>
    public SimulatedDisk AfterCrash()
    {
        var disk = new SimulatedDisk();
        foreach ((string path, SimulatedFile file) in _files)
            disk._files[path] = new SimulatedFile(file.ToArray());
        disk._namesSinceSync.Clear();
        disk.NoteNames();
        return disk;
    }

    private void NoteNames() => _namesSinceSync.Add(new Dictionary<string, SimulatedFile>(_files));

    private void ThrowIfCut()
    {
        if (IsCut)
            throw new IOException("The power is gone.");
    }

    // Whether the call is to be done in part before it fails.
    private void Call(Action? partly = null)
    {
        ThrowIfCut();
        Calls++;
        bool cut = Calls == CutAt, fail = Calls == FailAt || (StaysFailed && FailAt > 0 && Calls > FailAt);
        if (!cut && !fail)
            return;
        partly?.Invoke();
        IsCut = cut;
        throw new IOException(cut ? "The power fails here." : "Input/output error, on a test's demand.");
    }

    private sealed class HeldLock(SimulatedDisk disk, string path) : IDisposable
    {
        public void Dispose() => disk._locks.Remove(path);
    }

    private sealed class Handle(SimulatedDisk disk, SimulatedFile file) : IStoreFile
    {
        public long Length => file.Length;

        public int Read(long offset, Span<byte> into)
        {
            disk.ThrowIfCut();
            return file.Read(offset, into);
        }

        public void Write(long offset, ReadOnlySpan<byte> bytes)
        {
            byte[] copy = bytes.ToArray();
            disk.Call(partly: () => file.Write(offset, copy.AsSpan(0, disk.Random.Next(copy.Length / SectorSize + 1) * SectorSize)));
            file.Write(offset, copy);
        }

        public void SetLength(long length)
        {
            disk.Call();
            file.SetLength(length);
        }

        public void Sync()
        {
            disk.BeforeSync?.Invoke();
            disk.Syncs++;
            disk.Call();
            if (!disk.LiesAboutFlushes)
                file.Sync();
        }

        public void Dispose() { }
    }
}
