namespace QueueKit;

/// <summary>What a message survives once its send has returned.</summary>
public enum Durability
{
    /// <summary><see cref="Flushed"/> where the broker has a store, otherwise <see cref="Transient"/>.</summary>
    Default = 0,
    /// <summary>Kept in memory: gone with the process.</summary>
    Transient,
    /// <summary>Handed to the operating system: survives a crash of the process, not a power cut.</summary>
    Written,
    /// <summary>Flushed to the disk: survives a power cut.</summary>
    Flushed,
}
