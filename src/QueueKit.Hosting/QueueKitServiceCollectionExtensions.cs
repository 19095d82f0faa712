using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using QueueKit;
using QueueKit.Hosting;
using QueueKit.Hosting.Registration;

#pragma warning disable IDE0130 // Where everybody's registrations are found.
namespace Microsoft.Extensions.DependencyInjection;
#pragma warning restore IDE0130

/// <summary>Adds brokers to the services of a host.</summary>
public static class QueueKitServiceCollectionExtensions
{
    /// <summary>Adds the broker of the application. It opens, with all that its store holds, before the application serves; it is drained and closed when the host stops.</summary>
    /// <param name="services">The services.</param>
    /// <param name="configure">Registers its queues, handlers and options. Further calls add to the same broker.</param>
    /// <returns>The same services.</returns>
    public static IServiceCollection AddQueueKit(this IServiceCollection services, Action<QueueKitBuilder> configure) =>
        services.AddQueueKit(BrokerRegistration.DefaultName, configure);

    /// <summary>Adds a broker with a name. Its <see cref="HostedBroker"/> and <see cref="MessageBroker"/> have the name as their key, its queues "name/queue".</summary>
    /// <inheritdoc cref="AddQueueKit(IServiceCollection, Action{QueueKitBuilder})" path="/param"/>
    /// <inheritdoc cref="AddQueueKit(IServiceCollection, Action{QueueKitBuilder})" path="/returns"/>
    public static IServiceCollection AddQueueKit(this IServiceCollection services, string name, Action<QueueKitBuilder> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(configure);
        BrokerRegistration? registration = services
            .Where(service => service.IsKeyedService && service.ServiceType == typeof(BrokerRegistration) && name.Equals(service.ServiceKey))
            .Select(static service => (BrokerRegistration)service.KeyedImplementationInstance!).FirstOrDefault();
        configure(new QueueKitBuilder(services, registration ?? AddBroker(services, name)));
        return services;
    }

    private static BrokerRegistration AddBroker(IServiceCollection services, string name)
    {
        var registration = new BrokerRegistration(name);
        services.AddKeyedSingleton(name, registration);
        services.AddOptions<MessageBrokerOptions>(name).Configure<IServiceProvider>(static (options, provider) =>
        {
            options.LoggerFactory = provider.GetService<ILoggerFactory>();
            options.TimeProvider = provider.GetService<TimeProvider>() ?? TimeProvider.System;
        });
        services.AddKeyedSingleton(name, (provider, _) => new HostedBroker(registration, provider));
        services.AddSingleton<IHostedService>(provider => new BrokerService(provider.GetRequiredKeyedService<HostedBroker>(name)));
        services.AddKeyedSingleton(name, static (provider, key) => provider.GetRequiredKeyedService<HostedBroker>(key).Broker);
        if (name.Length == 0)
        {
            services.AddSingleton(static provider => provider.GetRequiredKeyedService<HostedBroker>(BrokerRegistration.DefaultName));
            services.AddSingleton(static provider => provider.GetRequiredKeyedService<MessageBroker>(BrokerRegistration.DefaultName));
        }
        return registration;
    }
}
