using System.Collections.Concurrent;

namespace WorkerService;

/// <summary>What has been made in this run.</summary>
internal sealed class Progress
{
    private readonly ConcurrentDictionary<string, int> _made = new(StringComparer.Ordinal);

    public int Count => _made.Count;

    public void Made(string picture) => _made.AddOrUpdate(picture, 1, static (_, times) => times + 1);

    public void Report() => Console.WriteLine($"{_made.Count} thumbnails made, {_made.Values.Sum() - _made.Count} of them again");
}
