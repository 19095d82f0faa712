namespace QueueKit.Hosting.Consuming;

/// <summary>A place that handles one message at a time.</summary>
internal sealed class SinglePlace(HostedConsumer consumer) : Place(consumer)
{
    // No state machine where nothing has to be waited for.
    protected override ValueTask HandleAsync(Delivery delivery, MessageReceiver receiver, bool isProbe, CancellationToken ct)
    {
        Invoker? handler = Consumer.Handlers.Find(delivery.Message);
        if (handler is null)
        {
            Consumer.Settle(delivery, Consumer.Handlers.Refuse(delivery.Message));
            if (isProbe)
                Consumer.Gate.Undecided();
            return default;
        }
        var context = new MessageContext(delivery, Consumer.Broker);
        if (handler.LeavesActivity)
            return InFlowOfItsOwnAsync(handler, context, isProbe, ct);
        ValueTask<Settlement> call = Invoke(handler, context, ct);
        if (!call.IsCompletedSuccessfully)
            return SettleAfterAsync(call, context, isProbe, ct);
        Settlement settlement = call.Result;
        if (settlement.Kind == SettlementKind.None || (settlement.Kind == SettlementKind.Ack && context.HasSends))
            return SettleAfterAsync(new ValueTask<Settlement>(settlement), context, isProbe, ct);
        Settle(delivery, settlement, isProbe);
        return default;
    }

    private async ValueTask InFlowOfItsOwnAsync(Invoker handler, MessageContext context, bool isProbe, CancellationToken ct) =>
        await SettleAfterAsync(Invoke(handler, context, ct), context, isProbe, ct).ConfigureAwait(false);

    private static ValueTask<Settlement> Invoke(Invoker handler, MessageContext context, CancellationToken ct)
    {
        try
        {
            return handler.InvokeAsync(context, ct);
        }
#pragma warning disable CA1031 // It is judged where it is awaited.
        catch (Exception error)
#pragma warning restore CA1031
        {
            return ValueTask.FromException<Settlement>(error);
        }
    }

    private async ValueTask SettleAfterAsync(ValueTask<Settlement> call, MessageContext context, bool isProbe, CancellationToken ct)
    {
        Delivery delivery = context.Delivery;
        Settlement settlement;
        try
        {
            settlement = await call.ConfigureAwait(false);
            if (settlement.Kind == SettlementKind.None)
                throw new InvalidOperationException("The handler returned the default settlement, which says nothing. Return Settlement.Ack, Nack(…), Release or Reject(…).");
            if (settlement.Kind == SettlementKind.Ack && context.HasSends)
            {
                SettleResult result = await context.CommitWithAckAsync(ct).ConfigureAwait(false);
                Consumer.Settled(delivery, result);
                Consumer.Gate.Succeeded(isProbe);
                return;
            }
        }
        catch (StoreException error) when (error.Fault is StoreFault.Failed or StoreFault.Stopped && Consumer.Broker.Broker.Completion.IsFaulted)
        {
            throw;
        }
#pragma warning disable CA1031 // Whatever a handler throws is judged by the rules: it is logged and kept with the message.
        catch (Exception error)
#pragma warning restore CA1031
        {
            if (!IsAbandoned)
                Consumer.Failed(delivery, error, isProbe);
            return;
        }
        Settle(delivery, settlement, isProbe);
    }

    private void Settle(Delivery delivery, in Settlement settlement, bool isProbe)
    {
        if (IsAbandoned)
            return;
        Consumer.Settle(delivery, settlement);
        if (settlement.Kind is SettlementKind.Ack or SettlementKind.Reject && settlement.Reason != MessageFormat<object>.UnreadableReason)
            Consumer.Gate.Succeeded(isProbe);
        else if (isProbe)
            Consumer.Gate.Undecided();
    }
}
