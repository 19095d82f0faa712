using Microsoft.Extensions.DependencyInjection;

namespace QueueKit.Hosting.Consuming;

/// <summary>Calls a batch handler from the batch's scope.</summary>
internal sealed class BatchInvoker<T, THandler>(MessageFormat<T> format, IServiceScopeFactory scopes) : Invoker
    where THandler : IBatchHandler<T>
{
    public override ValueTask<Settlement> InvokeAsync(MessageContext context, CancellationToken ct) =>
        throw new NotSupportedException("The handler takes batches.");

    public override async ValueTask InvokeBatchAsync(IReadOnlyList<Delivery> deliveries, MessageContext context, Action<Delivery, Settlement> settle, CancellationToken ct)
    {
        var values = new List<(Delivery Delivery, T Value)>(deliveries.Count);
        foreach (Delivery delivery in deliveries)
        {
            if (format.TryRead(delivery.Message, out T? value, out Settlement rejection))
                values.Add((delivery, value));
            else
                settle(delivery, rejection);
        }
        if (values.Count == 0)
            return;
        MessageBatch<T> handled = Pipeline is { } pipeline
            ? await pipeline.ExecuteAsync(
                static (attempt, token) => attempt.Invoker.InScopeAsync(attempt.Values, attempt.Context, token),
                (Invoker: this, Values: values, Context: context), ct).ConfigureAwait(false)
            : await InScopeAsync(values, context, ct).ConfigureAwait(false);
        foreach (BatchItem<T> item in handled)
            settle(item.Delivery, item.Outcome ?? Settlement.Ack);
    }

    // Each attempt gets a batch of its own: what the last one decided or wanted to send is forgotten.
    private async ValueTask<MessageBatch<T>> InScopeAsync(List<(Delivery Delivery, T Value)> values, MessageContext context, CancellationToken ct)
    {
        context.Reset();
        AsyncServiceScope scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            context.Services = scope.ServiceProvider;
            var batch = new MessageBatch<T>(context);
            foreach ((Delivery delivery, T value) in values)
                batch.Add(new BatchItem<T>(delivery, value));
            await scope.ServiceProvider.GetRequiredService<THandler>().HandleAsync(batch, ct).ConfigureAwait(false);
            return batch;
        }
    }
}
