namespace QueueKit.Tests.Stores;

/// <summary>A folder on the disk for one test.</summary>
internal sealed class TestFolder
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("queuekit-test-");

    public string Path => _folder.FullName;

    public string File(string name) => System.IO.Path.Combine(_folder.FullName, name);

    public void Delete() => _folder.Delete(recursive: true);
}
