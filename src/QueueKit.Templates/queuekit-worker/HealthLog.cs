using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace QueueKitWorker;

/// <summary>Writes the health to the log whenever it changes. With ASP.NET Core, map it to an address instead: <c>app.MapHealthChecks("/health")</c>.</summary>
public sealed class HealthLog(ILogger<HealthLog> log) : IHealthCheckPublisher
{
    private string? _last;

    public Task PublishAsync(HealthReport report, CancellationToken cancellationToken)
    {
        string health = string.Join(' ', [report.Status.ToString(), .. report.Entries.Values.Select(entry => entry.Description)]);
        if (health != _last)
            log.Log(report.Status == HealthStatus.Healthy ? LogLevel.Information : LogLevel.Warning, "Health: {Health}", health);
        _last = health;
        return Task.CompletedTask;
    }
}
