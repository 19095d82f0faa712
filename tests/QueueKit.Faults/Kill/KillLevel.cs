using System.Diagnostics;
using Spectre.Console;

namespace QueueKit.Faults.Kill;

/// <summary>Kills a child process at random moments, again and again on the same store, and checks what comes back.</summary>
internal static class KillLevel
{
    // The longest that a child lives once it is open: a few hundred commits.
    private const int LongestLifeMilliseconds = 400;
    // One child in so many is killed a while after its start, wherever it is: mostly while it opens.
    private const int EarlyKills = 8;
    private const int LongestStartMilliseconds = 400;
    // A child that does not drain in this time hangs.
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    public static Task<FaultReport> RunAsync(FaultOptions options) => RunAsync(options, "child", static (_, _) => { });

    /// <summary>Runs children of one kind.</summary>
    /// <param name="options">How often, and on which store.</param>
    /// <param name="child">The kind: the first argument of the child.</param>
    /// <param name="check">Looks at the folder when everything is drained.</param>
    public static async Task<FaultReport> RunAsync(FaultOptions options, string child, Action<string, Truth> check)
    {
        AnsiConsole.MarkupLineInterpolated($"{options.Level}: {options.Runs:N0} times on {options.Store}, seed {options.Seed}");
        string folder = Directory.CreateTempSubdirectory("queuekit-kill-").FullName;
        var truth = new Truth();
        var random = new Random(options.Seed);
        long start = TimeProvider.System.GetTimestamp();
        int lives = 0, duringOpening = 0;
        try
        {
            await AnsiConsole.Progress().StartAsync(async progress =>
            {
                ProgressTask task = progress.AddTask("kills", maxValue: options.Runs);
                for (; lives < options.Runs; lives++)
                {
                    bool isEarly = random.Next(EarlyKills) == 0;
                    var life = TimeSpan.FromMilliseconds(random.Next(isEarly ? LongestStartMilliseconds : LongestLifeMilliseconds));
                    await LiveAsync(new ChildOptions(child, options.Store, folder, lives, random.Next(), Drain: false), truth, life, isEarly);
                    duringOpening += truth.Opened is null ? 1 : 0;
                    task.Increment(1);
                }
            });
            await LiveAsync(new ChildOptions(child, options.Store, folder, lives, random.Next(), Drain: true), truth, killAfter: null, isEarly: false);
            truth.CheckNothingIsLost();
            check(folder, truth);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        return new FaultReport
        {
            Level = options.Level,
            Store = options.Store,
            Runs = options.Runs,
            Seed = options.Seed,
            Seconds = TimeProvider.System.GetElapsedTime(start).TotalSeconds,
            Faults = lives,
            Lost = truth.Lost,
            Resurrected = truth.Resurrected,
            Duplicates = truth.Duplicates,
            Violations = truth.IsEmpty ? truth.Violations : [.. truth.Violations, "the queue could not be drained"],
            Figures =
            [
                ("killed while opening", $"{duringOpening:N0}"),
                ("sent", $"{truth.Sent:N0}, of which confirmed {truth.Confirmed:N0}"),
                ("acks confirmed", $"{truth.AckConfirmed:N0}"),
                ("redelivered", $"{truth.Redelivered:N0}"),
            ],
        };
    }

    private static async Task LiveAsync(ChildOptions options, Truth truth, TimeSpan? killAfter, bool isEarly)
    {
        truth.BeginLife();
        using var child = new Process { StartInfo = StartInfo(options) };
        child.Start();
        Task exit = child.WaitForExitAsync();
        Task<string> errors = child.StandardError.ReadToEndAsync();
        var opened = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Task listening = Task.Run(async () =>
        {
            while (await child.StandardOutput.ReadLineAsync() is { } line)
            {
                truth.Hear(line);
                if (truth.Opened is not null)
                    opened.TrySetResult();
            }
        });
        if (!isEarly)
            await ((Task)Task.WhenAny(exit, opened.Task)).WaitAsync(s_patience, TimeProvider.System).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await exit.WaitAsync(killAfter ?? s_patience, TimeProvider.System).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (child.HasExited)
        {
            await listening;
            if (child.ExitCode != 0 || killAfter is not null)
                truth.Hear($"x the child ended by itself with {child.ExitCode}: {(await errors).ReplaceLineEndings(" ")}");
        }
        else
        {
            child.Kill();
            await exit;
            await listening;
            if (killAfter is null)
                truth.Hear("x the child does not drain");
        }
        truth.EndLife();
    }

    private static ProcessStartInfo StartInfo(ChildOptions options)
    {
        string[] arguments = options.ToArguments();
        string own = Environment.ProcessPath!;
        var info = Path.GetFileNameWithoutExtension(own) == "dotnet"
            ? new ProcessStartInfo(own, [typeof(KillLevel).Assembly.Location, .. arguments])
            : new ProcessStartInfo(own, arguments);
        info.RedirectStandardOutput = info.RedirectStandardError = true;
        info.Environment["DOTNET_TieredCompilation"] = "1";
        return info;
    }
}
