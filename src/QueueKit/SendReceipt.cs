namespace QueueKit;

/// <summary>What became of a send.</summary>
public readonly record struct SendReceipt
{
    internal SendReceipt(SendOutcome outcome, long sequence = 0, Durability durability = Durability.Default)
    {
        Outcome = outcome;
        Sequence = sequence;
        Durability = durability;
    }

    /// <summary>Accepted, dropped by the queue's policy, or refused.</summary>
    public SendOutcome Outcome { get; }

    /// <summary>The message's number if it was accepted: ascending in the order of admission, not necessarily without gaps. Of a batch, the first one's. Else 0.</summary>
    public long Sequence { get; }

    /// <summary>The durability reached when the send returned.</summary>
    public Durability Durability { get; }
}

/// <summary>The outcomes of a send.</summary>
public enum SendOutcome
{
    /// <summary>There was no room: nothing was stored. Only from the sends that do not wait or do not throw.</summary>
    Refused = 0,
    /// <summary>The queue has the message, as durable as the receipt says.</summary>
    Accepted,
    /// <summary>The overflow policy dropped it; counted in the queue's snapshot.</summary>
    Dropped,
}
