using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Wolverine;

namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>Wolverine: a handler class called by generated code, on a local queue. It hands the object over without serialising it, so it has less to do than the others.</summary>
internal sealed class WolverineFramework : IFramework
{
    private IHost? _host;

    public async Task<Func<Work, Task>> StartAsync(int concurrency)
    {
        if (_host is null)
        {
            HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
            builder.UseWolverine(options =>
            {
                options.Discovery.DisableConventionalDiscovery().IncludeType<WolverineWorkHandler>();
                options.PublishMessage<Work>().ToLocalQueue("work");
                options.LocalQueue("work").MaximumParallelMessages(concurrency);
            });
            _host = builder.Build();
            await _host.StartAsync();
        }
        IServiceProvider services = _host.Services;
        IMessageBus bus = services.CreateScope().ServiceProvider.GetRequiredService<IMessageBus>();
        return work => bus.PublishAsync(work).AsTask();
    }
}

/// <summary>Public for the code that Wolverine generates.</summary>
public sealed class WolverineWorkHandler
{
    /// <summary>Counts.</summary>
    public void Handle(Work message) => Handled.One();
}
