using System.Globalization;

namespace QueueKit.Stores;

/// <summary>What a <see cref="StoreRebuild"/> has to tell to people.</summary>
internal sealed class RebuildFindings
{
    // Of single records, enough to see what kind of loss it is; the rest is counted.
    private const int MostNamed = 100;

    private readonly List<string> _sentences = [];

    public IReadOnlyList<string> Sentences => _sentences;

    /// <summary>How many commits are known to be missing.</summary>
    public long MissingCommits { get; private set; }

    /// <summary>Whether messages count as never tried that may have been.</summary>
    public bool LosesAttempts { get; private set; }

    public void MissingInBetween(long first, long last)
    {
        MissingCommits += last - first + 1;
        Say($"{Numbers("Commit", first, last)} missing, or what {(first == last ? "it" : "they")} left behind is: what was sent there is lost if it is not here, and what was acknowledged there may be back.");
    }

    public void MissingAtTheEnd(long last, long confirmed)
    {
        if (confirmed <= last)
            return;
        MissingCommits += confirmed - last;
        Say($"The last {Count(confirmed - last, "confirmed commit")} ({Numbers("number", last + 1, confirmed)} missing): what was sent there is lost, and what was acknowledged there is back.");
    }

    public void MaybeMissingAtTheEnd(long last, long possible)
    {
        MissingCommits += possible - last;
        Say($"The record of {Count(possible - last, "commit")} behind commit {last} may be lost: what was sent there is lost if it is not here, and what was acknowledged there may be back.");
    }

    public void NoWitness(string path) => Say($"'{path}', the witness of the store, was missing: whether the last commits are all here is not known.");

    /// <summary>Messages have a queue of a new name, because the name is lost or another queue has it.</summary>
    public void Renamed(uint id, string? oldName, string name, long messages) => Say(oldName is null
        ? $"The name and the options of queue number {id} are lost: {Is(messages, "message")} in the queue '{name}' now, which has default options. Take them from there, then delete it."
        : $"Two queues are named '{oldName}': number {id}, with {Count(messages, "message")}, is the queue '{name}' now.");

    public void QueueLost(uint id) =>
        Say($"Queue number {id} is lost with its name and options, and no message of it was found. Declare it again.");

    /// <summary>Names what only the keys are left of.</summary>
    public void Lost(List<StoreKey> keys, Dictionary<uint, string> names)
    {
        string unless = MissingCommits == 0 ? "" : ", unless a missing commit has removed it";
        int named = 0;
        foreach (StoreKey key in keys.Where(static key => key.Kind is StoreKind.Message or StoreKind.Parked).Order().Take(MostNamed))
        {
            named++;
            Say($"Message {key.Sequence} of {Queue(key.Queue, names)} is lost{unless}.");
        }
        foreach (IGrouping<uint, StoreKey> queue in keys.Where(static key => key.Kind is StoreKind.Message or StoreKind.Parked).Order().Skip(named).GroupBy(static key => key.Queue))
            Say($"{Count(queue.Count(), "further message")} of {Queue(queue.Key, names)} {(queue.Count() == 1 ? "is" : "are")} lost{unless}.");
        foreach (IGrouping<uint, StoreKey> queue in keys.Where(static key => key.Kind == StoreKind.Attempts).GroupBy(static key => key.Queue))
        {
            LosesAttempts = true;
            Say($"What is known of failed attempts at {Count(queue.Count(), "message")} of {Queue(queue.Key, names)} is lost: they count as never tried.");
        }
        int commits = keys.Count(static key => key.Kind == StoreKind.Delta);
        if (commits > 0)
            Say($"{Count(commits, "record")} of what commits changed in the counts {(commits == 1 ? "is" : "are")} lost; the messages were counted anew.");
        int watermarks = keys.Count(static key => key.Kind == StoreKind.Watermark);
        if (watermarks > 0)
            Say($"How far {Count(watermarks, "source")} of messages (an outbox's rows of one queue, for example) had been moved is lost: what was moved last and is still there comes a second time.");
        foreach (StoreKey key in keys.Where(static key => key.Kind == StoreKind.Meta))
            Say($"The store's record of {MetaRecord.Describe(key)} is lost; it was made anew where it is needed.");
    }

    /// <summary>Compares the messages that were found with what the commits had counted.</summary>
    public void Compare(LaneCounters counted, LaneCounters found, Dictionary<uint, string> names)
    {
        foreach (uint queue in counted.Queues.Union(found.Queues).Order())
        {
            long before = counted.LanesOf(queue).Sum(static lane => lane.Count.Messages), after = found.LanesOf(queue).Sum(static lane => lane.Count.Messages);
            if (before != after)
                Say($"By its commits {Queue(queue, names)} had {Count(before, "message")} that {(before == 1 ? "was" : "were")} not delayed; {after.ToString("N0", CultureInfo.InvariantCulture)} of them {(after == 1 ? "was" : "were")} found.");
        }
    }

    public void NumbersGoOn(long next) => Say($"New messages get numbers from {next} on, so that none is used twice.");

    public void DeliveriesInDoubt() => Say("Every message counts as maybe delivered before.");

    private static string Queue(uint id, Dictionary<uint, string> names) => names.TryGetValue(id, out string? name) ? $"queue '{name}'" : $"queue number {id}";

    private static string Count(long count, string what) => $"{count.ToString("N0", CultureInfo.InvariantCulture)} {what}{(count == 1 ? "" : "s")}";

    private static string Is(long count, string what) => count == 1 ? $"its {what} is" : $"its {Count(count, what)} are";

    private static string Numbers(string what, long first, long last) => first == last ? $"{what} {first} is" : $"{what}s {first} to {last} are";

    private void Say(string sentence) => _sentences.Add(sentence);
}
