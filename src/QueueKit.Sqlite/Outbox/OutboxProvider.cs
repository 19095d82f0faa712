using Microsoft.Extensions.Logging;

namespace QueueKit.Sqlite.Outbox;

/// <summary>What <see cref="SqliteBrokerOptions.UseSqliteOutbox"/> adds to a broker's options.</summary>
internal sealed class OutboxProvider(string path, Func<TimeProvider> time, Func<ILoggerFactory?> loggers) : IMessageSourceProvider
{
    public string Description => $"SQLite outbox, {path}";

    public async ValueTask<IMessageSource> OpenAsync(MessageBroker broker, CancellationToken ct = default) =>
        await SqliteOutbox.OpenAsync(path, broker, time(), new OutboxLog(loggers()), ct).ConfigureAwait(false);
}
