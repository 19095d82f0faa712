using Microsoft.Extensions.Logging;

namespace QueueKit.Tests.Journeys;

/// <summary>Calls back at every line of the log: on no lock, so a test can let something happen there.</summary>
internal sealed class LogHook(Action<string> onLine) : ILoggerFactory, ILogger
{
    public ILogger CreateLogger(string categoryName) => this;

    public void AddProvider(ILoggerProvider provider) { }

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => onLine(formatter(state, exception));

    public bool IsEnabled(LogLevel logLevel) => true;

    public IDisposable? BeginScope<TState>(TState state) where TState : notnull => null;

    public void Dispose() { }
}
