namespace QueueKit.Queues;

/// <summary>What consumers ask of a queue besides messages.</summary>
internal readonly struct QueueConsumers(QueueConductor queue)
{
    /// <summary>Ends a consumer: it gets nothing more, and its waits end with nothing.</summary>
    public void Close(Consumer consumer, Hand? hand = null) => queue.Step((consumer, hand), static (core, x, in moment, ref aftermath) =>
    {
        if (!x.consumer.IsClosed)
            core.Dispatcher.CloseConsumer(x.consumer, x.hand, ref aftermath);
    });

    /// <summary>Takes a delivery back, free of charge: it was never started, or its consumer is being stopped.</summary>
    public void TakeBack(InFlightDelivery delivery) => queue.Step(delivery, static (core, delivery, in moment, ref aftermath) =>
    {
        if (core.Dispatcher.TryTakeBack(delivery))
        {
            core.Dispatcher.PlaceReturned(delivery.Queued, moment, ref aftermath);
        }
        else if (delivery.TryMove(LeaseState.Held, LeaseState.Lost))
        {
            if (delivery.ExtrasIfAny is { } extras)
                aftermath.Wakes.Add(extras);
            core.End(delivery, DeliveryEnd.TakenBack, default, moment, ref aftermath);
        }
    });

    /// <summary>Changes how many unsettled messages a consumer may have.</summary>
    public void SetCredit(Consumer consumer, int credit) => queue.Step((consumer, credit), static (core, x, in moment, ref aftermath) =>
    {
        // What is set aside for a receiver that had no credit before is not counted.
        core.Dispatcher.TakeBackSetAside();
        x.consumer.Credit = x.credit;
        core.Dispatcher.CreditChanged(x.consumer);
    });

    /// <summary>Acks frozen deliveries that take up credit, all or none; false if one of them has been taken away.</summary>
    public bool TryAckCounted(ReadOnlySpan<InFlightDelivery> frozen)
    {
        bool settled = false;
        queue.Step(new Batch(frozen, ref settled), static (core, batch, in moment, ref aftermath) =>
        {
            // Under the lock nobody takes a frozen lease away.
            foreach (InFlightDelivery delivery in batch.Deliveries)
            {
                if (delivery.State != LeaseState.Frozen)
                    return;
            }
            foreach (InFlightDelivery delivery in batch.Deliveries)
            {
                delivery.SettleClaimed();
                core.AckTransient(delivery);
            }
            batch.Settled = true;
        });
        return settled;
    }

    private readonly ref struct Batch(ReadOnlySpan<InFlightDelivery> deliveries, ref bool settled)
    {
        public readonly ReadOnlySpan<InFlightDelivery> Deliveries = deliveries;
        public readonly ref bool Settled = ref settled;
    }
}
