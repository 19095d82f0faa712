namespace QueueKit;

/// <summary>The base of the exceptions that tell a caller something about queues that it can act on.</summary>
public class QueueKitException : Exception
{
    /// <summary>Creates an exception.</summary>
    public QueueKitException() { }

    /// <summary>Creates an exception.</summary>
    public QueueKitException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public QueueKitException(string message, Exception? innerException) : base(message, innerException) { }
}

/// <summary>The queue has no room and its policy is not to wait, or not any longer. Nothing was sent.</summary>
public sealed class QueueFullException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public QueueFullException() { }

    /// <summary>Creates an exception.</summary>
    public QueueFullException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public QueueFullException(string message, Exception? innerException) : base(message, innerException) { }

    internal QueueFullException(string queueName, string message) : base(message) => QueueName = queueName;

    /// <summary>The queue.</summary>
    public string? QueueName { get; }
}

/// <summary>There is no such queue, or it has been deleted.</summary>
public sealed class QueueNotFoundException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public QueueNotFoundException() { }

    /// <summary>Creates an exception.</summary>
    public QueueNotFoundException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public QueueNotFoundException(string message, Exception? innerException) : base(message, innerException) { }

    internal QueueNotFoundException(string queueName, string message) : base(message) => QueueName = queueName;

    /// <summary>The queue.</summary>
    public string? QueueName { get; }
}

/// <summary>A declaration contradicts the queue that exists, another queue, or what the broker's store can do.</summary>
public sealed class QueueDeclarationException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public QueueDeclarationException() { }

    /// <summary>Creates an exception.</summary>
    public QueueDeclarationException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public QueueDeclarationException(string message, Exception? innerException) : base(message, innerException) { }

    internal QueueDeclarationException(string queueName, string message) : base(message) => QueueName = queueName;

    /// <summary>The queue.</summary>
    public string? QueueName { get; }
}

/// <summary>The message, or the batch, can never fit: it is larger than the broker, the store or the queue's limits allow. Nothing was sent.</summary>
public sealed class MessageTooLargeException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public MessageTooLargeException() { }

    /// <summary>Creates an exception.</summary>
    public MessageTooLargeException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public MessageTooLargeException(string message, Exception? innerException) : base(message, innerException) { }

    internal MessageTooLargeException(string message, long size, long limit) : base(message)
    {
        Size = size;
        Limit = limit;
    }

    /// <summary>What was sent: bytes or, where the number of messages is the trouble, messages.</summary>
    public long Size { get; }

    /// <summary>What is allowed, in the same unit.</summary>
    public long Limit { get; }
}

/// <summary>A lease that a transaction relied on is gone. The transaction did nothing.</summary>
public sealed class LeaseLostException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public LeaseLostException() { }

    /// <summary>Creates an exception.</summary>
    public LeaseLostException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public LeaseLostException(string message, Exception? innerException) : base(message, innerException) { }
}

/// <summary>The store behind durable queues said no or broke.</summary>
public sealed class StoreException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public StoreException() { }

    /// <summary>Creates an exception.</summary>
    public StoreException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public StoreException(string message, Exception? innerException) : base(message, innerException) { }

    /// <summary>Creates an exception with its kind; for stores.</summary>
    public StoreException(StoreFault fault, string message, string? path = null, Exception? innerException = null) : base(message, innerException)
    {
        Fault = fault;
        Path = path;
    }

    /// <summary>What kind of trouble.</summary>
    public StoreFault Fault { get; }

    /// <summary>Whether it is unknown if the operation took effect; false means that it certainly did not.</summary>
    public bool OutcomeUnknown => Fault == StoreFault.Failed;

    /// <summary>The file or folder concerned, where there is one.</summary>
    public string? Path { get; }

    /// <summary>Whether a repair of the store is a remedy: it is damaged, incomplete or not to be believed, and neither of a newer format nor somebody else's.</summary>
    public bool IsRepairable { get; init; }
}

/// <summary>The kinds of trouble with a store.</summary>
public enum StoreFault
{
    /// <summary>A write or flush failed: its outcome is unknown and the store takes no more in this process.</summary>
    Failed = 0,
    /// <summary>Nothing was written and the store goes on: the record is too large, the disk is nearly full.</summary>
    Refused,
    /// <summary>The store has stopped after an earlier failure; this operation was not tried.</summary>
    Stopped,
    /// <summary>Another broker has the store open; nothing was touched.</summary>
    InUse,
    /// <summary>The data are of a format this version does not know, damaged, or not a store; nothing was touched.</summary>
    Unreadable,
}
