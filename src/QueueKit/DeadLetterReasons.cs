namespace QueueKit;

/// <summary>The reasons for which a queue keeps a message that it gives up, as a dead letter. What is not listed is discarded, and counted.</summary>
[Flags]
public enum DeadLetterReasons
{
    /// <summary>Keep none: whatever is given up is discarded.</summary>
    None = 0,
    /// <summary>A consumer rejected it.</summary>
    Rejected = 1,
    /// <summary><see cref="QueueOptions.MaxAttempts"/> attempts failed.</summary>
    AttemptsExhausted = 2,
    /// <summary><see cref="OverflowPolicy.DropOldest"/> chose it to make room.</summary>
    Overflow = 4,
}
