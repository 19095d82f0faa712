using QueueKit;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace WorkQueue;

/// <summary>Shows a run on a terminal, a few times a second, from the queue's own snapshot.</summary>
internal sealed class LiveView(FileIndexer indexer, WorkQueueOptions options)
{
    private static readonly TimeSpan Refresh = TimeSpan.FromMilliseconds(150);

    private TimeSpan _lastElapsed;
    private int _lastIndexed;
    private long _lastBytes;
    private double _filesPerSecond;
    private double _bytesPerSecond;

    public async Task ShowAsync(Task run)
    {
        await AnsiConsole.Live(new Text("")).StartAsync(async live =>
        {
            while (!run.IsCompleted)
            {
                live.UpdateTarget(Draw());
                await Task.WhenAny(run, Task.Delay(Refresh));
                UpdateRates();
            }
            // At the end the rates of the whole run say more than the last moment's.
            _filesPerSecond = Figures.PerSecond(indexer.Indexed, indexer.Elapsed);
            _bytesPerSecond = Figures.PerSecond(indexer.Bytes, indexer.Elapsed);
            live.UpdateTarget(Draw());
        });
    }

    private Rows Draw()
    {
        QueueSnapshot snapshot = indexer.GetSnapshot();
        return new Rows(
            DrawProgress(),
            new Markup($"[grey]{Figures.Count((long)_filesPerSecond),12} files/s   {Figures.Bytes(_bytesPerSecond),9}/s   {Figures.Duration(indexer.Elapsed),9}[/]"),
            new Text(""),
            DrawTable(snapshot),
            new Markup($"[grey]{Markup.Escape(DescribeQueue(snapshot))}[/]"));
    }

    private Markup DrawProgress()
    {
        const int textWidth = 36;
        double share = indexer.Files == 0 ? 1 : (double)indexer.Indexed / indexer.Files;
        int width = Math.Clamp(AnsiConsole.Profile.Width - textWidth, 10, 60);
        int filled = (int)(share * width);
        char line = AnsiConsole.Profile.Capabilities.Unicode ? '━' : '=';
        return new Markup(
            $"[green]{new string(line, filled)}[/][grey37]{new string(line, width - filled)}[/]"
            + $" [bold]{Math.Floor(share * 100),3:0} %[/]  {Figures.Count(indexer.Indexed)} of {Figures.Plural(indexer.Files, "file")}");
    }

    private static Table DrawTable(QueueSnapshot snapshot)
    {
        var table = new Table().RoundedBorder().BorderColor(Color.Grey37);
        List<IRenderable> row = [];
        void Add(string title, long number, string style)
        {
            table.AddColumn(new TableColumn(title).RightAligned().Width(Math.Max(8, title.Length)));
            row.Add(new Text(Figures.Count(number), number == 0 ? "grey" : style));
        }
        Add("Ready", snapshot.Ready.Messages, "white");
        Add("In flight", snapshot.InFlight.Messages, "blue");
        Add("To retry", snapshot.Delayed.Messages, "yellow");
        Add("Redelivered", snapshot.Counts.Redelivered, "yellow");
        Add("Leases lost", snapshot.Counts.LeasesLost, "yellow");
        Add("Dead", snapshot.Counts.DeadLettered, "red");
        return table.AddRow(row);
    }

    private string DescribeQueue(QueueSnapshot snapshot)
    {
        string fill = $"Queue: {Figures.Count(snapshot.Messages)} of {Figures.Plural(options.Capacity, "message")}";
        string news = options.Overflow switch
        {
            OverflowPolicy.Reject => $"{Figures.Plural(snapshot.Counts.Refused, "send")} refused",
            OverflowPolicy.DropNewest or OverflowPolicy.DropOldest => $"{Figures.Count(snapshot.Counts.Dropped + snapshot.Counts.DroppedNewest)} dropped",
            _ when snapshot.WaitingSenders > 0 => $"the producer waits for room ({Figures.Count(snapshot.Counts.Waited)} so far)",
            _ when snapshot.Counts.Waited > 0 => $"the producer waited {Figures.Plural(snapshot.Counts.Waited, "time")} for room",
            _ => "the producer never waited",
        };
        return $"{fill}; {news}";
    }

    private void UpdateRates()
    {
        TimeSpan interval = indexer.Elapsed - _lastElapsed;
        if (interval <= TimeSpan.Zero)
            return;
        (int indexed, long bytes) = (indexer.Indexed, indexer.Bytes);
        // Half old, half new: steady enough to read, quick enough to follow.
        double weight = _lastElapsed == TimeSpan.Zero ? 1 : 0.5;
        _filesPerSecond += weight * (Figures.PerSecond(indexed - _lastIndexed, interval) - _filesPerSecond);
        _bytesPerSecond += weight * (Figures.PerSecond(bytes - _lastBytes, interval) - _bytesPerSecond);
        (_lastElapsed, _lastIndexed, _lastBytes) = (indexer.Elapsed, indexed, bytes);
    }
}
