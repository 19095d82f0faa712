namespace QueueKit.Throughput;

/// <summary>A folder for a store that several rows use: deleted with all others at the end, or by whoever has no more use for it.</summary>
internal static class ScratchFolder
{
    private static readonly List<string> s_folders = [];

    public static string Create()
    {
        string folder = Directory.CreateTempSubdirectory("queuekit-throughput-").FullName;
        s_folders.Add(folder);
        return folder;
    }

    public static void Delete(string folder)
    {
        Directory.Delete(folder, recursive: true);
        s_folders.Remove(folder);
    }

    public static void CleanUp()
    {
        foreach (string folder in s_folders.ToArray())
            Delete(folder);
    }

    /// <summary>The bytes of all files in a folder, as they take up the disk; those that go meanwhile do not count.</summary>
    public static double BytesOf(string folder) => new DirectoryInfo(folder).EnumerateFiles("*", SearchOption.AllDirectories).Sum(static file =>
    {
        try
        {
            return (double)file.Length;
        }
        catch (FileNotFoundException)
        {
            return 0;
        }
    });
}
