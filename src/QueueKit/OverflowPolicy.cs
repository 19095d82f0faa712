namespace QueueKit;

/// <summary>What a queue does when producers are faster than consumers and its limits are reached.</summary>
public enum OverflowPolicy
{
    /// <summary>The send waits for room: first come, first served, cancellable, at most <see cref="QueueOptions.BackpressureTimeout"/>. Nothing is lost. The default.</summary>
    Backpressure = 0,
    /// <summary>The send is refused: <see cref="QueueFullException"/> from <c>SendAsync</c>, <see cref="SendOutcome.Refused"/> from <c>TrySendAsync</c>. Nothing is lost.</summary>
    Reject,
    /// <summary>The new message is dropped and counted; the sender sees <see cref="SendOutcome.Dropped"/>. A batch that does not fit is dropped whole.</summary>
    DropNewest,
    /// <summary>The oldest ready message of the lowest priority makes room and is counted, or dead-lettered if <see cref="QueueOptions.DeadLetterOn"/> says so.
    /// Messages in flight are never dropped: with too little ready, the new one is (<see cref="SendOutcome.Dropped"/>).</summary>
    DropOldest,
    /// <summary>Everything is accepted: memory stays within the limits and what exceeds them waits in the store. Needs a store that can hold what spills.</summary>
    Buffer,
}
