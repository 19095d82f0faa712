namespace QueueKit.Sqlite;

/// <summary>An outbox at one instant.</summary>
public sealed record SqliteOutboxSnapshot
{
    /// <summary>How many rows have been moved to their queues since the broker was opened.</summary>
    public required long Moved { get; init; }

    /// <summary>How many rows could not be messages and were put into <c>queuekit_outbox_dead</c> since then.</summary>
    public required long SetAside { get; init; }

    /// <summary>How many moved rows are still in the outbox: they are deleted along with later appends, or when nobody has appended for a moment.</summary>
    public required long Undeleted { get; init; }

    /// <summary>The queues whose rows wait for something, and for what.</summary>
    public required IReadOnlyList<HeldRows> Held { get; init; }

    /// <summary>Why nothing is moved at all; null while there is no trouble.</summary>
    public required string? Error { get; init; }
}

/// <summary>Rows of an outbox that wait.</summary>
/// <param name="Queue">For which queue they are; null for rows that name none.</param>
/// <param name="Reason">What they wait for.</param>
public sealed record HeldRows(string? Queue, string Reason);
