namespace QueueKit.Hosting.Consuming;

/// <summary>A place that handles one message at a time.</summary>
internal sealed class SinglePlace(HostedConsumer consumer) : Place(consumer)
{
    protected override async ValueTask HandleAsync(Delivery delivery, MessageReceiver receiver, bool isProbe, CancellationToken ct)
    {
        Invoker? handler = Consumer.Handlers.Find(delivery.Message);
        if (handler is null)
        {
            Consumer.Settle(delivery, Consumer.Handlers.Refuse(delivery.Message));
            if (isProbe)
                Consumer.Gate.Undecided();
            return;
        }
        var context = new MessageContext(delivery, Consumer.Broker);
        Settlement settlement;
        try
        {
            settlement = await handler.InvokeAsync(context, ct).ConfigureAwait(false);
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
        if (IsAbandoned)
            return;
        Consumer.Settle(delivery, settlement);
        if (settlement.Kind is SettlementKind.Ack or SettlementKind.Reject && settlement.Reason != MessageFormat<object>.UnreadableReason)
            Consumer.Gate.Succeeded(isProbe);
        else if (isProbe)
            Consumer.Gate.Undecided();
    }
}
