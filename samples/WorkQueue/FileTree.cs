namespace WorkQueue;

/// <summary>The files below a folder, each once, by relative path with forward slashes, in ordinal order.</summary>
/// <remarks>Symbolic links are not followed: a cycle cannot be entered, and no file is found under two names.</remarks>
internal sealed class FileTree
{
    private static readonly HashSet<string> SkippedFolders = [".git", ".artifacts", "bin", "obj"];

    private FileTree(string root) => Root = root;

    public string Root { get; }

    public List<string> Files { get; } = [];

    /// <summary>The folders that could not be listed, with the reason.</summary>
    public List<(string Path, string Reason)> UnreadableFolders { get; } = [];

    /// <summary>Lists the tree below <paramref name="root"/>, except for the file <paramref name="excluded"/>.</summary>
    public static FileTree List(string root, string? excluded)
    {
        var tree = new FileTree(root);
        var folders = new Stack<string>([""]);
        while (folders.TryPop(out string? folder))
            tree.ListFolder(folder, folders, excluded);
        tree.Files.Sort(StringComparer.Ordinal);
        return tree;
    }

    public string FullPath(string relativePath) => Path.Combine(Root, relativePath);

    private void ListFolder(string folder, Stack<string> folders, string? excluded)
    {
        FileSystemInfo[] entries;
        try
        {
            entries = new DirectoryInfo(FullPath(folder)).GetFileSystemInfos();
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            UnreadableFolders.Add((folder.TrimEnd('/'), error.Message));
            return;
        }
        foreach (FileSystemInfo entry in entries)
        {
            bool isLink = entry.Attributes.HasFlag(FileAttributes.ReparsePoint) && entry.LinkTarget is not null;
            if (isLink || entry.FullName == excluded)
                continue;
            if (entry is FileInfo)
                Files.Add(folder + entry.Name);
            else if (!SkippedFolders.Contains(entry.Name))
                folders.Push(folder + entry.Name + '/');
        }
    }
}
