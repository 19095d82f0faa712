using System.Diagnostics.CodeAnalysis;
using QueueKit.Stores;
using QueueKit.Testing.Contract;

namespace QueueKit.Testing;

/// <summary>A store that lies in a folder, alone but for its witness. So it can be copied as a kill would leave it, as a power cut might, and damaged.</summary>
[Experimental("QUEUEKIT001")]
public abstract class StoreInFolder : StoreUnderTest
{
    private const int MostAttempts = 1_000;

    private readonly string? _root;
    private readonly string _copies;
    private int _lastCopy;

    /// <summary>Makes a folder among the temporary ones of the system.</summary>
    protected StoreInFolder()
    {
        _root = Directory.CreateTempSubdirectory("queuekit-store-").FullName;
        _copies = Path.Combine(_root, "copies");
        Folder = Directory.CreateDirectory(Path.Combine(_root, "store")).FullName;
    }

    /// <summary>Takes a folder that is there and empty, and the caller removes: on a disk that can be filled, for example.</summary>
    protected StoreInFolder(string folder)
    {
        ArgumentException.ThrowIfNullOrEmpty(folder);
        Folder = Path.GetFullPath(folder);
        _copies = Folder + "-copies";
    }

    /// <summary>Where the store lies.</summary>
    public string Folder { get; }

    /// <inheritdoc/>
    public override StoreAbilities Abilities => StoreAbilities.Durable;

    /// <inheritdoc/>
    public sealed override IMessageStoreProvider CreateProvider() => CreateProviderIn(Folder);

    /// <summary>A provider of the store that is in a folder or, where it is empty, comes to be there. Its files have the same names in every folder.</summary>
    public abstract IMessageStoreProvider CreateProviderIn(string folder);

    /// <summary>A provider of what a backup of the store has left in a folder. By default as any store in a folder.</summary>
    public virtual IMessageStoreProvider CreateProviderOfBackup(string folder) => CreateProviderIn(folder);

    /// <summary>Makes of the closed store in a folder one of a newer format. Needed for <see cref="StoreAbilities.Formats"/>.</summary>
    public virtual void MakeNewer(string folder) => throw Missing(nameof(MakeNewer));

    /// <summary>Puts something that is no store of QueueKit where the store would be in an empty folder. Needed for <see cref="StoreAbilities.Formats"/>.</summary>
    public virtual void MakeForeign(string folder) => throw Missing(nameof(MakeForeign));

    /// <summary>Takes so much of the disk that the store must refuse messages and can take acks. Needed for <see cref="StoreAbilities.DiskFull"/>.</summary>
    public virtual void FillDisk() => throw Missing(nameof(FillDisk));

    /// <summary>Gives the space back. Needed for <see cref="StoreAbilities.DiskFull"/>.</summary>
    public virtual void EmptyDisk() => throw Missing(nameof(EmptyDisk));

    /// <inheritdoc/>
    public override ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (_root is not null)
            Directory.Delete(_root, recursive: true);
        else if (Directory.Exists(_copies))
            Directory.Delete(_copies, recursive: true);
        return base.DisposeAsync();
    }

    /// <summary>A name for a folder that is not there yet, in a folder that is.</summary>
    internal string NewFolder()
    {
        Directory.CreateDirectory(_copies);
        return Path.Combine(_copies, $"{++_lastCopy}");
    }

    /// <summary>Copies the files of a store as they are now. At rest that is what a kill would leave.</summary>
    internal string Copy(string folder)
    {
        string copy = NewFolder();
        Write(ReadFiles(folder), copy);
        return copy;
    }

    /// <summary>The files below a folder, by their names within it.</summary>
    internal static SortedDictionary<string, byte[]> ReadFiles(string folder)
    {
        // A store may still be deleting what it needs no more: then it was not at rest, and is looked at again.
        for (int attempt = 1; ; attempt++)
        {
            try
            {
                return ReadFilesOnce(folder);
            }
            catch (FileNotFoundException) when (attempt < MostAttempts)
            {
                Thread.Yield();
            }
        }
    }

    private static SortedDictionary<string, byte[]> ReadFilesOnce(string folder)
    {
        var files = new SortedDictionary<string, byte[]>(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories))
        {
            files.Add(Path.GetRelativePath(folder, path), UnlockedFile.ReadAllBytes(path));
        }
        return files;
    }

    internal static void Write(SortedDictionary<string, byte[]> files, string folder)
    {
        Directory.CreateDirectory(folder);
        foreach ((string name, byte[] bytes) in files)
        {
            string path = Path.Combine(folder, name);
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllBytes(path, bytes);
        }
    }
}
