namespace QueueKit.Sqlite;

/// <summary>What a <see cref="SqliteInbox"/> remembers, and for how long. Copied when the inbox is made.</summary>
public sealed class SqliteInboxOptions
{
    /// <summary>For how long a processed message is remembered: a redelivery after that takes effect again; a second to 10 years. Default: 7 days.</summary>
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How many processed messages are remembered, of all queues, the latest ones; 1 to 1,000,000,000. Default: 1,000,000.</summary>
    public long MaxMessages { get; set; } = 1_000_000;

    /// <summary>The clock for <see cref="Retention"/>. Default: <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    internal SqliteInboxOptions Copy() => (SqliteInboxOptions)MemberwiseClone();

    internal void Validate()
    {
        if (Retention < TimeSpan.FromSeconds(1) || Retention > TimeSpan.FromDays(3653))
            throw new ArgumentException($"SqliteInboxOptions.Retention is {Retention}; it must lie between a second and 10 years.", "options");
        if (MaxMessages is < 1 or > 1_000_000_000)
            throw new ArgumentException($"SqliteInboxOptions.MaxMessages is {MaxMessages}; it must lie between 1 and 1,000,000,000.", "options");
        if (TimeProvider is null)
            throw new ArgumentException("SqliteInboxOptions.TimeProvider is null: take TimeProvider.System, or a clock of your own.", "options");
    }
}
