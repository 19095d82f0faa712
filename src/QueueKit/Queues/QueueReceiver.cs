using System.Diagnostics.CodeAnalysis;
using QueueKit.Diagnostics;

namespace QueueKit.Queues;

/// <summary>A receiver of one queue: takes from the lanes while there is something, waits in the ring while there is not.</summary>
internal sealed class QueueReceiver : MessageReceiver
{
    // Together less than two microseconds.
    private const int Looks = 6;

    private readonly QueueConductor _queue;
    private readonly ObservedQueue? _observed;
    private readonly Consumer _consumer;
    private readonly PendingReceive _receive;
    private readonly Hand? _hand;
    // What a wait has brought, not handed out yet.
    private InFlightDelivery? _offered;
    private bool _isDisposed;
    private bool _wasServed;

    public QueueReceiver(QueueConductor queue, ReceiveOptions options)
    {
        _queue = queue;
        // What handlers take is told when they begin.
        _observed = options.ForHandlers ? null : queue.Observed;
        _consumer = new Consumer(queue)
        {
            OwnLeaseTicks = options.LeaseDuration?.Ticks ?? 0,
            AtMostOnce = options.AtMostOnce,
            Credit = options.Credit ?? int.MaxValue,
            ForHandlers = options.ForHandlers,
        };
        _receive = new PendingReceive(_consumer, this);
        // Nothing is set aside for a receiver with credit: that is for what it has been given.
        _hand = _consumer.CountsUnsettled || _consumer.AtMostOnce ? null : new Hand();
    }

    public override bool TryReceive([NotNullWhen(true)] out Delivery? delivery)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        return _observed is { HasListeners: true } ? TryTakeObserved(out delivery) : TryTake(out delivery);
    }

    private bool TryTakeObserved([NotNullWhen(true)] out Delivery? delivery)
    {
        Operation receive = _observed!.BeginReceive();
        if (TryTake(out delivery))
            ObservedQueue.Received(receive, delivery);
        return delivery is not null;
    }

    private bool TryTake([NotNullWhen(true)] out Delivery? delivery)
    {
        if (_offered is not null && TakeOffered() is { } offered)
        {
            delivery = offered;
            return true;
        }
        while (_hand?.Next() is { } next)
        {
            if (next.TryStart(_queue.Clock.Now))
            {
                delivery = next;
                return true;
            }
        }
        delivery = _queue.TryTake(_consumer, _hand);
        _wasServed |= delivery is not null;
        return delivery is not null;
    }

    public override ValueTask<bool> WaitToReceiveAsync(CancellationToken ct = default)
    {
        if (_isDisposed)
            return new ValueTask<bool>(false);
        return _offered is null && (ct.IsCancellationRequested || !IsServedInAMoment()) ? _queue.WaitAsync(_receive, ct) : new ValueTask<bool>(true);
    }

    // Who has just been served looks again for a moment before he lines up: beside a sender that is as quick as he is, both would otherwise hand over every single message by way of the thread pool.
    private bool IsServedInAMoment()
    {
        if (!_wasServed || _hand is null || Environment.ProcessorCount == 1)
            return false;
        _wasServed = false;
        SpinWait spinner = default;
        for (int i = 0; i < Looks; i++)
        {
            if (_queue.SeemsToHaveMessages)
                return true;
            spinner.SpinOnce(sleep1Threshold: -1);
        }
        return false;
    }

    public override void SetCredit(int credit)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(credit, 1);
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        _queue.Consumers.SetCredit(_consumer, credit);
    }

    public override ValueTask DisposeAsync()
    {
        if (_isDisposed)
            return default;
        _isDisposed = true;
        _queue.Consumers.Close(_consumer, _hand);
        if (Interlocked.Exchange(ref _offered, null) is { } offered)
            _queue.Consumers.TakeBack(offered);
        return default;
    }

    /// <summary>Keeps what a wait has brought until it is asked for.</summary>
    public void Keep(InFlightDelivery delivery)
    {
        _offered = delivery;
        // Disposed while the wait was on its way back: nobody will ask for it.
        if (_isDisposed && Interlocked.Exchange(ref _offered, null) is { } offered)
            _queue.Consumers.TakeBack(offered);
    }

    private InFlightDelivery? TakeOffered()
    {
        InFlightDelivery offered = _offered!;
        _offered = null;
        // It may have gone back in the meantime.
        return offered.TryStart(_queue.Clock.Now) ? offered : null;
    }
}
