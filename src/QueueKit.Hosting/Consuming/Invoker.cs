using Microsoft.Extensions.DependencyInjection;
using Polly;

namespace QueueKit.Hosting.Consuming;

/// <summary>Calls a handler: reads the value, opens a scope, and puts the pipeline around both.</summary>
internal abstract class Invoker
{
    /// <summary>Null for none. Set before the first call.</summary>
    public ResiliencePipeline? Pipeline { get; set; }

    /// <summary>Whether the activity that it begins is still the caller's when it returns, for the settle. Otherwise it leaves nothing behind.</summary>
    public virtual bool LeavesActivity => false;

    /// <summary>Handles one message. What cannot be read is a reject; whatever the handler throws comes through.</summary>
    public abstract ValueTask<Settlement> InvokeAsync(MessageContext context, CancellationToken ct);

    /// <summary>Handles several messages; of those that cannot be read it says so through <paramref name="settle"/>, and leaves them out.</summary>
    public virtual ValueTask InvokeBatchAsync(IReadOnlyList<Delivery> deliveries, MessageContext context, Action<Delivery, Settlement> settle, CancellationToken ct) =>
        throw new NotSupportedException("The handler takes one message at a time.");
}

/// <summary>Calls handlers of one message.</summary>
internal abstract class SingleInvoker<T>(MessageFormat<T> format, IServiceScopeFactory scopes) : Invoker
{
    public sealed override ValueTask<Settlement> InvokeAsync(MessageContext context, CancellationToken ct)
    {
        Surroundings surroundings = Surroundings.Capture();
        try
        {
            if (!format.TryRead(context.Message, out T? value, out Settlement rejection))
                return new ValueTask<Settlement>(rejection);
            return Pipeline is { } pipeline ? ThroughPipelineAsync(pipeline, value, context, ct) : InScopeAsync(value, context, ct);
        }
        finally
        {
            surroundings.Restore();
        }
    }

    protected abstract ValueTask<Settlement> CallAsync(T value, MessageContext context, CancellationToken ct);

    // No state machine where nothing has to be waited for: most handlers of small messages are done when they return.
    private ValueTask<Settlement> InScopeAsync(T value, MessageContext context, CancellationToken ct)
    {
        AsyncServiceScope scope = scopes.CreateAsyncScope();
        context.Services = scope.ServiceProvider;
        ValueTask<Settlement> call = Call(value, context, ct);
        if (!call.IsCompletedSuccessfully)
            return CloseAfterAsync(call, scope);
        Settlement settlement = call.Result;
        ValueTask closing = scope.DisposeAsync();
        if (!closing.IsCompletedSuccessfully)
            return AfterClosingAsync(closing, settlement);
        closing.GetAwaiter().GetResult();
        return new ValueTask<Settlement>(settlement);
    }

    private ValueTask<Settlement> Call(T value, MessageContext context, CancellationToken ct)
    {
        try
        {
            return CallAsync(value, context, ct);
        }
#pragma warning disable CA1031 // It comes through once the scope is closed.
        catch (Exception error)
#pragma warning restore CA1031
        {
            return ValueTask.FromException<Settlement>(error);
        }
    }

    private static async ValueTask<Settlement> CloseAfterAsync(ValueTask<Settlement> call, AsyncServiceScope scope)
    {
        await using (scope.ConfigureAwait(false))
            return await call.ConfigureAwait(false);
    }

    private static async ValueTask<Settlement> AfterClosingAsync(ValueTask closing, Settlement settlement)
    {
        await closing.ConfigureAwait(false);
        return settlement;
    }

    private async ValueTask<Settlement> ThroughPipelineAsync(ResiliencePipeline pipeline, T value, MessageContext context, CancellationToken ct)
    {
        ResilienceContext resilience = ResilienceContextPool.Shared.Get(ct);
        resilience.Properties.Set(MessageContext.ResilienceKey, context);
        try
        {
            return await pipeline.ExecuteAsync(
                static async (execution, attempt) =>
                {
                    attempt.Context.Reset();
                    return await attempt.Invoker.InScopeAsync(attempt.Value, attempt.Context, execution.CancellationToken).ConfigureAwait(false);
                },
                resilience, (Invoker: this, Value: value, Context: context)).ConfigureAwait(false);
        }
        finally
        {
            ResilienceContextPool.Shared.Return(resilience);
        }
    }
}

/// <summary>Calls a handler class from the message's scope.</summary>
internal sealed class HandlerInvoker<T, THandler>(MessageFormat<T> format, IServiceScopeFactory scopes) : SingleInvoker<T>(format, scopes)
    where THandler : IMessageHandler<T>
{
    protected override ValueTask<Settlement> CallAsync(T value, MessageContext context, CancellationToken ct) =>
        context.Services.GetRequiredService<THandler>().HandleAsync(value, context, ct);
}

/// <summary>Calls a delegate.</summary>
internal sealed class DelegateInvoker<T>(MessageFormat<T> format, IServiceScopeFactory scopes, Func<T, MessageContext, CancellationToken, ValueTask<Settlement>> handler)
    : SingleInvoker<T>(format, scopes)
{
    protected override ValueTask<Settlement> CallAsync(T value, MessageContext context, CancellationToken ct) => handler(value, context, ct);
}
