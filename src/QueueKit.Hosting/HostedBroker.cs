using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using QueueKit.Hosting.Consuming;
using QueueKit.Hosting.Recurring;
using QueueKit.Hosting.Registration;
using QueueKit.Hosting.Replies;

namespace QueueKit.Hosting;

/// <summary>A broker that lives with the host: opened before the application serves, with its consumers, and drained and closed when it stops. Safe for any thread.</summary>
public sealed class HostedBroker : IAsyncDisposable
{
    private readonly BrokerRegistration _registration;
    private readonly IServiceProvider _services;
    private readonly HostingLog _log;
    private volatile MessageBroker? _broker;
    private volatile IReadOnlyList<HostedConsumer> _consumers = [];
    private IReadOnlyList<RecurringSender> _recurring = [];
    private TimeSpan _drainTimeout;
    private TimeProvider _time = TimeProvider.System;

    internal HostedBroker(BrokerRegistration registration, IServiceProvider services)
    {
        _registration = registration;
        _services = services;
        _log = new HostingLog(services.GetService<ILoggerFactory>()?.CreateLogger("QueueKit.Hosting") ?? NullLogger.Instance);
        Replies = new ReplyDesk(this, _log);
    }

    /// <summary>The broker's name; empty for the one without.</summary>
    public string Name => _registration.Name;

    /// <summary>Whether the broker has been opened, and the host not yet stopped.</summary>
    public bool IsOpen => _broker is { Completion.IsCompletedSuccessfully: false };

    /// <summary>The broker itself.</summary>
    /// <exception cref="InvalidOperationException">The host has not started yet.</exception>
    public MessageBroker Broker => _broker ?? throw new InvalidOperationException(
        $"{StartChecks.Capital(_registration.ToString())} is not open yet: it opens when the host starts. In constructors take IMessageSender, IQueueSender<T> or HostedBroker, which may be used from the start of the host on.");

    /// <summary>The consumers, one for each queue that has handlers; empty before the host has started.</summary>
    public IReadOnlyList<HostedConsumer> Consumers => _consumers;

    /// <summary>Stops the consumers within the drain timeout and closes the broker, if the host has not done so.</summary>
    public async ValueTask DisposeAsync()
    {
        await StopConsumersAsync(CancellationToken.None).ConfigureAwait(false);
        await CloseAsync(CancellationToken.None).ConfigureAwait(false);
    }

    internal IReadOnlyList<RecurringSender> Recurring => _recurring;

    internal ReplyDesk Replies { get; }

    internal TimeProvider Time => _time;

    internal MessageFormats Formats => _registration.Formats;

    internal IServiceScopeFactory Scopes => _services.GetRequiredService<IServiceScopeFactory>();

    internal async Task OpenAsync(CancellationToken ct)
    {
        List<string> problems = [.. StartChecks.Problems(_registration, _services)];
        MessageBrokerOptions? options = Read<MessageBrokerOptions>(_registration.Name, problems);
        try
        {
            options?.Validate();
        }
        catch (ArgumentException error)
        {
            problems.Add(QueueOptionsCheck.Words(error));
        }
        var queues = new List<(string Name, QueueOptions? Options)>();
        foreach (string queue in _registration.Queues)
            queues.Add((queue, Read<QueueOptions>(_registration.Key(queue), problems)));
        foreach (string queue in _registration.Handlers.Select(static handler => handler.Queue).Distinct())
        {
            HandlerOptions? handlers = Read<HandlerOptions>(_registration.Key(queue), problems);
            if (handlers?.LeaseDuration is { } lease && queues.Find(declared => declared.Name == queue).Options?.MaxLeaseDuration is { } longest && lease > longest)
                problems.Add($"Handlers of queue '{queue}': LeaseDuration is {lease}, longer than the queue's MaxLeaseDuration, which is {longest}.");
            if (handlers is { ResiliencePipeline: { } pipeline } && StartChecks.FindPipeline(pipeline, _services) is null)
                problems.Add($"Handlers of queue '{queue}': there is no resilience pipeline '{pipeline}'. Add it with services.AddResiliencePipeline(\"{pipeline}\", …) from Polly.Extensions.");
        }
        var schedules = new List<CronSchedule>();
        foreach (RecurringRegistration recurring in _registration.Recurring.DistinctBy(static recurring => recurring.Name))
        {
            if (Read<RecurringOptions>(_registration.Key(recurring.Name), problems) is not { } recurringOptions)
                continue;
            if (CronSchedule.TryCreate(recurringOptions, out string? problem) is { } schedule)
                schedules.Add(schedule);
            else
                problems.Add($"Recurring message '{recurring.Name}': {problem}");
        }
        problems.AddRange(Read<QueueKitHealthOptions>(_registration.Name, problems)?.Problems(_registration) ?? []);
        if (problems.Count > 0)
            throw new QueueKitConfigurationException(string.Join(Environment.NewLine, problems.Distinct()));

        _drainTimeout = options!.DrainTimeout;
        _time = options.TimeProvider;
        MessageBroker broker = await MessageBroker.OpenAsync(options, ct).ConfigureAwait(false);
        try
        {
            foreach ((string name, QueueOptions? queueOptions) in queues)
                await broker.DeclareQueueAsync(name, queueOptions, ct).ConfigureAwait(false);
        }
        catch
        {
            await broker.DisposeAsync().ConfigureAwait(false);
            throw;
        }
        _recurring = [.. _registration.Recurring.Zip(schedules, (recurring, schedule) => new RecurringSender(recurring, schedule, this, _time, _log))];
        _broker = broker;
    }

    internal async Task StartConsumersAsync(CancellationToken ct)
    {
        MessageBroker broker = Broker;
        var consumers = new List<HostedConsumer>();
        foreach (IGrouping<string, HandlerRegistration> group in _registration.Handlers.GroupBy(static handler => handler.Queue))
        {
            HandlerOptions options = _services.GetRequiredService<IOptionsMonitor<HandlerOptions>>().Get(_registration.Key(group.Key));
            var handlers = new Dictionary<string, Invoker>(StringComparer.Ordinal);
            foreach (HandlerRegistration registration in group)
            {
                Invoker invoker = registration.Build(this);
                invoker.Pipeline = StartChecks.FindPipeline(options.ResiliencePipeline, _services);
                handlers.Add(registration.TypeName(Formats), invoker);
            }
            consumers.Add(new HostedConsumer(this, broker.GetQueue(group.Key), options, handlers, group.First().IsBatch, _time, _log));
        }
        _consumers = consumers;
        foreach (HostedConsumer consumer in consumers)
            consumer.Start();
        foreach (RecurringSender sender in _recurring)
            await sender.StartAsync(ct).ConfigureAwait(false);
        _log.Started(consumers.Count, _registration.ToString());
    }

    /// <summary>Stops the intake at once, and waits for running handlers until <paramref name="ct"/> is cancelled or the drain timeout is over.</summary>
    internal async Task StopConsumersAsync(CancellationToken ct)
    {
        foreach (HostedConsumer consumer in _consumers)
            consumer.BeginStop();
        using var timeout = new CancellationTokenSource(_drainTimeout, _time);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(ct, timeout.Token);
        await Task.WhenAll([.. _consumers.Select(consumer => consumer.StopAsync(deadline.Token)), .. _recurring.Select(sender => sender.StopAsync(deadline.Token).AsTask())]).ConfigureAwait(false);
    }

    internal async Task CloseAsync(CancellationToken ct)
    {
        if (_broker is not { } broker)
            return;
        await broker.CloseAsync(ct).ConfigureAwait(false);
        Replies.Close();
    }

    // What the options' own validation finds joins the other problems.
    private T? Read<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] T>(string name, List<string> problems) where T : class
    {
        try
        {
            return _services.GetRequiredService<IOptionsMonitor<T>>().Get(name);
        }
        catch (OptionsValidationException error)
        {
            problems.AddRange(error.Failures);
        }
        catch (QueueKitConfigurationException error)
        {
            problems.Add(error.Message);
        }
        return null;
    }
}
