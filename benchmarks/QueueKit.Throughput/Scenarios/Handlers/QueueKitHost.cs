using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using QueueKit.Hosting;

namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>A host with one handler on a transient queue.</summary>
internal sealed class QueueKitHost : IAsyncDisposable
{
    private readonly IHost _host;

    private QueueKitHost(IHost host)
    {
        _host = host;
        Sender = host.Services.GetRequiredService<IQueueSender<Work>>();
        Queue = host.Services.GetRequiredKeyedService<MessageQueue>("work");
    }

    public IQueueSender<Work> Sender { get; }

    public MessageQueue Queue { get; }

    public static async Task<QueueKitHost> StartAsync(int? capacity, int concurrency)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddQueueKit(queueKit => queueKit
            .UseJson(WorkJson.Default)
            .AddQueue<Work>("work", options => (options.MaxMessages, options.MaxBytes) = (capacity, null))
            .AddHandler<Work, Handler>("work", options => options.Concurrency = concurrency));
        IHost host = builder.Build();
        await host.StartAsync();
        return new QueueKitHost(host);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }

    private sealed class Handler : IMessageHandler<Work>
    {
        public ValueTask<Settlement> HandleAsync(Work message, MessageContext context, CancellationToken ct)
        {
            Handled.One();
            return new ValueTask<Settlement>(Settlement.Ack);
        }
    }
}
