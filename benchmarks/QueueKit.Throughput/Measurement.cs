using System.Diagnostics;

namespace QueueKit.Throughput;

/// <summary>Runs the two sides of a comparison in pairs of rounds, in alternating order: reference, queue, queue, reference, ….</summary>
internal static class Measurement
{
    private const int MinPairs = 5;
    private const int MaxPairs = 199;
    private const double WarmUpShare = 0.25;

    // A method is compiled anew after 30 calls and a pause of 100 ms without new ones. Some methods are called once a round.
    private const long ShortRoundMessages = 4_096;
    private static readonly TimeSpan s_compilerPause = TimeSpan.FromMilliseconds(150);

    public static async Task<Result> RunAsync(Comparison comparison, TimeSpan budget, Action<double> report)
    {
        if (comparison.Once is { } once)
            return await RunOnceAsync(comparison, once, report);
        long start = Stopwatch.GetTimestamp();
        (double secondsPerMessage, double fullRound) = await WarmUpAsync(comparison, budget * WarmUpShare, done => report(done * WarmUpShare));

        double rest = Math.Max(0, (budget - Stopwatch.GetElapsedTime(start)).TotalSeconds);
        int pairs = Math.Clamp((int)(rest / (2 * comparison.RoundSeconds)), MinPairs, MaxPairs) | 1;
        long messages = RoundUp((long)Math.Min(Math.Max(rest / pairs / secondsPerMessage, fullRound), comparison.MaxMessages), comparison.Multiple);

        var foreignLoad = new ForeignLoad();
        var reference = new Round[pairs];
        var queue = new Round[pairs];
        for (int i = 0; i < pairs; i++)
        {
            bool referenceFirst = i % 2 == 0;
            if (referenceFirst)
                reference[i] = await comparison.Reference.RunAsync(messages);
            queue[i] = await comparison.Queue.RunAsync(messages);
            if (!referenceFirst)
                reference[i] = await comparison.Reference.RunAsync(messages);
            report(WarmUpShare + (1 - WarmUpShare) * (i + 1) / pairs);
        }

        double[] ratios = [.. queue.Zip(reference, static (q, r) => q.PerSecond / r.PerSecond)];
        return new Result(comparison)
        {
            Pairs = pairs,
            MessagesPerRound = messages,
            PerSecond = Median(queue.Select(static round => round.PerSecond)),
            ReferencePerSecond = Median(reference.Select(static round => round.PerSecond)),
            Ratio = Median(ratios),
            MiddleHalf = (Quantile(ratios, 0.25), Quantile(ratios, 0.75)),
            Interval = MedianInterval(ratios),
            BytesPerMessage = Median(queue.Select(static round => round.BytesPerMessage)),
            MeanBatch = MedianBatch(queue),
            ReferenceMeanBatch = MedianBatch(reference),
            ForeignLoad = foreignLoad.Share,
        };
    }

    private static async Task<Result> RunOnceAsync(Comparison comparison, Func<Action<double>, Task<Figure>> once, Action<double> report)
    {
        Figure figure = await once(report);
        report(1);
        double ratio = figure.Reference == 0 ? 0 : figure.Value / figure.Reference;
        return new Result(comparison)
        {
            Pairs = 1,
            MessagesPerRound = 0,
            PerSecond = figure.Value,
            ReferencePerSecond = figure.Reference,
            Ratio = ratio,
            MiddleHalf = (ratio, ratio),
            Interval = (ratio, ratio),
            BytesPerMessage = figure.Bytes,
            // Of this process alone: what a child does is not foreign, and cannot be told apart.
            ForeignLoad = null,
        };
    }

    // Runs both until the compiler has settled. Returns the seconds that one message takes both of them together, set-up and tear-down included,
    // and how many messages the slower one carries in a round that is long enough: where set-up takes long, the budget does not pay for fewer.
    private static async Task<(double SecondsPerMessage, double FullRound)> WarmUpAsync(Comparison comparison, TimeSpan budget, Action<double> report)
    {
        long start = Stopwatch.GetTimestamp();
        long few = RoundUp(Math.Min(ShortRoundMessages, comparison.MaxMessages), comparison.Multiple);
        for (int i = 0; i < comparison.WarmUpRounds; i++)
        {
            await comparison.Reference.RunAsync(few);
            await comparison.Queue.RunAsync(few);
            if (i % 10 == 9)
                await Task.Delay(s_compilerPause);
            report(Done() / 2);
        }

        // What has been compiled now is instrumented and not yet the last word: that takes rounds as long as those that count.
        long messages = few;
        double secondsPerMessage, perSecond;
        do
        {
            long before = Stopwatch.GetTimestamp();
            perSecond = (await comparison.Reference.RunAsync(messages)).PerSecond;
            perSecond = Math.Min(perSecond, (await comparison.Queue.RunAsync(messages)).PerSecond);
            secondsPerMessage = Stopwatch.GetElapsedTime(before).TotalSeconds / messages;
            messages = RoundUp((long)Math.Min(Math.Min(messages * 8.0, 2 * comparison.RoundSeconds / secondsPerMessage), comparison.MaxMessages), comparison.Multiple);
            report(Done());
        }
        while (Stopwatch.GetElapsedTime(start) < budget);
        return (secondsPerMessage, perSecond * comparison.RoundSeconds);

        double Done() => Math.Min(1, Stopwatch.GetElapsedTime(start) / budget);
    }

    private static long RoundUp(long messages, int multiple) => Math.Max(1, (messages + multiple - 1) / multiple) * multiple;

    private static double? MedianBatch(Round[] rounds) =>
        rounds[0].MeanBatch is null ? null : Median(rounds.Select(static round => round.MeanBatch ?? 0));

    // By the ranks alone, whatever the distribution: as many of n values lie below the true median as heads come up in n throws.
    private static (double Low, double High) MedianInterval(double[] values)
    {
        double[] sorted = [.. values.Order()];
        double half = 1.96 * Math.Sqrt(sorted.Length) / 2;
        int low = (int)Math.Max(0, Math.Floor((sorted.Length - 1) / 2.0 - half));
        return (sorted[low], sorted[^(low + 1)]);
    }

    private static double Median(IEnumerable<double> values) => Quantile(values, 0.5);

    private static double Quantile(IEnumerable<double> values, double share)
    {
        double[] sorted = [.. values.Order()];
        double at = share * (sorted.Length - 1);
        int below = (int)at;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + (sorted[above] - sorted[below]) * (at - below);
    }
}
