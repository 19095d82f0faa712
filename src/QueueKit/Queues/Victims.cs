namespace QueueKit.Queues;

/// <summary>Ready messages that leave their queue to make room for newcomers, in the newcomers' commit: dropped, or kept as dead letters. Counted as such from the moment they make room.</summary>
internal sealed class Victims(bool areKept)
{
    public List<QueuedMessage> Messages { get; } = [];

    /// <summary>Whether they go to the dead letters.</summary>
    public bool AreKept => areKept;

    /// <summary>How many of those to be kept are not, because the policy of their queue of dead letters drops them.</summary>
    public int Discarded { get; set; }
}

/// <summary>What a send leaves to be done off the lock, because its dead letters need places in another queue.</summary>
/// <param name="Newcomer">A send to a durable queue that goes to the store with its victims' dead letters, or behind such a one; null where the newcomers of a transient queue are in already.</param>
/// <param name="Victims">Those to be kept; null for none.</param>
internal readonly record struct Eviction(PendingSend? Newcomer, Victims? Victims);
