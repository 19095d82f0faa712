using System.Diagnostics;

namespace QueueKit.Tests.Stores;

/// <summary>A real file system of a few megabytes, which can really be full. Needs root.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string _folder;

    private SmallDisk(string folder) => _folder = folder;

    /// <summary>Mounts one, or has the test ignored where that is not allowed.</summary>
    public static async Task<SmallDisk> Mount(TestFolder folder, int megabytes)
    {
        string path = folder.File("small");
        Directory.CreateDirectory(path);
        if (await Run("mount", $"-t tmpfs -o size={megabytes}m tmpfs {path}") is { } error)
            Assert.Ignore($"No small file system can be mounted here: {error}");
        return new SmallDisk(path);
    }

    public string File(string name) => Path.Combine(_folder, name);

    /// <summary>Takes all of the space but a few bytes.</summary>
    public void Fill(long leave)
    {
        using FileStream filler = System.IO.File.Create(File("filler"));
        byte[] block = new byte[4096];
        for (long left = new DriveInfo(_folder).AvailableFreeSpace - leave; left >= block.Length; left -= block.Length)
            filler.Write(block);
    }

    public void Empty() => System.IO.File.Delete(File("filler"));

    public Task Grow(int megabytes) => Require("mount", $"-o remount,size={megabytes}m {_folder}");

    public Task MakeReadOnly() => Require("mount", $"-o remount,ro {_folder}");

    public void Dispose() => Run("umount", $"-l {_folder}").Wait(TimeSpan.FromSeconds(30));

    private static async Task Require(string command, string arguments)
    {
        if (await Run(command, arguments) is { } error)
            throw new InvalidOperationException($"{command} {arguments}: {error}");
    }

    private static async Task<string?> Run(string command, string arguments)
    {
        using Process process = await Command.Start(command, arguments);
        string error = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? null : error.Trim();
    }
}
