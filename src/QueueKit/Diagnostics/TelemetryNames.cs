namespace QueueKit.Diagnostics;

/// <summary>The names in what is measured and traced: OpenTelemetry's semantic conventions for messaging, and where they have none, our own under "queuekit".</summary>
internal static class TelemetryNames
{
    public const string System = "queuekit";

    // ---- Attributes --------------------------------------------------------------------------------------------------------

    public const string MessagingSystem = "messaging.system";
    public const string OperationName = "messaging.operation.name";
    public const string OperationType = "messaging.operation.type";
    public const string Destination = "messaging.destination.name";
    public const string MessageId = "messaging.message.id";
    public const string ConversationId = "messaging.message.conversation_id";
    public const string BatchCount = "messaging.batch.message_count";
    public const string ErrorType = "error.type";
    public const string OverflowMode = "queuekit.overflow.mode";
    public const string DeadLetterReason = "queuekit.dead_letter.reason";

    // ---- Operations, by type and by name -----------------------------------------------------------------------------------

    public const string Create = "create";
    public const string Send = "send";
    public const string Receive = "receive";
    public const string Process = "process";
    public const string Settle = "settle";
    public const string Ack = "ack";
    public const string Nack = "nack";
    public const string Release = "release";
    public const string Reject = "reject";

    // ---- Values of error.type that are no exception ------------------------------------------------------------------------

    /// <summary>The queue was full and did not take the message.</summary>
    public const string Refused = "refused";

    /// <summary>The queue was full and its policy dropped the message.</summary>
    public const string Dropped = "dropped";

    /// <summary>The settle came too late.</summary>
    public const string LeaseLost = "lease_lost";

    /// <summary>The store did not take the message.</summary>
    public const string StoreError = "QueueKit.StoreException";

    /// <summary>What an exception is called: by its type, and a full queue like the outcome of a send that does not throw.</summary>
    public static string ErrorOf(Exception error) => error is QueueFullException ? Refused : error.GetType().FullName ?? error.GetType().Name;
}
