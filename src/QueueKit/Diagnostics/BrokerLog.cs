using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace QueueKit.Diagnostics;

/// <summary>Everything a broker logs, under the category "QueueKit". Event ids are stable.</summary>
internal sealed partial class BrokerLog(ILoggerFactory? factory)
{
    private readonly ILogger _logger = factory?.CreateLogger("QueueKit") ?? NullLogger.Instance;

    [LoggerMessage(1, LogLevel.Information, "Queue '{Queue}' declared: {Options}")]
    public partial void QueueDeclared(string queue, QueueOptions options);

    [LoggerMessage(2, LogLevel.Information, "Queue '{Queue}' was declared again with other options, which hold from now on: {Options}")]
    public partial void QueueRedeclared(string queue, QueueOptions options);

    [LoggerMessage(3, LogLevel.Information, "Queue '{Queue}' deleted")]
    public partial void QueueDeleted(string queue);

    [LoggerMessage(4, LogLevel.Information, "Opened on {Store}: {Queues} queues with {Messages} messages found")]
    public partial void Opened(string store, int queues, long messages);

    [LoggerMessage(5, LogLevel.Information, "Closed")]
    public partial void Closed();

    [LoggerMessage(10, LogLevel.Warning, "Queue '{Queue}' is full and drops messages as its policy says ({Policy}). Every one is counted; this line comes once per burst.")]
    public partial void DropsBegan(string queue, OverflowPolicy policy);

    [LoggerMessage(11, LogLevel.Warning, "Message {Sequence} of queue '{Queue}' goes to '{Target}' as a dead letter: {Reason}, {Description}")]
    public partial void DeadLettered(string queue, long sequence, string target, DeadLetterReasons reason, string description);

    [LoggerMessage(12, LogLevel.Error, "A move of dead letters from queue '{Queue}' was not committed; the messages stay and are tried again: {Error}")]
    public partial void DeadLetterMoveFailed(string queue, string error);

    [LoggerMessage(13, LogLevel.Warning, "Message {Sequence} of queue '{Queue}' was settled but the store refused the deletion; it comes back: {Error}")]
    public partial void SettleRefused(string queue, long sequence, string error);

    [LoggerMessage(14, LogLevel.Warning, "A failed attempt at message {Sequence} of queue '{Queue}' could not be put on record; after a restart it counts one less: {Error}")]
    public partial void AttemptNotStored(string queue, long sequence, string error);

    [LoggerMessage(20, LogLevel.Error, "A callback on the lease token of a delivery of queue '{Queue}' threw")]
    public partial void LeaseCallbackFailed(string queue, Exception error);

    [LoggerMessage(21, LogLevel.Warning, "A handler of queue '{Queue}' failed on message {Sequence}, attempt {Attempt}")]
    public partial void HandlerFailed(string queue, long sequence, int attempt, Exception error);

    [LoggerMessage(22, LogLevel.Error, "A consumer of queue '{Queue}' stopped without being asked to: {Error}")]
    public partial void ConsumerFaulted(string queue, string error);

    [LoggerMessage(23, LogLevel.Warning, "A stop of queue '{Queue}' ran out of time with {Handlers} handlers still running; what they hold was released")]
    public partial void HandlersAbandoned(string queue, int handlers);

    [LoggerMessage(24, LogLevel.Error, "The backlog of queue '{Queue}' cannot be read on; it delivers what is loaded and nothing behind that: {Error}")]
    public partial void BacklogUnreadable(string queue, string error);

    [LoggerMessage(30, LogLevel.Critical, "The store has stopped; durable queues neither take nor deliver until the broker is opened again: {Error}")]
    public partial void StoreStopped(string error);
}
