using System.Diagnostics;
using System.Globalization;

namespace DurableStores;

/// <summary>What has become of the messages.</summary>
internal sealed record TrialResult(long Sent, long Confirmed, long Handled, long Redelivered, long Lost, TimeSpan Time, long BytesAtAKill, long BytesAtTheEnd);

/// <summary>One store's run: starts the worker, kills it, starts it again, and keeps the books, which therefore survive it.</summary>
internal sealed class Trial(StoreKind store, int messages, string folder)
{
    public const int Kills = 3;

    private readonly HashSet<int> _confirmed = [];
    private readonly HashSet<int> _handled = [];
    private long _sent;
    private long _redelivered;
    private int _lastConfirmed;

    public static async Task<TrialResult> RunAsync(StoreKind store, int messages)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("queuekit-stores-");
        try
        {
            return await new Trial(store, messages, folder.FullName).RunAsync();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private async Task<TrialResult> RunAsync()
    {
        long started = Stopwatch.GetTimestamp(), bytesAtAKill = 0;
        for (int kill = 1; kill <= Kills; kill++)
        {
            await WorkAsync(killAt: messages * kill / (Kills + 1));
            bytesAtAKill = Math.Max(bytesAtAKill, BytesOnDisk());
        }
        await WorkAsync(killAt: null);
        return new TrialResult(
            _sent, _confirmed.Count, _handled.Count, _redelivered, _confirmed.Except(_handled).Count(), Stopwatch.GetElapsedTime(started), bytesAtAKill, BytesOnDisk());
    }

    // Until so many messages are confirmed, and then it is killed, whatever it is doing; or to its end.
    private async Task WorkAsync(int? killAt)
    {
        string[] arguments = ["work", store.ToString(), folder, Text(_lastConfirmed + 1), Text(messages)];
        var start = new ProcessStartInfo(Environment.ProcessPath!, arguments) { RedirectStandardOutput = true };
        using Process worker = Process.Start(start)!;
        bool isKilled = false;
        while (await worker.StandardOutput.ReadLineAsync() is { } line)
        {
            // What was told before the kill counts, though it is read after it.
            Note(line);
            if (!isKilled && killAt <= _confirmed.Count)
            {
                worker.Kill();
                isKilled = true;
            }
        }
        await worker.WaitForExitAsync();
        if (!isKilled && worker.ExitCode != 0)
            throw new InvalidOperationException($"The worker on {store} has ended with exit code {worker.ExitCode}; what it said is above.");
    }

    private void Note(string line)
    {
        // Killed in the midst of a line, it has told nothing with it.
        if (line.Split(' ') is not [var what, var a, var b] || !int.TryParse(a, CultureInfo.InvariantCulture, out int first) || !int.TryParse(b, CultureInfo.InvariantCulture, out int second))
            return;
        switch (what)
        {
            case "sending":
                _sent += second - first + 1;
                break;
            case "confirmed":
                _confirmed.UnionWith(Enumerable.Range(first, second - first + 1));
                _lastConfirmed = second;
                break;
            case "handled":
                _handled.Add(first);
                _redelivered += second;
                break;
        }
    }

    private long BytesOnDisk() => Directory.EnumerateFiles(folder, "*", SearchOption.AllDirectories).Sum(static path => new FileInfo(path).Length);

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
