using QueueKit.Hosting.Registration;

namespace QueueKit.Hosting;

/// <summary>From when on a broker counts as degraded. A store that has stopped or hangs, and a consumer that has ended, are unhealthy whatever they say.</summary>
public sealed class QueueKitHealthOptions
{
    /// <summary>The age of the oldest deliverable message of a queue; null for never. Default: 5 minutes.</summary>
    public TimeSpan? OldestMessage { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>The messages in a queue, dead letters aside; null (the default) for never.</summary>
    public long? Messages { get; set; }

    /// <summary>The messages in a queue of dead letters; null (the default) for never.</summary>
    public long? DeadLetters { get; set; }

    /// <summary>How long one message has been with its consumer; null for never. Default: 10 minutes.</summary>
    public TimeSpan? Handling { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How long one commit may take before the store counts as hanging, which is unhealthy. Default: 30 s.</summary>
    public TimeSpan StoreHangs { get; set; } = TimeSpan.FromSeconds(30);

    internal IEnumerable<string> Problems(BrokerRegistration broker)
    {
        string where = $"Health of {broker}";
        if (OldestMessage < TimeSpan.Zero)
            yield return $"{where}: OldestMessage is {OldestMessage}; it must not be negative, or be absent for never.";
        if (Messages < 0)
            yield return $"{where}: Messages is {Messages}; it must be at least 0, or absent for never.";
        if (DeadLetters < 0)
            yield return $"{where}: DeadLetters is {DeadLetters}; it must be at least 0, or absent for never.";
        if (Handling < TimeSpan.Zero)
            yield return $"{where}: Handling is {Handling}; it must not be negative, or be absent for never.";
        if (StoreHangs <= TimeSpan.Zero)
            yield return $"{where}: StoreHangs is {StoreHangs}; it must be positive.";
    }
}
