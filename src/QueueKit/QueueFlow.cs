namespace QueueKit;

/// <summary>The two directions of a queue, for <see cref="MessageQueue.Pause"/>.</summary>
[Flags]
public enum QueueFlow
{
    /// <summary>Neither.</summary>
    None = 0,
    /// <summary>Into the queue: sends wait (those that do not wait are refused), whatever the overflow policy; nothing is dropped. On resume the policy judges those that wait, in their order.</summary>
    Sending = 1,
    /// <summary>Out of the queue: nothing is delivered; what is in flight can be settled.</summary>
    Receiving = 2,
    /// <summary>Both.</summary>
    Both = Sending | Receiving,
}
