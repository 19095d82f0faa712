using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace QueueKit.Sqlite.Outbox;

/// <summary>Everything an outbox logs, under the category "QueueKit.Sqlite". Event ids are stable.</summary>
internal sealed partial class OutboxLog(ILoggerFactory? factory)
{
    private readonly ILogger _logger = factory is null ? NullLogger.Instance : new ForbearingLogger(factory.CreateLogger("QueueKit.Sqlite"));

    [LoggerMessage(1, LogLevel.Information, "Outbox '{Outbox}' opened: {Rows} rows found were moved to their queues, rows for {Waiting} queues wait")]
    public partial void Opened(string outbox, long rows, long waiting);

    [LoggerMessage(2, LogLevel.Warning, "Rows of outbox '{Outbox}' for queue '{Queue}' wait: {Reason}")]
    public partial void Held(string outbox, string? queue, string reason);

    [LoggerMessage(3, LogLevel.Error, "Row {Row} of outbox '{Outbox}', for queue '{Queue}', cannot be a message and was put into queuekit_outbox_dead: {Reason}")]
    public partial void SetAside(string outbox, long row, string? queue, string reason);

    [LoggerMessage(4, LogLevel.Error, "Outbox '{Outbox}' cannot be read; it is tried again: {Error}")]
    public partial void Unreadable(string outbox, string error);

    [LoggerMessage(5, LogLevel.Warning, "Outbox '{Outbox}' has gone back in time, without rows in it: it was restored from a backup, or power failed while its synchronous setting was not FULL. Its next row has the number {Row}")]
    public partial void WentBack(string outbox, long row);

    [LoggerMessage(6, LogLevel.Critical, "Outbox '{Outbox}' moves nothing more until the broker is opened again, because the broker's store has stopped: {Error}")]
    public partial void StoreStopped(string outbox, string error);

    // A logger that throws would otherwise end a round, and with it the process.
#pragma warning disable CA1031 // Whatever a logger throws: the outbox's work goes on.
    private sealed class ForbearingLogger(ILogger logger) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

        // A logger that cannot even say so is asked to log, and found out there.
        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            try
            {
                logger.Log(logLevel, eventId, state, exception, formatter);
            }
            catch (Exception error)
            {
                System.Diagnostics.Trace.TraceError($"QueueKit: the application's logger threw, and a line of the log is lost: {error}");
            }
        }
    }
#pragma warning restore CA1031
}
