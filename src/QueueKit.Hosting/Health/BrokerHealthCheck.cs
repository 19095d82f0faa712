using Microsoft.Extensions.Diagnostics.HealthChecks;
using QueueKit.Hosting.Recurring;

namespace QueueKit.Hosting.Health;

/// <summary>The health of one broker, with the reasons in words.</summary>
internal sealed class BrokerHealthCheck(HostedBroker broker, QueueKitHealthOptions options) : IHealthCheck
{
    public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        var unhealthy = new List<string>();
        var degraded = new List<string>();
        if (!broker.IsOpen)
        {
            unhealthy.Add("The broker is not open.");
        }
        else
        {
            if (broker.Broker.Completion is { IsFaulted: true, Exception: { } fault })
                unhealthy.Add($"The store has stopped: {fault.InnerException?.Message}");
            if (broker.Broker.RunningCommitAge is { } age && age >= options.StoreHangs)
                unhealthy.Add($"The store hangs: a commit has been under way for {age}, longer than {options.StoreHangs}.");
            foreach (MessageQueue queue in broker.Broker.Queues)
                Judge(queue.GetSnapshot(), degraded);
            foreach (HostedConsumer consumer in broker.Consumers)
                Judge(consumer, unhealthy, degraded);
            foreach (RecurringSender sender in broker.Recurring.Where(static sender => sender.Completion.IsFaulted))
                unhealthy.Add($"Recurring message '{sender.Name}' has stopped: {sender.Completion.Exception?.InnerException?.Message}");
        }
        HealthStatus status = unhealthy.Count > 0 ? context.Registration.FailureStatus : degraded.Count > 0 ? HealthStatus.Degraded : HealthStatus.Healthy;
        return Task.FromResult(new HealthCheckResult(status, string.Join(" ", [.. unhealthy, .. degraded])));
    }

    private void Judge(QueueSnapshot queue, List<string> degraded)
    {
        if (queue.Name.EndsWith(QueueOptions.DeadLetterSuffix, StringComparison.Ordinal))
        {
            if (queue.Messages > options.DeadLetters)
                degraded.Add($"Queue '{queue.Name}' holds {queue.Messages} dead letters, more than {options.DeadLetters}.");
            return;
        }
        if (queue.Messages > options.Messages)
            degraded.Add($"Queue '{queue.Name}' holds {queue.Messages} messages, more than {options.Messages}.");
        if (queue.Ready.OldestAge > options.OldestMessage)
            degraded.Add($"The oldest message of queue '{queue.Name}' has waited for {queue.Ready.OldestAge}, longer than {options.OldestMessage}.");
        if (queue.InFlight.OldestAge > options.Handling)
            degraded.Add($"A message of queue '{queue.Name}' has been handled for {queue.InFlight.OldestAge}, longer than {options.Handling}: its consumer may be stuck.");
    }

    private static void Judge(HostedConsumer consumer, List<string> unhealthy, List<string> degraded)
    {
        if (consumer.State == ConsumerState.Faulted)
            unhealthy.Add($"The consumer of queue '{consumer.QueueName}' has stopped: {consumer.Completion.Exception?.InnerException?.Message}");
        else if (consumer.IsPaused)
            degraded.Add($"The consumer of queue '{consumer.QueueName}' pauses because of an outage: {consumer.PauseCause?.Message}");
    }
}
