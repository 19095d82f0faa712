using Microsoft.Extensions.DependencyInjection;
using Rebus.Activation;
using Rebus.Bus;
using Rebus.Config;
using Rebus.Handlers;
using Rebus.Transport.InMem;

namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>Rebus: a handler from a scope of its own, JSON bodies.</summary>
internal sealed class RebusFramework : IFramework
{
    private IBus? _bus;

    public Task<Func<Work, Task>> StartAsync(int concurrency)
    {
        if (_bus is null)
        {
            IServiceScopeFactory scopes = new ServiceCollection().AddScoped<WorkHandler>().BuildServiceProvider().GetRequiredService<IServiceScopeFactory>();
            var activator = new BuiltinHandlerActivator();
            activator.Register((_, context) =>
            {
                AsyncServiceScope scope = scopes.CreateAsyncScope();
                context.TransactionContext.OnDisposed(_ => scope.Dispose());
                return scope.ServiceProvider.GetRequiredService<WorkHandler>();
            });
            _bus = Configure.With(activator)
                .Logging(logging => logging.None())
                .Transport(transport => transport.UseInMemoryTransport(new InMemNetwork(), "work"))
                .Options(options =>
                {
                    options.SetNumberOfWorkers(concurrency);
                    // A worker that finds all places taken backs off for a while: with as few places as workers it hardly works at all.
                    options.SetMaxParallelism(concurrency * 10);
                })
                .Start();
        }
        IBus bus = _bus;
        return Task.FromResult<Func<Work, Task>>(work => bus.SendLocal(work));
    }

    private sealed class WorkHandler : IHandleMessages<Work>
    {
        public Task Handle(Work message)
        {
            Handled.One();
            return Task.CompletedTask;
        }
    }
}
