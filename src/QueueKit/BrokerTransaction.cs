using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using QueueKit.Diagnostics;
using QueueKit.Queues;
using QueueKit.Scheduling;

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
    // Both are made at the first use: most transactions are a batch of acks.
    private List<(MessageQueue Queue, List<Message> Messages)>? _sends;
    private List<Settlement>? _settlements;
    private Dictionary<Guid, long>? _watermarks;
    private InFlightDelivery[] _settles = [];
    private int _settleCount;
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
        _sends ??= [];
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
        return Freeze(delivery, settlement);
    }

    /// <summary>Adds the same settle for several deliveries, all or none. Anything but <see cref="SettleResult.Settled"/> is what stood in the way, and adds nothing.</summary>
    /// <inheritdoc cref="Settle(Delivery, Settlement)" path="/exception"/>
    public SettleResult Settle(IReadOnlyList<Delivery> deliveries, Settlement settlement)
    {
        ArgumentNullException.ThrowIfNull(deliveries);
        settlement.ThrowIfDefault();
        using Use use = Begin();
        int before = _settleCount;
        SettleResult result = SettleResult.Settled;
        // What a queue hands out as a batch is an array of its own deliveries: no interface call for each.
        if (deliveries is InFlightDelivery[] batch)
        {
            for (int i = 0; i < batch.Length && result == SettleResult.Settled; i++)
                result = Freeze(batch[i], settlement);
        }
        else
        {
            for (int i = 0; i < deliveries.Count && result == SettleResult.Settled; i++)
                result = Freeze(deliveries[i], settlement);
        }
        if (result != SettleResult.Settled)
            Thaw(before);
        return result;
    }

    /// <summary>Says, in the same commit, how far a source of messages has been moved: so that after a crash it is known what has been and what has not.</summary>
    /// <remarks>The commit is flushed, whatever the queues ask for: the source may forget what lies behind its watermark. One source is moved by one transaction after the other.</remarks>
    /// <param name="source">Who the source is; the same in every life of it, and nobody else's.</param>
    /// <param name="position">The last that is moved with this transaction; what it counts is the source's own.</param>
    /// <exception cref="InvalidOperationException">The broker has no store; or the transaction is finished, or in use by another thread.</exception>
    [Experimental("QUEUEKIT001")]
    public void MoveWatermark(Guid source, long position)
    {
        using Use use = Begin();
        if (_context.Pipeline is null)
            throw new InvalidOperationException("The broker has no store in which a watermark could be kept. Set MessageBrokerOptions.Store when it is opened.");
        (_watermarks ??= [])[source] = position;
    }

    /// <summary>Makes everything take effect, in one commit. If it throws, nothing has: the deliveries can be settled again, except where the outcome is unknown.</summary>
    /// <param name="ct">Withdraws the transaction while it waits for places; later it is ignored.</param>
    /// <exception cref="LeaseLostException">A lease was lost, frozen for longer than <see cref="QueueOptions.MaxLeaseDuration"/>.</exception>
    /// <exception cref="QueueFullException">A queue has no room for messages beyond those that need none.</exception>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    /// <exception cref="QueueNotFoundException">A queue that was to get messages has been deleted.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled in time.</exception>
    /// <exception cref="InvalidOperationException">The transaction is finished, or in use by another thread.</exception>
    public ValueTask CommitAsync(CancellationToken ct = default)
    {
        Use use = Begin();
        _isFinished = true;
        return _context.Telemetry is { HearsOperations: true } ? CommitObservedAsync(use, ct) : CommitCoreAsync(use, ct);
    }

    private async ValueTask CommitObservedAsync(Use use, CancellationToken ct)
    {
        var observed = new ObservedTransaction();
        foreach ((MessageQueue queue, List<Message> messages) in _sends ?? [])
            observed.Send(queue.Conductor.Observed!, CollectionsMarshal.AsSpan(messages));
        for (int i = 0; i < _settleCount; i++)
            observed.Settle(_settles[i], _settlements?[i].Kind ?? SettlementKind.Ack);
        try
        {
            await CommitCoreAsync(use, ct).ConfigureAwait(false);
        }
        catch (Exception error)
        {
            observed.End(TelemetryNames.ErrorOf(error));
            throw;
        }
        observed.End(null);
    }

    private ValueTask CommitCoreAsync(Use use, CancellationToken ct)
    {
        if (!ct.IsCancellationRequested && IsPlainBatchOfAcks && _settles[0].Queue.TryAckAll(_settles.AsSpan(0, _settleCount)))
        {
            ReturnSettles();
            use.Dispose();
            return default;
        }
        return CommitTransferAsync(use, ct);
    }

    // Acks of one transient queue: no commit, and no lock either.
    private bool IsPlainBatchOfAcks
    {
        get
        {
            if (_sends is not null || _settlements is not null || _watermarks is not null || _settleCount == 0 || _settles[0].Queue.IsDurable)
                return false;
            for (int i = 1; i < _settleCount; i++)
            {
                if (!ReferenceEquals(_settles[i].Queue, _settles[0].Queue))
                    return false;
            }
            return true;
        }
    }

    private async ValueTask CommitTransferAsync(Use use, CancellationToken ct)
    {
        using Use _ = use;
        List<Reservation> reservations;
        try
        {
            ct.ThrowIfCancellationRequested();
            ValueTask<List<Reservation>> reserving = ReserveAsync(ct);
            reservations = reserving.IsCompletedSuccessfully ? reserving.Result : await reserving.AsTask().CountedOn(_context.Scheduler);
        }
        catch
        {
            ReleaseLeases();
            throw;
        }
        ClaimLeases(reservations);
        var transfer = new Transfer(_context);
        foreach (Reservation reservation in reservations)
            reservation.MoveTo(transfer);
        for (int i = 0; i < _settleCount; i++)
            transfer.Leave(_settles[i], _settlements?[i] ?? Settlement.Ack);
        ReturnSettles();
        foreach ((Guid source, long position) in _watermarks ?? [])
            transfer.Mark(source, position);
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
        ReleaseLeases();
        return default;
    }

    // Takes all places or none. While one queue's places are waited for, no others are held.
    private async ValueTask<List<Reservation>> ReserveAsync(CancellationToken ct)
    {
        Reservation? waitedFor = null;
        while (true)
        {
            var taken = new List<Reservation>();
            int entitled = _settleCount;
            Reservation? missing = null;
            try
            {
                foreach ((MessageQueue queue, List<Message> messages) in _sends ?? [])
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
            missing.Waited(await missing.WaitAsync(ct).ConfigureAwait(false));
            waitedFor = missing;
        }
    }

    private void ClaimLeases(List<Reservation> reservations)
    {
        for (int i = 0; i < _settleCount; i++)
        {
            InFlightDelivery delivery = _settles[i];
            if (delivery.TryMove(LeaseState.Frozen, LeaseState.Committing))
                continue;
            for (int other = 0; other < _settleCount; other++)
                _settles[other].TryMove(other < i ? LeaseState.Committing : LeaseState.Frozen, LeaseState.Held);
            reservations.ForEach(static reservation => reservation.GiveBack());
            throw new LeaseLostException(
                $"The lease of message {delivery.Sequence} of queue '{delivery.QueueName}' was lost before the commit; nothing was committed. Commit sooner, or raise the queue's MaxLeaseDuration.");
        }
    }

    private void ReleaseLeases()
    {
        Thaw(0);
        ReturnSettles();
    }

    private SettleResult Freeze(Delivery delivery, Settlement settlement)
    {
        if (delivery is not InFlightDelivery own || !ReferenceEquals(own.Queue.Broker, _context))
            throw new ArgumentException($"The delivery from queue '{delivery?.QueueName}' belongs to another broker. A transaction covers the queues of the broker that began it.", nameof(delivery));
        if (!own.TryMove(LeaseState.Held, LeaseState.Frozen))
            return own.Stale;
        Add(own, settlement);
        return SettleResult.Settled;
    }

    // Gives the leases from there on back, as they were.
    private void Thaw(int from)
    {
        for (int i = from; i < _settleCount; i++)
            _settles[i].TryMove(LeaseState.Frozen, LeaseState.Held);
        Array.Clear(_settles, from, _settleCount - from);
        _settlements?.RemoveRange(from, _settleCount - from);
        _settleCount = from;
    }

    private void Add(InFlightDelivery delivery, Settlement settlement)
    {
        if (_settleCount == _settles.Length)
        {
            InFlightDelivery[] larger = ArrayPool<InFlightDelivery>.Shared.Rent(Math.Max(16, _settleCount * 2));
            _settles.AsSpan(0, _settleCount).CopyTo(larger);
            ReturnArray();
            _settles = larger;
        }
        // Only acks so far: what they are need not be written down.
        if (_settlements is null && settlement.Kind != SettlementKind.Ack)
            _settlements = [.. Enumerable.Repeat(Settlement.Ack, _settleCount)];
        _settlements?.Add(settlement);
        _settles[_settleCount++] = delivery;
    }

    private void ReturnSettles()
    {
        ReturnArray();
        _settles = [];
        _settleCount = 0;
    }

    private void ReturnArray()
    {
        if (_settles.Length > 0)
            ArrayPool<InFlightDelivery>.Shared.Return(_settles, clearArray: true);
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
        private ReserveStep? _waiting;
        private Victims? _victims;
        private bool _isDropped;

        public QueueConductor Queue => queue;

        private long Bytes => messages.Sum(static message => message.Size);

        // False: they have to be waited for.
        public bool TryTake(bool isEntitled)
        {
            queue.EnsureUsable();
            if (isEntitled)
            {
                queue.Step(new ReplaceStep(messages.Count, Bytes));
                return true;
            }
            queue.RefuseOversized(Bytes, messages.Count);
            var step = new ReserveStep(messages.Count, Bytes, isEntitled: false);
            queue.Step(step);
            _victims = step.Victims;
            _isDropped = step.Verdict == GateVerdict.Drop;
            return step.Verdict switch
            {
                GateVerdict.Wait => false,
                GateVerdict.Refuse => throw QueueErrors.Full(queue.Name, queue.Options, waited: false),
                _ => true,
            };
        }

        // The policy may have changed since the verdict to wait, or decide once a pause ends.
        public ValueTask<SendReceipt> WaitAsync(CancellationToken ct) =>
            queue.ReserveAsync(_waiting = new ReserveStep(messages.Count, Bytes, isEntitled: false), ct);

        public void Waited(SendReceipt receipt)
        {
            _isDropped = receipt.Outcome == SendOutcome.Dropped;
            _victims = _waiting!.Victims;
        }

        public void GiveBack()
        {
            if (!_isDropped)
                queue.Step(new GiveBackStep(messages.Count, Bytes, _victims));
        }

        public void MoveTo(Transfer transfer)
        {
            if (_isDropped)
                return;
            if (_victims is not null)
                transfer.Evict(queue, _victims);
            foreach (Message message in messages)
                transfer.Arrive(queue, message);
        }
    }
}
