using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Options;
using QueueKit.Hosting;
using QueueKit.Hosting.Health;
using QueueKit.Hosting.Registration;

#pragma warning disable IDE0130 // Where everybody's registrations are found.
namespace Microsoft.Extensions.DependencyInjection;
#pragma warning restore IDE0130

/// <summary>Adds brokers to the health checks of a host.</summary>
public static class QueueKitHealthChecksBuilderExtensions
{
    /// <summary>Checks a broker, its queues and its consumers: the check "queuekit" or, of a broker with a name, "queuekit-name", tagged "ready".</summary>
    /// <param name="builder">The health checks.</param>
    /// <param name="configure">Changes the thresholds, also those from the configuration (<see cref="QueueKitBuilder.Bind"/>).</param>
    /// <param name="broker">The broker's name; null for the one without.</param>
    /// <returns>The same builder.</returns>
    public static IHealthChecksBuilder AddQueueKit(this IHealthChecksBuilder builder, Action<QueueKitHealthOptions>? configure = null, string? broker = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        string name = broker ?? BrokerRegistration.DefaultName;
        if (configure is not null)
            builder.Services.PostConfigure(name, configure);
        return builder.Add(new HealthCheckRegistration(
            string.IsNullOrEmpty(broker) ? "queuekit" : $"queuekit-{broker}",
            services => new BrokerHealthCheck(Broker(services, name), services.GetRequiredService<IOptionsMonitor<QueueKitHealthOptions>>().Get(name)),
            failureStatus: null, tags: ["ready"]));
    }

    private static HostedBroker Broker(IServiceProvider services, string name) => services.GetKeyedService<HostedBroker>(name) ?? throw new InvalidOperationException(name.Length == 0
        ? "A health check asks for the broker, and there is none without a name. Register it with services.AddQueueKit(…), or give the check the name of one: AddHealthChecks().AddQueueKit(broker: …)."
        : $"A health check asks for broker '{name}', and there is none. Register it with services.AddQueueKit(\"{name}\", …), or give the check another name.");
}
