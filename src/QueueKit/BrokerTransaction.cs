using QueueKit.Queues;

namespace QueueKit;

/// <summary>Sends and settles over any number of queues of one broker that take effect together or not at all: batch acks, ack-and-send, moves.</summary>
/// <remarks>
/// Used from one thread at a time, and once: after <see cref="CommitAsync"/> it is finished. Without a commit it leaves no trace.
/// A settle in a transaction freezes the lease: it does not time out before <see cref="QueueOptions.MaxLeaseDuration"/>.
/// As many messages as the transaction settles need no free place, whatever queues they go to, the full one they came from included;
/// a queue that gets more than that follows its overflow policy, and the commit takes all places or none.
/// </remarks>
public sealed class BrokerTransaction : IAsyncDisposable
{
    private readonly MessageBroker _broker;
    private readonly BrokerContext _context;
    private readonly List<(MessageQueue Queue, List<Message> Messages)> _sends = [];
    private readonly List<(InFlightDelivery Delivery, Settlement Settlement)> _settles = [];
    private int _inUse;
    private bool _isFinished;

    internal BrokerTransaction(MessageBroker broker, BrokerContext context)
    {
        _broker = broker;
        _context = context;
    }

    /// <summary>Adds a message to be sent.</summary>
    /// <exception cref="ArgumentException">The queue belongs to another broker.</exception>
    /// <exception cref="MessageTooLargeException">The message could never fit.</exception>
    /// <exception cref="InvalidOperationException">The transaction is finished, or in use by another thread.</exception>
    public void Send(MessageQueue queue, Message message)
    {
        ArgumentNullException.ThrowIfNull(queue);
        ArgumentNullException.ThrowIfNull(message);
        using Use use = Begin();
        if (!ReferenceEquals(queue.Broker, _broker))
            throw new ArgumentException($"Queue '{queue.Name}' belongs to another broker. A transaction covers the queues of the broker that began it.", nameof(queue));
        queue.Conductor.RefuseOversized(message.Size, 1);
        foreach ((MessageQueue known, List<Message> messages) in _sends)
        {
            if (ReferenceEquals(known, queue))
            {
                messages.Add(message);
                return;
            }
        }
        _sends.Add((queue, [message]));
    }

    /// <summary>Adds a settle and freezes the lease. Anything but <see cref="SettleResult.Settled"/> adds nothing.</summary>
    /// <exception cref="ArgumentException">The delivery belongs to another broker, or the settlement is the default value.</exception>
    /// <exception cref="InvalidOperationException">The transaction is finished, or in use by another thread.</exception>
    public SettleResult Settle(Delivery delivery, Settlement settlement)
    {
        ArgumentNullException.ThrowIfNull(delivery);
        settlement.ThrowIfDefault();
        using Use use = Begin();
        if (delivery is not InFlightDelivery own || !ReferenceEquals(own.Queue.Broker, _context))
            throw new ArgumentException($"The delivery from queue '{delivery.QueueName}' belongs to another broker. A transaction covers the queues of the broker that began it.", nameof(delivery));
        if (!own.TryMove(LeaseState.Held, LeaseState.Frozen))
            return own.Stale;
        _settles.Add((own, settlement));
        return SettleResult.Settled;
    }

    /// <summary>Makes everything take effect, in one commit. If it throws, nothing has: the deliveries can be settled again, except where the outcome is unknown.</summary>
    /// <param name="ct">Withdraws the transaction while it waits for places; later it is ignored.</param>
    /// <exception cref="LeaseLostException">A lease was lost, frozen for longer than <see cref="QueueOptions.MaxLeaseDuration"/>.</exception>
    /// <exception cref="QueueFullException">A queue has no room for messages beyond those that need none.</exception>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled in time.</exception>
    /// <exception cref="InvalidOperationException">The transaction is finished, or in use by another thread.</exception>
    public async ValueTask CommitAsync(CancellationToken ct = default)
    {
        using Use use = Begin();
        _isFinished = true;
        List<Reservation> reservations;
        try
        {
            ct.ThrowIfCancellationRequested();
            reservations = await ReserveAsync(ct).ConfigureAwait(false);
        }
        catch
        {
            ReleaseLeases(LeaseState.Frozen, _settles.Count);
            throw;
        }
        ClaimLeases(reservations);
        var transfer = new Transfer(_context);
        foreach (Reservation reservation in reservations)
            reservation.MoveTo(transfer);
        foreach ((InFlightDelivery delivery, Settlement settlement) in _settles)
            transfer.Leave(delivery, settlement);
        transfer.Begin();
        await transfer.Done.ConfigureAwait(false);
    }

    /// <summary>Without a commit before: gives the leases back as they were, and forgets the rest.</summary>
    public ValueTask DisposeAsync()
    {
        if (_isFinished)
            return default;
        using Use use = Begin();
        _isFinished = true;
        ReleaseLeases(LeaseState.Frozen, _settles.Count);
        return default;
    }

    // Takes all places or none. While one queue's places are waited for, no others are held.
    private async ValueTask<List<Reservation>> ReserveAsync(CancellationToken ct)
    {
        Reservation? waitedFor = null;
        while (true)
        {
            var taken = new List<Reservation>();
            int entitled = _settles.Count;
            Reservation? missing = null;
            try
            {
                foreach ((MessageQueue queue, List<Message> messages) in _sends)
                {
                    Reservation reservation = waitedFor?.Queue == queue.Conductor ? waitedFor : new Reservation(queue.Conductor, messages);
                    bool isEntitled = messages.Count <= entitled;
                    if (isEntitled)
                        entitled -= messages.Count;
                    if (!ReferenceEquals(reservation, waitedFor) && !reservation.TryTake(isEntitled))
                    {
                        missing = reservation;
                        break;
                    }
                    taken.Add(reservation);
                }
            }
            catch
            {
                waitedFor?.GiveBack();
                taken.Where(reservation => reservation != waitedFor).ToList().ForEach(static reservation => reservation.GiveBack());
                throw;
            }
            if (missing is null)
                return taken;
            foreach (Reservation reservation in taken)
            {
                if (reservation != waitedFor)
                    reservation.GiveBack();
            }
            waitedFor?.GiveBack();
            await missing.WaitAsync(ct).ConfigureAwait(false);
            waitedFor = missing;
        }
    }

    private void ClaimLeases(List<Reservation> reservations)
    {
        for (int i = 0; i < _settles.Count; i++)
        {
            InFlightDelivery delivery = _settles[i].Delivery;
            if (delivery.TryMove(LeaseState.Frozen, LeaseState.Committing))
                continue;
            ReleaseLeases(LeaseState.Committing, i);
            for (int rest = i; rest < _settles.Count; rest++)
                _settles[rest].Delivery.TryMove(LeaseState.Frozen, LeaseState.Held);
            reservations.ForEach(static reservation => reservation.GiveBack());
            throw new LeaseLostException(
                $"The lease of message {delivery.Sequence} of queue '{delivery.QueueName}' was lost before the commit; nothing was committed. Commit sooner, or raise the queue's MaxLeaseDuration.");
        }
    }

    private void ReleaseLeases(LeaseState from, int count)
    {
        for (int i = 0; i < count; i++)
            _settles[i].Delivery.TryMove(from, LeaseState.Held);
    }

    private Use Begin()
    {
        if (Interlocked.Exchange(ref _inUse, 1) != 0)
            throw new InvalidOperationException("The transaction is in use by another thread. A transaction belongs to one thread at a time; begin one for each.");
        if (_isFinished)
        {
            Volatile.Write(ref _inUse, 0);
            throw new InvalidOperationException("The transaction is finished: it was committed or disposed before. Begin a new one.");
        }
        return new Use(this);
    }

    private readonly struct Use(BrokerTransaction transaction) : IDisposable
    {
        public void Dispose() => Volatile.Write(ref transaction._inUse, 0);
    }

    // The places of one queue's messages.
    private sealed class Reservation(QueueConductor queue, List<Message> messages)
    {
        private List<QueuedMessage>? _victims;
        private bool _isDropped;

        public QueueConductor Queue => queue;

        private long Bytes => messages.Sum(static message => message.Size);

        // False: they have to be waited for.
        public bool TryTake(bool isEntitled)
        {
            queue.EnsureUsable();
            if (!isEntitled)
                queue.RefuseOversized(Bytes, messages.Count);
            var step = new ReserveStep(messages.Count, Bytes, isEntitled);
            queue.Step(step);
            _victims = step.Victims;
            _isDropped = step.Verdict == GateVerdict.Drop;
            return step.Verdict switch
            {
                GateVerdict.Wait => false,
                GateVerdict.Refuse => throw queue.FullException(waited: false),
                _ => true,
            };
        }

        public async ValueTask WaitAsync(CancellationToken ct) => await queue.ReserveAsync(messages.Count, Bytes, ct).ConfigureAwait(false);

        public void GiveBack()
        {
            if (!_isDropped)
                queue.Step(new GiveBackStep(messages.Count, Bytes, _victims));
        }

        public void MoveTo(Transfer transfer)
        {
            if (_isDropped)
                return;
            if (_victims is { Count: > 0 })
                transfer.Evict(queue, _victims);
            foreach (Message message in messages)
                transfer.Arrive(queue, message);
        }
    }
}
