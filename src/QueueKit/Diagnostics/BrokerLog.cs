using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace QueueKit.Diagnostics;

/// <summary>Everything a broker logs, under the category "QueueKit". Event ids are stable.</summary>
internal sealed partial class BrokerLog(ILoggerFactory? factory)
{
    private readonly ILogger _logger = factory is null ? NullLogger.Instance : new ForbearingLogger(factory.CreateLogger("QueueKit"));

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

    [LoggerMessage(6, LogLevel.Information, "Backed up to '{Folder}'")]
    public partial void BackedUp(string folder);

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

    [LoggerMessage(25, LogLevel.Error, "Message {Sequence} of queue '{Queue}' cannot be read and is set aside: it stays in the store, where a repair finds it, and is not delivered: {Error}")]
    public partial void MessageUnreadable(string queue, long sequence, string error);

    [LoggerMessage(26, LogLevel.Error, "{Messages} messages of queue '{Queue}' that its commits speak of are not in the store, and there is no trace of them; the queue goes on without them")]
    public partial void MessagesMissing(string queue, long messages);

    [LoggerMessage(27, LogLevel.Error, "A source of messages did not close well; what it has not moved is found at its next opening")]
    public partial void SourceNotClosed(Exception error);

    [LoggerMessage(45, LogLevel.Critical, "{Store} is damaged and is repaired before it is opened, because DamagedStore is Quarantine: {Error}")]
    public partial void Repairing(string store, string error);

    [LoggerMessage(46, LogLevel.Error, "{Store} was damaged: {Finding}")]
    public partial void Found(string store, string finding);

    [LoggerMessage(47, LogLevel.Warning, "{Store} is made anew of what could be read; as it was before it is in {SetAside}")]
    public partial void SetAside(string store, string setAside);

    [LoggerMessage(40, LogLevel.Warning, "'{Witness}' is missing beside a store that exists. Whether the store is complete nobody can tell, and every message in it counts as maybe delivered before")]
    public partial void WitnessMissing(string witness);

    [LoggerMessage(41, LogLevel.Warning, "The store '{Store}' was not closed before the machine stopped, or more was delivered than its witness could hold: every message found in it counts as maybe delivered before, and none is blamed")]
    public partial void DeliveriesUnknown(string store);

    [LoggerMessage(42, LogLevel.Warning, "{Deliveries} messages come back marked as redelivered: consumers had them when the store was last open. {Suspects} of them were being handled when the process ended, and are handled one at a time")]
    public partial void DeliveriesFound(int deliveries, int suspects);

    [LoggerMessage(43, LogLevel.Error, "The process ended while message {Sequence} of queue '{Queue}' was being handled, and no other message can be the reason: that was its failed attempt {Attempts}")]
    public partial void ProcessEndedIn(string queue, long sequence, int attempts);

    [LoggerMessage(44, LogLevel.Error, "'{Witness}' cannot grow: {Error} Deliveries beyond its size are not on record; should the process end now, every message counts as maybe delivered before")]
    public partial void WitnessCannotGrow(string witness, string error);

    [LoggerMessage(30, LogLevel.Critical, "The store has stopped; durable queues neither take nor deliver until the broker is opened again: {Error}")]
    public partial void StoreStopped(string error);

    // A logger that throws would otherwise end the commit thread, and the process with it, or a move of dead letters halfway.
#pragma warning disable CA1031 // Whatever a logger throws: the broker's work goes on.
    private sealed class ForbearingLogger(ILogger logger) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel)
        {
            try
            {
                return logger.IsEnabled(logLevel);
            }
            catch (Exception error)
            {
                Tell(error);
                return false;
            }
        }

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            try
            {
                logger.Log(logLevel, eventId, state, exception, formatter);
            }
            catch (Exception error)
            {
                Tell(error);
            }
        }

        private static void Tell(Exception error) => System.Diagnostics.Trace.TraceError($"QueueKit: the application's logger threw, and a line of the log is lost: {error}");
    }
#pragma warning restore CA1031
}
