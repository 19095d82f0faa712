using System.Runtime.InteropServices;

namespace QueueKit.Hosting.Consuming;

/// <summary>A place that handles several messages at a time, and settles them in one commit.</summary>
internal sealed class BatchPlace(HostedConsumer consumer, Invoker handler) : Place(consumer)
{
    private readonly List<Delivery> _batch = [];
    private readonly Dictionary<Delivery, Settlement> _outcomes = [];

    protected override async ValueTask HandleAsync(Delivery first, MessageReceiver receiver, bool isProbe, CancellationToken ct)
    {
        try
        {
            _batch.Add(first);
            if (await FillAsync(receiver, isProbe ? 1 : Consumer.Options.BatchSize).ConfigureAwait(false))
                await HandleBatchAsync(isProbe, ct).ConfigureAwait(false);
            else if (!IsAbandoned)
                _batch.ForEach(static delivery => delivery.Release());
        }
        finally
        {
            _batch.Clear();
            _outcomes.Clear();
        }
    }

    // False: stopped before the handler started, and nothing is to be charged.
    private async ValueTask<bool> FillAsync(MessageReceiver receiver, int size)
    {
        CancellationTokenSource? wait = null;
        using (Consumer.Options.BatchWait > TimeSpan.Zero && size > 1
            ? Consumer.Stopping.UnsafeRegister(static source => ((CancellationTokenSource)source!).Cancel(), wait = new CancellationTokenSource(Consumer.Options.BatchWait, Consumer.Time))
            : default)
        {
            try
            {
                while (_batch.Count < size)
                {
                    if (receiver.TryReceive(out Delivery? delivery))
                    {
                        if (!Hold(delivery, out _))
                            return false;
                        _batch.Add(delivery);
                    }
                    else if (wait is null || !await receiver.WaitToReceiveAsync(wait.Token).ConfigureAwait(false))
                    {
                        break;
                    }
                }
            }
            catch (OperationCanceledException) when (wait is { IsCancellationRequested: true })
            {
                // The time is up, or the consumer stops.
            }
            finally
            {
                wait?.Dispose();
            }
        }
        return !Consumer.IsStopping;
    }

    private async ValueTask HandleBatchAsync(bool isProbe, CancellationToken ct)
    {
        using ProcessScope process = Consumer.Queue.BeginProcess(CollectionsMarshal.AsSpan(_batch));
        var context = new MessageContext(_batch[0], Consumer.Broker);
        try
        {
            await handler.InvokeBatchAsync(_batch, context, _outcomes.Add, ct).ConfigureAwait(false);
            await CommitAsync(context, ct).ConfigureAwait(false);
        }
        catch (StoreException error) when (error.Fault is StoreFault.Failed or StoreFault.Stopped && Consumer.Broker.Broker.Completion.IsFaulted)
        {
            throw;
        }
#pragma warning disable CA1031 // Whatever a handler throws is judged by the rules: it is logged and kept with the messages.
        catch (Exception error)
#pragma warning restore CA1031
        {
            process.Fail(error);
            if (!IsAbandoned)
                Fail(error, isProbe);
            return;
        }
        if (_outcomes.Values.Any(static outcome => outcome.Reason != MessageFormat<object>.UnreadableReason))
            Consumer.Gate.Succeeded(isProbe);
        else if (isProbe)
            Consumer.Gate.Undecided();
    }

    private async ValueTask CommitAsync(MessageContext context, CancellationToken ct)
    {
        BrokerTransaction transaction = Consumer.Broker.Broker.BeginTransaction();
        await using (transaction.ConfigureAwait(false))
        {
            var results = new List<(Delivery Delivery, Settlement Settlement, SettleResult Result)>(_batch.Count);
            foreach (Delivery delivery in _batch)
            {
                Settlement settlement = _outcomes[delivery];
                results.Add((delivery, settlement, transaction.Settle(delivery, settlement)));
            }
            // With nothing to settle, because every lease is lost, there is nothing to send either: the messages come again.
            if (results.Exists(static result => result.Result == SettleResult.Settled))
            {
                context.AddTo(transaction);
                await transaction.CommitAsync(ct).ConfigureAwait(false);
            }
            foreach ((Delivery delivery, Settlement settlement, SettleResult result) in results)
                Consumer.Settled(delivery, result, settlement);
        }
    }

    // What could not be read is the message's own trouble, whatever the handler did.
    private void Fail(Exception error, bool isProbe)
    {
        foreach (Delivery delivery in _batch)
        {
            if (_outcomes.TryGetValue(delivery, out Settlement outcome) && outcome.Reason == MessageFormat<object>.UnreadableReason)
                Consumer.Settle(delivery, outcome);
            else
                Consumer.Failed(delivery, error, isProbe);
        }
    }
}
