using QueueKit;

namespace WorkQueue;

/// <summary>Shows a run without a terminal: a line every second.</summary>
internal static class PlainView
{
    public static async Task ShowAsync(FileIndexer indexer, Task run)
    {
        while (await Task.WhenAny(run, Task.Delay(TimeSpan.FromSeconds(1))) != run)
        {
            QueueSnapshot snapshot = indexer.GetSnapshot();
            Console.WriteLine(
                $"{Figures.Duration(indexer.Elapsed)}: {Figures.Count(indexer.Indexed)} of {Figures.Plural(indexer.Files, "file")} indexed, "
                + $"{Figures.Count(snapshot.Ready.Messages)} ready, {Figures.Count(snapshot.InFlight.Messages)} in flight, "
                + $"{Figures.Count(snapshot.Delayed.Messages)} to retry, {Figures.Count(snapshot.Counts.Redelivered)} redelivered, {Figures.Count(snapshot.Counts.DeadLettered)} dead");
        }
    }
}
