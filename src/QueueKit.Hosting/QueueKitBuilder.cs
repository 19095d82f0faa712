using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using QueueKit.Hosting.Consuming;
using QueueKit.Hosting.Recurring;
using QueueKit.Hosting.Registration;
using QueueKit.Hosting.Replies;

namespace QueueKit.Hosting;

/// <summary>Registers what one broker has: options, queues, formats and handlers. Every method returns the same builder.</summary>
public sealed class QueueKitBuilder
{
    private readonly BrokerRegistration _registration;

    internal QueueKitBuilder(IServiceCollection services, BrokerRegistration registration)
    {
        Services = services;
        _registration = registration;
    }

    /// <summary>The services it registers in.</summary>
    public IServiceCollection Services { get; }

    /// <summary>The broker's name; empty for the one without.</summary>
    public string Name => _registration.Name;

    internal BrokerRegistration Registration => _registration;

    /// <summary>Changes the broker's options, for example <c>o => o.UseLiteDB("queue.db")</c>. Logger and clock come from the services unless they are set here.</summary>
    public QueueKitBuilder Configure(Action<MessageBrokerOptions> configure)
    {
        Services.Configure(Name, configure);
        return this;
    }

    /// <summary>Reads options from a configuration section: <c>MaxMessageBytes</c>, <c>MaxLoadedBytes</c>, <c>DamagedStore</c>, <c>DrainTimeout</c>, <c>Queues:NAME:…</c>, <c>Handlers:NAME:…</c>, <c>Recurring:NAME:…</c> and <c>Health:…</c>, by the names of the options. Queues that stand only there are added.</summary>
    /// <remarks>Applied in the order of the calls. What cannot be read, and what no option is called, is an error when the host starts.</remarks>
    public QueueKitBuilder Bind(IConfiguration section)
    {
        ArgumentNullException.ThrowIfNull(section);
        OptionsBinding.Bind(this, section);
        return this;
    }

    /// <summary>Adds a queue; it is declared when the host starts. With the queue's name as the key one injects <see cref="IMessageSender"/>, <see cref="IMessageReceiver"/> and, once the host has started, <see cref="MessageQueue"/>.</summary>
    /// <param name="name">The queue's name and the key of its services and options; in a broker with a name these are under "broker/queue".</param>
    /// <param name="configure">Changes the options from their defaults.</param>
    public QueueKitBuilder AddQueue(string name, Action<QueueOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        string key = _registration.Key(name);
        if (!_registration.Queues.Contains(name))
        {
            _registration.Queues.Add(name);
            if (name.EndsWith(QueueOptions.DeadLetterSuffix, StringComparison.Ordinal))
                Services.Configure<QueueOptions>(key, OptionsBinding.ForDeadLetters);
            Services.AddSingleton<IValidateOptions<QueueOptions>>(new QueueOptionsCheck(key, name));
            Services.AddKeyedSingleton<IMessageSender>(key, (services, _) => new LazySender(Broker(services), name));
            Services.AddKeyedSingleton<IMessageReceiver>(key, (services, _) => new LazyReceiver(Broker(services), name));
            Services.AddKeyedSingleton(key, (services, _) => Broker(services).Broker.GetQueue(name));
        }
        if (configure is not null)
            Services.Configure(key, configure);
        return this;
    }

    /// <summary>Adds a queue of <typeparamref name="T"/>s: one injects <see cref="IQueueSender{T}"/>, <see cref="IQueueReceiver{T}"/> and <see cref="IQueueRequester{T}"/> by the queue's key or, if it is the only queue of <typeparamref name="T"/>s, without.</summary>
    /// <inheritdoc cref="AddQueue(string, Action{QueueOptions})" path="/param"/>
    public QueueKitBuilder AddQueue<T>(string name, Action<QueueOptions>? configure = null)
    {
        AddQueue(name, configure);
        if (!_registration.QueuesByType.TryGetValue(typeof(T), out List<string>? queues))
        {
            _registration.QueuesByType.Add(typeof(T), queues = []);
            if (Name.Length == 0)
            {
                Services.AddSingleton(services => services.GetRequiredKeyedService<IQueueSender<T>>(Only<T>(queues)));
                Services.AddSingleton(services => services.GetRequiredKeyedService<IQueueReceiver<T>>(Only<T>(queues)));
                Services.AddSingleton(services => services.GetRequiredKeyedService<IQueueRequester<T>>(Only<T>(queues)));
            }
        }
        if (queues.Contains(name))
            return this;
        queues.Add(name);
        _registration.TypedQueues.Add((name, static formats => formats.Get<T>()));
        string key = _registration.Key(name);
        Services.AddKeyedSingleton(key, (services, _) => services.GetRequiredKeyedService<IMessageSender>(key).AsSender(_registration.Formats.Get<T>()));
        Services.AddKeyedSingleton(key, (services, _) => services.GetRequiredKeyedService<IMessageReceiver>(key).AsReceiver(_registration.Formats.Get<T>()));
        Services.AddKeyedSingleton<IQueueRequester<T>>(key, (services, _) => new QueueRequester<T>(Broker(services), name));
        return this;
    }

    /// <summary>Messages of every type that has no format of its own are JSON, by this source-generated context.</summary>
    public QueueKitBuilder UseJson(JsonSerializerContext context) => UseSerializer(new JsonMessageSerializer(context));

    /// <summary>Messages of every type that has no format of its own are written and read by this serializer.</summary>
    public QueueKitBuilder UseSerializer(IMessageSerializer serializer)
    {
        ArgumentNullException.ThrowIfNull(serializer);
        _registration.Formats.Serializer = serializer;
        return this;
    }

    /// <summary>Messages of <typeparamref name="T"/> are JSON by this metadata, and carry <paramref name="type"/>.</summary>
    public QueueKitBuilder AddMessage<T>(JsonTypeInfo<T> typeInfo, string? type = null) => AddMessage(new MessageFormat<T>(typeInfo, type));

    /// <summary>Messages of <typeparamref name="T"/> have this format.</summary>
    public QueueKitBuilder AddMessage<T>(MessageFormat<T> format)
    {
        ArgumentNullException.ThrowIfNull(format);
        _registration.Formats.Add(format);
        return this;
    }

    /// <summary>Has <typeparamref name="THandler"/> handle the messages of a queue that hold a <typeparamref name="TMessage"/>. It comes from the scope of its message, registered as transient unless it is registered already.</summary>
    /// <param name="queue">The queue; it is added elsewhere, with <see cref="AddQueue(string, Action{QueueOptions})"/>.</param>
    /// <param name="configure">Changes the options of the queue's handlers, which all of them share.</param>
    public QueueKitBuilder AddHandler<TMessage, [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(string queue, Action<HandlerOptions>? configure = null)
        where THandler : class, IMessageHandler<TMessage>
    {
        bool isOwn = !Services.Any(static service => service.ServiceType == typeof(THandler));
        Services.TryAddTransient<THandler>();
        return Add(queue, configure, new HandlerRegistration(queue, typeof(TMessage), typeof(THandler), isOwn, IsBatch: false, static formats => formats.Get<TMessage>().Type,
            broker => new HandlerInvoker<TMessage, THandler>(broker.Formats.Get<TMessage>(), broker.Scopes)));
    }

    /// <summary>Has <typeparamref name="THandler"/> handle the messages of a queue several at a time. It comes from the scope of its message, registered as transient unless it is registered already.</summary>
    /// <inheritdoc cref="AddHandler{TMessage, THandler}" path="/param"/>
    public QueueKitBuilder AddBatchHandler<TMessage, [DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler>(string queue, Action<HandlerOptions>? configure = null)
        where THandler : class, IBatchHandler<TMessage>
    {
        bool isOwn = !Services.Any(static service => service.ServiceType == typeof(THandler));
        Services.TryAddTransient<THandler>();
        return Add(queue, configure, new HandlerRegistration(queue, typeof(TMessage), typeof(THandler), isOwn, IsBatch: true, static formats => formats.Get<TMessage>().Type,
            broker => new BatchInvoker<TMessage, THandler>(broker.Formats.Get<TMessage>(), broker.Scopes)));
    }

    /// <summary>Has a delegate handle the messages of a queue that hold a <typeparamref name="TMessage"/>: when it returns the message is acked.</summary>
    /// <inheritdoc cref="AddHandler{TMessage, THandler}" path="/param"/>
    // A lambda that returns default, or only throws, could be either: it is one that acks when it returns.
    [OverloadResolutionPriority(1)]
    public QueueKitBuilder MapQueue<TMessage>(string queue, Func<TMessage, MessageContext, CancellationToken, ValueTask> handler, Action<HandlerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return MapQueue<TMessage>(queue, async (message, context, ct) =>
        {
            await handler(message, context, ct).ConfigureAwait(false);
            return Settlement.Ack;
        }, configure);
    }

    /// <summary>Has a delegate handle the messages of a queue that hold a <typeparamref name="TMessage"/>, and say what becomes of them.</summary>
    /// <inheritdoc cref="AddHandler{TMessage, THandler}" path="/param"/>
    public QueueKitBuilder MapQueue<TMessage>(string queue, Func<TMessage, MessageContext, CancellationToken, ValueTask<Settlement>> handler, Action<HandlerOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return Add(queue, configure, new HandlerRegistration(queue, typeof(TMessage), HandlerType: null, IsOwnRegistration: false, IsBatch: false, static formats => formats.Get<TMessage>().Type,
            broker => new DelegateInvoker<TMessage>(broker.Formats.Get<TMessage>(), broker.Scopes, handler)));
    }

    /// <summary>Sends a message to a queue at every tick of a cron schedule: one a tick, also over restarts, if the broker has a store.</summary>
    /// <param name="name">Its name: the key of its options and of what the store remembers. Letters, digits and hyphens.</param>
    /// <param name="cron">Five fields (minute, hour, day of month, month, day of week) or, with seconds before them, six.</param>
    /// <param name="queue">The queue; it is added elsewhere.</param>
    /// <param name="message">Makes the value that is sent for a tick.</param>
    /// <param name="configure">Changes time zone and policy.</param>
    public QueueKitBuilder AddRecurring<T>(string name, string cron, string queue, Func<DateTimeOffset, T> message, Action<RecurringOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(name);
        ArgumentException.ThrowIfNullOrWhiteSpace(queue);
        ArgumentNullException.ThrowIfNull(cron);
        ArgumentNullException.ThrowIfNull(message);
        _registration.Recurring.Add(new RecurringRegistration(name, queue, static formats => formats.Get<T>(), (formats, tick, options) => formats.Get<T>().Write(message(tick), options)));
        Services.Configure<RecurringOptions>(_registration.Key(name), options =>
        {
            options.Cron = cron;
            configure?.Invoke(options);
        });
        return this;
    }

    internal void ConfigureHandlers(string queue, Action<HandlerOptions> configure)
    {
        string key = _registration.Key(queue);
        if (!Services.Any(service => service.ImplementationInstance is HandlerOptionsCheck check && check.Key == key))
            Services.AddSingleton<IValidateOptions<HandlerOptions>>(new HandlerOptionsCheck(key, queue));
        Services.Configure(key, configure);
    }

    private QueueKitBuilder Add(string queue, Action<HandlerOptions>? configure, HandlerRegistration handler)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(queue);
        _registration.Handlers.Add(handler);
        ConfigureHandlers(queue, configure ?? (static _ => { }));
        return this;
    }

    private HostedBroker Broker(IServiceProvider services) => services.GetRequiredKeyedService<HostedBroker>(Name);

    private static string Only<T>(List<string> queues) => queues is [var only]
        ? only
        : throw new InvalidOperationException($"There are {queues.Count} queues of {typeof(T)}: {string.Join(", ", queues)}. Say which with [FromKeyedServices(\"{queues[0]}\")].");
}
