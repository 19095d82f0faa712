namespace QueueKit.Queues;

/// <summary>What a queue tells callers: each error names the queue, the limit and the remedy.</summary>
internal static class QueueErrors
{
    /// <summary>A message or batch that could never fit.</summary>
    public static MessageTooLargeException Oversized(string queue, QueueOptions options, int maxMessageBytes, long bytes, int messages)
    {
        if (messages == 1 && bytes > maxMessageBytes)
        {
            return new MessageTooLargeException(
                $"The message has {bytes:N0} bytes; at most {maxMessageBytes:N0} are allowed. Raise MessageBrokerOptions.MaxMessageBytes (the store may set a limit of its own), or send a reference to the data.", bytes, maxMessageBytes);
        }
        string what = messages == 1 ? "The message" : $"The batch of {messages:N0} messages";
        bool buffers = options.Overflow == OverflowPolicy.Buffer;
        long? maxBytes = buffers ? options.MaxBufferedBytes : options.MaxBytes;
        long? maxMessages = buffers ? options.MaxBufferedMessages : options.MaxMessages;
        string prefix = buffers ? "QueueOptions.MaxBuffered" : "QueueOptions.Max";
        return bytes > maxBytes
            ? new MessageTooLargeException($"{what} has {bytes:N0} bytes; queue '{queue}' holds at most {maxBytes:N0} in all ({prefix}Bytes), so it could never fit. Send less at once, or raise the limit.", bytes, maxBytes.Value)
            : new MessageTooLargeException($"{what} can never fit: queue '{queue}' holds at most {maxMessages:N0} messages ({prefix}Messages). Send less at once, or raise the limit.", messages, maxMessages ?? long.MaxValue);
    }

    /// <summary>No room, at once or in time.</summary>
    public static QueueFullException Full(string queue, QueueOptions options, bool waited)
    {
        bool buffers = options.Overflow == OverflowPolicy.Buffer;
        string limits = $"{((buffers ? options.MaxBufferedMessages : options.MaxMessages) is { } messages ? $"{messages:N0} messages" : "any number of messages")}, {((buffers ? options.MaxBufferedBytes : options.MaxBytes) is { } bytes ? $"{bytes:N0} bytes" : "any number of bytes")}";
        return new QueueFullException(queue, waited
            ? $"Queue '{queue}' had no room within {options.BackpressureTimeout} (limits: {limits}). Nothing was sent. Send again later, add consumers, or choose another overflow policy."
            : $"Queue '{queue}' is full (limits: {limits}) and its policy is to reject. Nothing was sent. Send again later, add consumers, or choose another overflow policy.");
    }

    /// <summary>A queue that was deleted, or whose declaration was refused, while the call was on its way.</summary>
    public static QueueNotFoundException Gone(string queue) => new(queue, $"Queue '{queue}' has been deleted, or the store refused its declaration. Nothing was done. Declare it again with DeclareQueueAsync(\"{queue}\").");

    /// <summary>An exception object of its own for each caller: its stack trace belongs to the one who gets it.</summary>
    public static Exception Again(Exception reason) => reason switch
    {
        QueueNotFoundException deleted => new QueueNotFoundException(deleted.QueueName!, deleted.Message),
        ObjectDisposedException => new ObjectDisposedException(nameof(MessageBroker), "The broker is closed."),
        StoreException fault => new StoreException(fault.Fault, fault.Message, fault.Path, fault),
        _ => reason,
    };
}
