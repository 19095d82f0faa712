using System.Buffers;
using System.Threading.Tasks.Sources;
using QueueKit.Collections;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>A send that waits: for room in the gate's line, for its commit in the pipeline, or for both in turn. One message or an atomic batch.</summary>
internal sealed class PendingSend : CommitWork, IValueTaskSource<SendReceipt>, IDeadlineTarget
{
    private static readonly SharedSpares<PendingSend> s_spares = new();

    [ThreadStatic]
    private static PendingSend? t_spare;

    private Completion<SendReceipt> _core;
    private CancellationTokenRegistration _registration;
    private QueueConductor? _queue;
    private Message? _single;
    // From the pool, with room for more than the batch.
    private Message[]? _batch;
    private int _batchCount;
    private EncodedMessage _encodedSingle;
    private EncodedMessage[]? _encodedBatch;
    private SendReceipt _receipt;
    private Exception? _error;
    private long _armedAt = long.MaxValue;
    // Set while the timer knows it.
    private DeadlineTimer? _timer;
    private long _enqueuedAt;
    private long _firstSequence;
    private long[]? _scheduledTicks;
    private Victims? _victims;
    private ReserveStep? _reservation;

    public PendingSend? PreviousWaiting { get; set; }

    public PendingSend? NextWaiting { get; set; }

    /// <summary>Whether it stands in the gate's line. Guarded by the queue's lock.</summary>
    public bool IsWaiting { get; private set; }

    /// <summary>When it gives up waiting for room.</summary>
    public long Deadline { get; private set; } = long.MaxValue;

    public CancellationToken Cancellation { get; private set; }

    public int MessageCount => _reservation is { } reserve ? reserve.Messages : _batch is null ? 1 : _batchCount;

    public bool IsReservation => _reservation is not null;

    /// <summary>Whether it took its places without the lock, and is booked when it is stored.</summary>
    public bool IsPrepaid { get; private set; }

    /// <summary>Whether it wrote nothing, because its queue was gone from the store before it.</summary>
    public bool IsTooLate { get; private set; }

    public long Bytes { get; private set; }

    /// <summary>Ready messages that leave in the same commit to make room; null for none.</summary>
    public Victims? Victims => _victims;

    public QueueConductor Queue => _queue!;

    public override ICommitTarget Target => _queue!.Commits;

    public ValueTask<SendReceipt> AsValueTask => new(this, _core.Version);

    long IDeadlineTarget.ArmedAt { get => Volatile.Read(ref _armedAt); set => Volatile.Write(ref _armedAt, value); }

    public static PendingSend Rent(QueueConductor queue, Message message)
    {
        PendingSend send = Spare();
        send._queue = queue;
        send._single = message;
        send.Bytes = message.Size;
        send.Encode();
        return send;
    }

    public static PendingSend Rent(QueueConductor queue, ReadOnlySpan<Message> batch, long bytes)
    {
        PendingSend send = Spare();
        send._queue = queue;
        send._batch = ArrayPool<Message>.Shared.Rent(batch.Length);
        send._batchCount = batch.Length;
        batch.CopyTo(send._batch);
        send.Bytes = bytes;
        send.Encode();
        return send;
    }

    /// <summary>A send of places only: what is admitted is kept free for a transaction, which brings the messages itself.</summary>
    public static PendingSend RentReservation(QueueConductor queue, ReserveStep reserve)
    {
        PendingSend send = Spare();
        send._queue = queue;
        send._reservation = reserve;
        send.Bytes = reserve.Bytes;
        return send;
    }

    // On the sender's own thread: one bad message never hurts its neighbours in a batch.
    private void Encode()
    {
        if (!_queue!.IsDurable)
            return;
        Level = _queue.FlushLevel;
        if (_batch is null)
        {
            _encodedSingle = MessageRecord.Encode(_single!);
            return;
        }
        _encodedBatch = new EncodedMessage[_batchCount];
        for (int i = 0; i < _batchCount; i++)
            _encodedBatch[i] = MessageRecord.Encode(_batch[i]);
    }

    /// <summary>Starts to wait for room; under the lock. Whoever does this puts it in line.</summary>
    public void BeginWait(long deadline, CancellationToken ct)
    {
        IsWaiting = true;
        Deadline = deadline;
        Cancellation = ct;
    }

    /// <summary>Listens to the token and the clock. Off the lock, because a token may call back at once.</summary>
    public void Watch(DeadlineTimer timer)
    {
        if (Cancellation.CanBeCanceled)
            _registration = Cancellation.UnsafeRegister(static self => ((PendingSend)self!)._queue!.Waits.CancelSend((PendingSend)self), this);
        if (Deadline == long.MaxValue)
            return;
        _timer = timer;
        timer.Arm(this, Deadline);
    }

    /// <summary>Admitted; under the lock. What is stamped now is what the store will hold.</summary>
    public void Admit(in Moment moment, Victims? victims)
    {
        IsWaiting = false;
        if (_reservation is { } reserve)
        {
            reserve.Victims = victims;
            return;
        }
        _enqueuedAt = moment.Now;
        _victims = victims;
        for (int i = 0; i < MessageCount; i++)
        {
            if (MessageAt(i).IsScheduled)
                (_scheduledTicks ??= new long[MessageCount])[i] = StoredMessage.DueTicksOf(MessageAt(i), moment);
        }
        if (!_queue!.IsDurable)
            return;
        DateTimeOffset enqueuedAt = moment.Utc;
        if (_encodedBatch is null)
            MessageRecord.Stamp(ref _encodedSingle, enqueuedAt);
        foreach (ref EncodedMessage encoded in _encodedBatch.AsSpan())
            MessageRecord.Stamp(ref encoded, enqueuedAt);
    }

    /// <summary>Admitted without the lock, on prepaid places.</summary>
    public void AdmitPrepaid(in Moment moment)
    {
        IsPrepaid = true;
        Admit(moment, null);
    }

    public Message MessageAt(int index) => _batch is null ? _single! : _batch[index];

    /// <summary>Whether it is one message that is not delayed.</summary>
    public bool IsPlain => _batch is null && _scheduledTicks is null;

    /// <summary>The message of a plain send as it stands in the queue.</summary>
    public QueuedMessage Queued => new(_single!, _firstSequence, _enqueuedAt);

    /// <summary>The message as it stands in the queue once its number is known.</summary>
    public QueuedMessage QueuedAt(int index)
    {
        long due = _scheduledTicks?[index] ?? 0;
        return new QueuedMessage(MessageAt(index), _firstSequence + index, _enqueuedAt, due == 0 ? null : new MessageHistory { ScheduledTicks = due });
    }

    /// <summary>Numbers the messages on a transient queue, where no commit does it.</summary>
    public void Number(long firstSequence) => _firstSequence = firstSequence;

    /// <summary>Ends the send; under the lock or on the commit thread. The caller schedules it.</summary>
    public void Complete(SendReceipt receipt)
    {
        IsWaiting = false;
        _receipt = receipt;
    }

    /// <inheritdoc cref="Complete"/>
    public void Fail(Exception error)
    {
        IsWaiting = false;
        _error = error;
    }

    /// <summary>Ends the send with the number it got.</summary>
    public void Accept(Durability durability) => Complete(new SendReceipt(SendOutcome.Accepted, _firstSequence, durability));

    public override void WriteTo(StoreBatch batch, ref long sequence)
    {
        IsTooLate = !_queue!.Commits.TryBeginWrite(batch);
        if (IsTooLate)
            return;
        _firstSequence = sequence + 1;
        uint queue = _queue.Id;
        if (IsPlain)
        {
            sequence++;
            StoredMessage.Write(batch, StoredMessage.KeyOf(queue, _single!.Priority, 0, _firstSequence), _encodedSingle, Bytes);
        }
        else
        {
            WriteEach(batch, queue);
            sequence += MessageCount;
        }
        if (_victims is not null)
        {
            foreach (QueuedMessage victim in _victims.Messages)
                StoredMessage.WriteRemoval(batch, queue, victim);
        }
    }

    private void WriteEach(StoreBatch batch, uint queue)
    {
        for (int i = 0; i < MessageCount; i++)
        {
            long due = _scheduledTicks?[i] ?? 0;
            StoredMessage.Write(batch, StoredMessage.KeyOf(queue, MessageAt(i).Priority, due, _firstSequence + i), _encodedBatch is null ? _encodedSingle : _encodedBatch[i], MessageAt(i).Size);
        }
    }

    public override void Refused(StoreException reason) => _queue!.Commits.NotCommitted(this, reason);

    public override void Failed(StoreException reason) => _queue!.Commits.NotCommitted(this, reason);

    void IDeadlineTarget.OnDeadline(long now) => _queue?.Waits.GiveUpSend(this, now);

    SendReceipt IValueTaskSource<SendReceipt>.GetResult(short token)
    {
        if (_core.GetStatus(token) == ValueTaskSourceStatus.Pending)
            throw new InvalidOperationException("The send is not complete. A ValueTask is awaited once, and not asked for its result before.");
        // Waits for a callback that is under way: afterwards nobody else knows this object.
        _registration.Dispose();
        try
        {
            return _core.GetResult(token);
        }
        finally
        {
            Recycle();
        }
    }

    ValueTaskSourceStatus IValueTaskSource<SendReceipt>.GetStatus(short token) => _core.GetStatus(token);

    void IValueTaskSource<SendReceipt>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags, this);

    /// <summary>For a send that was never shown to anybody.</summary>
    public void Recycle()
    {
        _core.Reset();
        _registration = default;
        _queue = null;
        _single = null;
        if (_batch is not null)
            ArrayPool<Message>.Shared.Return(_batch, clearArray: true);
        _batch = null;
        _encodedSingle = default;
        _encodedBatch = null;
        _receipt = default;
        _error = null;
        _scheduledTicks = null;
        _victims = null;
        _reservation = null;
        IsPrepaid = false;
        IsTooLate = false;
        _firstSequence = 0;
        Deadline = long.MaxValue;
        Cancellation = default;
        // One that the timer calls, or is about to, is left to the collector.
        if (_timer is null || _timer.Disarm(this))
        {
            _timer = null;
            Spare(this);
        }
    }

    protected override void Run()
    {
        if (_error is not null)
            _core.SetException(_error);
        else
            _core.SetResult(_receipt);
    }

    private static PendingSend Spare()
    {
        if (t_spare is not { } spare)
            return s_spares.TryTake(out PendingSend? shared) ? shared : new PendingSend();
        t_spare = null;
        return spare;
    }

    private static void Spare(PendingSend used)
    {
        if (t_spare is null)
            t_spare = used;
        else
            s_spares.Give(used);
    }
}
