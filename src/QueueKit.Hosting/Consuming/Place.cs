using System.Diagnostics.CodeAnalysis;

namespace QueueKit.Hosting.Consuming;

/// <summary>One of a consumer's places: a loop that takes messages when it is free, has them handled and settles them.</summary>
/// <remarks>
/// While messages are held their leases are renewed from outside (<see cref="KeepLeases"/>), and a stop that has run out of time takes them away (<see cref="Abandon"/>).
/// What is held and the token of its handler change together, under the place's lock; no code of the application runs under it.
/// </remarks>
[SuppressMessage("Design", "CA1001:Types that own disposable fields should be disposable", Justification = "A source without a timer, whose token handlers may hold longer than this lives.")]
internal abstract class Place(HostedConsumer consumer)
{
    // After so many messages without a pause the thread is given back once: handlers that never await must not keep it for ever.
    private const int MessagesPerTurn = 256;

    private readonly Lock _lock = new();
    private readonly List<Delivery> _held = [];
    // Those whose loss of the lease is watched: they were held when the leases were renewed.
    private readonly List<Delivery> _watched = [];
    private CancellationTokenSource _handlerToken = new();
    private volatile bool _isAbandoned;
    private int _hasEnded;

    protected HostedConsumer Consumer => consumer;

    // Whoever settles just as the place is abandoned is told that it came too late.
    protected bool IsAbandoned => _isAbandoned;

    public bool IsBusy
    {
        get
        {
            lock (_lock)
                return _held.Count > 0 && !_isAbandoned;
        }
    }

    /// <summary>Takes and handles messages until the consumer stops.</summary>
    public async Task RunAsync()
    {
        MessageReceiver? receiver = null;
        try
        {
            int turn = 0;
            while (!consumer.IsStopping)
            {
                bool isProbe = false;
                if (!consumer.Gate.IsOpen)
                {
                    // What is set aside for this place goes to the one that probes.
                    if (receiver is not null)
                        await receiver.DisposeAsync().ConfigureAwait(false);
                    receiver = null;
                    isProbe = await consumer.Gate.EnterAsync(consumer.Stopping).ConfigureAwait(false);
                }
                receiver ??= consumer.OpenReceiver();
                await NextAsync(receiver, isProbe).ConfigureAwait(false);
                if (++turn == MessagesPerTurn)
                {
                    turn = 0;
                    await Task.Yield();
                }
            }
        }
        catch (OperationCanceledException) when (consumer.IsStopping)
        {
            // It waited for a message, and was asked to stop.
        }
        catch (ObjectDisposedException) when (consumer.IsStopping)
        {
            // The broker was closed while this place was about to stop anyway.
        }
#pragma warning disable CA1031 // Whatever ends a place without being asked to is the consumer's fault: it is logged, and the completion has it.
        catch (Exception error)
#pragma warning restore CA1031
        {
            consumer.Fault(error);
        }
        if (receiver is not null)
            await receiver.DisposeAsync().ConfigureAwait(false);
        End();
    }

    /// <summary>Renews the leases of what is held, and watches from now on whether one is lost.</summary>
    public void KeepLeases()
    {
        Delivery[] held;
        lock (_lock)
        {
            if (_isAbandoned || _held.Count == 0)
                return;
            held = [.. _held];
        }
        foreach (Delivery delivery in held)
        {
            delivery.ExtendLease();
            lock (_lock)
            {
                if (!_held.Contains(delivery) || _watched.Contains(delivery))
                    continue;
                _watched.Add(delivery);
            }
            delivery.LeaseLost.UnsafeRegister(static (state, _) =>
            {
                var (place, lost) = ((Place, Delivery))state!;
                place.CancelHandlerOf(lost);
            }, (this, delivery));
        }
    }

    /// <summary>Out of time: the handler's token is cancelled, what it holds goes back without charge, and nobody waits for it any longer. False if there was none.</summary>
    public bool Abandon()
    {
        Delivery[] held;
        CancellationTokenSource token;
        lock (_lock)
        {
            if (_isAbandoned || Volatile.Read(ref _hasEnded) != 0)
                return false;
            _isAbandoned = true;
            held = [.. _held];
            token = _handlerToken;
        }
        foreach (Delivery delivery in held)
            delivery.Release();
        Cancel(token);
        End();
        return held.Length > 0;
    }

    /// <summary>Handles a message that is held, with as many more from the receiver as the place takes at a time, and settles them.</summary>
    protected abstract ValueTask HandleAsync(Delivery first, MessageReceiver receiver, bool isProbe, CancellationToken ct);

    // Takes a message if there is one, and sees to it that it is settled; otherwise waits until it is worth another look. No state machine where nothing has to be waited for.
    private ValueTask NextAsync(MessageReceiver receiver, bool isProbe) =>
        receiver.TryReceive(out Delivery? delivery) ? HoldAndHandleAsync(delivery, receiver, isProbe) : WaitAsync(receiver, isProbe);

    private async ValueTask WaitAsync(MessageReceiver receiver, bool isProbe)
    {
        if (!await receiver.WaitToReceiveAsync(consumer.Stopping).ConfigureAwait(false))
        {
            consumer.Stopping.ThrowIfCancellationRequested();
            throw new QueueNotFoundException($"Queue '{consumer.QueueName}' was deleted, or its broker closed, while it had a consumer.");
        }
        // An outage may have begun meanwhile: then the message is for the place that probes.
        if (!consumer.IsStopping && (isProbe || consumer.Gate.IsOpen) && receiver.TryReceive(out Delivery? delivery))
            await HoldAndHandleAsync(delivery, receiver, isProbe).ConfigureAwait(false);
        else if (isProbe)
            consumer.Gate.Undecided();
    }

    private ValueTask HoldAndHandleAsync(Delivery delivery, MessageReceiver receiver, bool isProbe)
    {
        if (!Hold(delivery, out CancellationToken ct))
        {
            if (isProbe)
                consumer.Gate.Undecided();
            return default;
        }
        ValueTask handling = default;
        try
        {
            handling = HandleAsync(delivery, receiver, isProbe, ct);
        }
        finally
        {
            if (handling.IsCompletedSuccessfully)
                LetGo();
        }
        return handling.IsCompletedSuccessfully ? default : LetGoAfterAsync(handling);
    }

    private async ValueTask LetGoAfterAsync(ValueTask handling)
    {
        try
        {
            await handling.ConfigureAwait(false);
        }
        finally
        {
            LetGo();
        }
    }

    /// <summary>From now on the delivery is this place's own; false if the place has been abandoned.</summary>
    protected bool Hold(Delivery delivery, out CancellationToken handlerToken)
    {
        lock (_lock)
        {
            handlerToken = _handlerToken.Token;
            if (!_isAbandoned)
            {
                _held.Add(delivery);
                return true;
            }
        }
        delivery.Release();
        return false;
    }

    // The place is free again.
    private void LetGo()
    {
        lock (_lock)
        {
            _held.Clear();
            _watched.Clear();
        }
    }

    private void CancelHandlerOf(Delivery delivery)
    {
        CancellationTokenSource token;
        lock (_lock)
        {
            if (!_held.Contains(delivery))
                return;
            token = _handlerToken;
            // The next message gets a token of its own.
            _handlerToken = new CancellationTokenSource();
        }
        Cancel(token);
    }

    // On a thread of its own: a callback of the application that blocks must not hold up a stop.
    private void Cancel(CancellationTokenSource token) =>
        token.CancelAsync().ContinueWith(
            (cancelled, _) => consumer.Log.CancellationFailed(consumer.QueueName, cancelled.Exception!),
            null, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);

    private void End()
    {
        if (Interlocked.Exchange(ref _hasEnded, 1) == 0)
            consumer.PlaceEnded();
    }
}
