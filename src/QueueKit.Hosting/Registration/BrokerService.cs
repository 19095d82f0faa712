using Microsoft.Extensions.Hosting;

namespace QueueKit.Hosting.Registration;

/// <summary>Ties a broker to the life of the host: open before anything starts, consumers with the other services, closed after everything has stopped.</summary>
internal sealed class BrokerService(HostedBroker broker) : IHostedLifecycleService
{
    public Task StartingAsync(CancellationToken cancellationToken) => broker.OpenAsync(cancellationToken);

    public Task StartAsync(CancellationToken cancellationToken) => broker.StartConsumersAsync(cancellationToken);

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => broker.StopConsumersAsync(cancellationToken);

    public Task StoppedAsync(CancellationToken cancellationToken) => broker.CloseAsync(cancellationToken);
}
