using QueueKit;

namespace WorkQueue;

/// <summary>Shows a run without a terminal: a line every second, after a while every ten.</summary>
internal static class PlainView
{
    private static TimeSpan Interval(TimeSpan elapsed) => TimeSpan.FromSeconds(elapsed.TotalSeconds < 10 ? 1 : 10);

    public static async Task ShowAsync(FileIndexer indexer, Task run)
    {
        while (await Task.WhenAny(run, Task.Delay(Interval(indexer.Elapsed))) != run)
        {
            QueueSnapshot snapshot = indexer.GetSnapshot();
            Console.WriteLine(
                $"{Figures.Duration(indexer.Elapsed)}: {Figures.Count(indexer.Indexed)} of {Figures.Plural(indexer.Files, "file")} indexed, "
                + $"{Figures.Count(snapshot.Ready.Messages)} ready, {Figures.Count(snapshot.InFlight.Messages)} in flight, "
                + $"{Figures.Count(snapshot.Delayed.Messages)} to retry, {Figures.Count(snapshot.Counts.Redelivered)} redelivered, {Figures.Count(snapshot.Counts.DeadLettered)} dead");
        }
    }
}
