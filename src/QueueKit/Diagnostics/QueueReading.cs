namespace QueueKit.Diagnostics;

/// <summary>What has happened in a queue, as far as it is measured: counts that only grow.</summary>
internal enum Happened
{
    /// <summary>Sent and taken in.</summary>
    Sent = 0,
    /// <summary>Sent and dropped: full.</summary>
    SendsDropped,
    /// <summary>Sent and refused: full.</summary>
    SendsRefused,
    /// <summary>Sent, and not taken by the store.</summary>
    SendsFailed,
    /// <summary>Handed to consumers that pull.</summary>
    Received,
    /// <summary>Handed to handlers.</summary>
    Processed,
    /// <summary>Handed to consumers again.</summary>
    Redelivered,
    /// <summary>Dropped to make room.</summary>
    OldestDropped,
    /// <summary>Dead-lettered because a consumer rejected it.</summary>
    DeadRejected,
    /// <summary>Dead-lettered after the last attempt.</summary>
    DeadExhausted,
    /// <summary>Dead-lettered to make room.</summary>
    DeadOverflow,
}

/// <summary>A queue as its instruments see it: read in one lock hold.</summary>
internal sealed class QueueReading(string queue)
{
    private readonly long[] _counts = new long[(int)Happened.DeadOverflow + 1];

    public string Queue => queue;

    /// <summary>All messages in the queue.</summary>
    public long Depth { get; set; }

    /// <summary>Those that consumers have.</summary>
    public long InFlight { get; set; }

    /// <summary>How long the first of the ready messages has waited; null where that lies in the store and has not been read.</summary>
    public double? OldestAge { get; set; }

    public long this[Happened count] { get => _counts[(int)count]; set => _counts[(int)count] = value; }

    /// <summary>Takes in another broker's queue of the same name: the attributes cannot tell them apart.</summary>
    public void Add(QueueReading other)
    {
        Depth += other.Depth;
        InFlight += other.InFlight;
        OldestAge = OldestAge > other.OldestAge ? OldestAge : other.OldestAge ?? OldestAge;
        for (int i = 0; i < _counts.Length; i++)
            _counts[i] += other._counts[i];
    }

    /// <summary>Never less than before: what is counted as it begins is taken back where it comes to nothing, and a counter must not go back.</summary>
    public void Raise(QueueReading? before)
    {
        for (int i = 0; before is not null && i < _counts.Length; i++)
            _counts[i] = Math.Max(_counts[i], before._counts[i]);
    }
}

/// <summary>A broker whose queues are measured.</summary>
internal interface IMeasuredBroker
{
    /// <summary>Reads every queue, each in one lock hold.</summary>
    IEnumerable<QueueReading> ReadQueues();
}
