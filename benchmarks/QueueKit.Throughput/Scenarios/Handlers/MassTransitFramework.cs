using MassTransit;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>MassTransit: a consumer from a scope of its own, JSON bodies.</summary>
internal sealed class MassTransitFramework : IFramework
{
    private ISendEndpoint? _endpoint;

    public async Task<Func<Work, Task>> StartAsync(int concurrency)
    {
        if (_endpoint is null)
        {
            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
            builder.Services.AddMassTransit(massTransit =>
            {
                massTransit.AddConsumer<WorkConsumer>();
                massTransit.UsingInMemory((context, transport) => transport.ReceiveEndpoint("work", endpoint =>
                {
                    endpoint.ConcurrentMessageLimit = concurrency;
                    endpoint.ConfigureConsumer<WorkConsumer>(context);
                }));
            });
            IHost host = builder.Build();
            await host.StartAsync();
            _endpoint = await host.Services.GetRequiredService<IBus>().GetSendEndpoint(new Uri("queue:work"));
        }
        ISendEndpoint send = _endpoint;
        return work => send.Send(work);
    }

    private sealed class WorkConsumer : IConsumer<Work>
    {
        public Task Consume(ConsumeContext<Work> context)
        {
            Handled.One();
            return Task.CompletedTask;
        }
    }
}
