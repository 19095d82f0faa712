namespace QueueKit.Hosting;

/// <summary>The request was given up: its handler rejected it, or its last attempt failed. No reply will come.</summary>
public sealed class RequestRejectedException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public RequestRejectedException() { }

    /// <summary>Creates an exception.</summary>
    public RequestRejectedException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public RequestRejectedException(string message, Exception? innerException) : base(message, innerException) { }

    internal RequestRejectedException(string queueName, string reason, string? details)
        : base($"The request was given up by queue '{queueName}': {reason}.{(details is null ? "" : $" {details}")}")
    {
        QueueName = queueName;
        Reason = reason;
        Details = details;
    }

    /// <summary>The queue of the request.</summary>
    public string? QueueName { get; }

    /// <summary>The reason of the reject, or "attempts exhausted".</summary>
    public string? Reason { get; }

    /// <summary>The details of the reject, or type and message of the last exception, if there are any.</summary>
    public string? Details { get; }
}
