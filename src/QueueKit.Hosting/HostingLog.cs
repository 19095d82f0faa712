using Microsoft.Extensions.Logging;

namespace QueueKit.Hosting;

/// <summary>Everything that hosting logs, under the category "QueueKit.Hosting". Event ids are stable.</summary>
internal sealed partial class HostingLog(ILogger logger)
{
    private readonly ILogger _logger = new ForbearingLogger(logger);

    [LoggerMessage(100, LogLevel.Information, "{Consumers} consumers of {Broker} started")]
    public partial void Started(int consumers, string broker);

    [LoggerMessage(101, LogLevel.Information, "The consumer of queue '{Queue}' stopped")]
    public partial void ConsumerStopped(string queue);

    [LoggerMessage(102, LogLevel.Error, "The consumer of queue '{Queue}' stopped without being asked to; its messages stay in the queue")]
    public partial void ConsumerFaulted(string queue, Exception error);

    [LoggerMessage(103, LogLevel.Warning, "A stop of queue '{Queue}' ran out of time with {Handlers} handlers still running; what they hold was released")]
    public partial void HandlersAbandoned(string queue, int handlers);

    [LoggerMessage(104, LogLevel.Error, "Something that was told of the stop of the consumer of queue '{Queue}' threw")]
    public partial void StoppedEventFailed(string queue, Exception error);

    [LoggerMessage(105, LogLevel.Error, "Something that was told of the cancellation of a handler of queue '{Queue}' threw")]
    public partial void CancellationFailed(string queue, Exception error);

    [LoggerMessage(110, LogLevel.Warning, "A handler of queue '{Queue}' failed on message {Sequence}, attempt {Attempt}: {Outcome}")]
    public partial void HandlerFailed(string queue, long sequence, int attempt, SettlementKind outcome, Exception error);

    [LoggerMessage(111, LogLevel.Warning, "Message {Sequence} of queue '{Queue}' was given up: {Reason}. {Details}")]
    public partial void Rejected(string queue, long sequence, string? reason, string? details);

    [LoggerMessage(112, LogLevel.Warning, "What became of message {Sequence} of queue '{Queue}' came too late ({Result}): it is handled again, or was settled before")]
    public partial void SettledTooLate(string queue, long sequence, SettleResult result);

    [LoggerMessage(130, LogLevel.Warning, "Recurring message '{Name}' missed ticks from {Tick} on; sent for {Sent} (null: for none of them), as its policy says")]
    public partial void TicksMissed(string name, DateTimeOffset tick, DateTimeOffset? sent);

    [LoggerMessage(131, LogLevel.Information, "Recurring message '{Name}' has no more ticks")]
    public partial void NoMoreTicks(string name);

    [LoggerMessage(140, LogLevel.Warning, "A reply to request '{CorrelationId}' of {Broker} came when nobody waited for it any more; it is left out")]
    public partial void ReplyTooLate(string? correlationId, string broker);

    [LoggerMessage(120, LogLevel.Warning, "Queue '{Queue}' is taken to suffer from an outage and pauses for {Pause}; no message is charged")]
    public partial void OutageBegan(string queue, TimeSpan pause, Exception error);

    [LoggerMessage(121, LogLevel.Warning, "The outage of queue '{Queue}' goes on: the message it was tried with failed, the next pause lasts {Pause}")]
    public partial void OutageGoesOn(string queue, TimeSpan pause, Exception error);

    [LoggerMessage(122, LogLevel.Information, "The outage of queue '{Queue}' is over")]
    public partial void OutageEnded(string queue);

    // A logger that throws, or an exception that throws when it is asked for its message, would otherwise end a consumer.
#pragma warning disable CA1031 // Whatever a logger throws: the consumer's work goes on.
    private sealed class ForbearingLogger(ILogger logger) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state) where TState : notnull => logger.BeginScope(state);

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

        private static void Tell(Exception error) => System.Diagnostics.Trace.TraceError($"QueueKit: the application's logger threw, and a line of the log is lost: {error.GetType()}");
    }
#pragma warning restore CA1031
}
