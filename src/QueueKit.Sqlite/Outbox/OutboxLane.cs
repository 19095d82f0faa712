using System.Security.Cryptography;
using System.Text;
using QueueKit.Sqlite.Engine;

namespace QueueKit.Sqlite.Outbox;

/// <summary>The rows of one queue: moved in their order, a batch a commit, independent of all other queues.</summary>
/// <remarks>
/// The watermark of a lane is kept by the queue's name: a queue that is deleted and declared again gets no row twice.
/// <c>_next</c> is the lane's own while it moves; what is appended meanwhile, the pump adds to <see cref="Last"/>.
/// </remarks>
internal sealed class OutboxLane
{
    private const int MaxBatchRows = 256;
    private const long MaxBatchBytes = 4 * 1024 * 1024;
    private static readonly TimeSpan s_firstPause = TimeSpan.FromMilliseconds(10), s_longestPause = TimeSpan.FromSeconds(2);

    private readonly OutboxPump _pump;
    private readonly string? _queue;
    private readonly Guid _mark;
    private TimeSpan _pause = s_firstPause;
    // After a batch that was too large as a whole, or refused as a whole: row by row until one goes.
    private bool _oneByOne;
    private long _next;
    private long _last;

    /// <param name="pump">Who starts it.</param>
    /// <param name="queue">The queue's name; null for rows that have none.</param>
    /// <param name="moved">The last row that is known to be moved, by its number.</param>
    public OutboxLane(OutboxPump pump, string? queue, long moved)
    {
        _pump = pump;
        _queue = queue;
        _mark = MarkOf(pump.File.Id, queue);
        _next = moved + 1;
    }

    public string? Queue => _queue;

    /// <summary>The last row there is.</summary>
    public long Last { get => Volatile.Read(ref _last); set => Volatile.Write(ref _last, value); }

    public bool HasRows => Volatile.Read(ref _next) <= Last;

    /// <summary>Why the rows wait; null where they do not.</summary>
    public string? HeldBecause { get; private set; }

    /// <summary>Whether only a declaration can help.</summary>
    public bool NeedsQueue { get; private set; }

    /// <summary>Whether there is a queue now that can take the rows.</summary>
    public bool HasQueue => _pump.Broker.TryGetQueue(_queue!, out MessageQueue? queue) && queue.Options.Durability != Durability.Transient;

    /// <summary>When to try again, as a timestamp of the pump's clock; 0 for at once.</summary>
    public long RetryAt { get; set; }

    /// <summary>The work under way. Guarded by the pump.</summary>
    public Task Moving { get; set; } = Task.CompletedTask;

    /// <summary>Whose watermark a queue's rows have: the first half of a hash over the outbox's identity and the queue's name.</summary>
    public static Guid MarkOf(Guid file, string? queue)
    {
        byte[] name = Encoding.UTF8.GetBytes(queue ?? "");
        byte[] text = new byte[16 + name.Length];
        file.TryWriteBytes(text);
        name.CopyTo(text, 16);
        return new Guid(SHA256.HashData(text).AsSpan(0, 16));
    }

    /// <summary>Moves what there is, until nothing is left or it has to wait for something; why, it then says.</summary>
    /// <param name="mayWait">Whether to wait for room in the queue; otherwise what has no room now stays.</param>
    /// <param name="ct">Stops it, for good.</param>
    public async Task MoveAsync(bool mayWait, CancellationToken ct)
    {
        try
        {
            while (!ct.IsCancellationRequested && HasRows && await TryMoveBatchAsync(mayWait, ct).ConfigureAwait(false))
                Proceed();
        }
        catch (OperationCanceledException)
        {
            // The outbox closes: the rows are found at the next opening.
        }
        catch (ObjectDisposedException)
        {
            // The broker closes, and with it the outbox: likewise.
        }
        catch (StoreException error) when (error.Fault != StoreFault.Refused)
        {
            _pump.StopForGood(error);
        }
        catch (StoreException error)
        {
            _oneByOne = true;
            Wait(error.Message);
        }
        catch (SqliteError error)
        {
            Wait($"the outbox cannot be read: {error.Message}");
        }
#pragma warning disable CA1031 // Not swallowed: it is logged and in the snapshot, and tried again.
        catch (Exception error)
#pragma warning restore CA1031
        {
            Wait(error.ToString());
        }
    }

    // False: something has to happen before it goes on.
    private async Task<bool> TryMoveBatchAsync(bool mayWait, CancellationToken ct)
    {
        // More may come while it looks, which a look that finds nothing must not pass over.
        long last = Last;
        if (_queue is null)
            return SetAside(_pump.File.Read(null, _next, last, 1, 1), last);
        if (!_pump.Broker.TryGetQueue(_queue, out MessageQueue? queue))
            return Hold("there is no queue of that name. Declare it.", needsQueue: true);
        if (queue.Options.Durability == Durability.Transient)
            return Hold("the queue is transient: what has left the outbox for it would be lost with the process. Delete it and declare it durable.", needsQueue: true);
        Room room = Room.Of(queue);
        if (room.IsFull && room.Refuses)
            return Wait("the queue is full, and its policy is to reject.");
        List<OutboxRow> rows = _pump.File.Read(_queue, _next, last, _oneByOne ? 1 : (int)Math.Clamp(room.Messages, 1, MaxBatchRows), Math.Clamp(room.Bytes, 1, MaxBatchBytes));
        if (rows.Count == 0 || rows[0].Message is null)
            return SetAside(rows, last);
        if (!mayWait && !room.Drops && !room.IsFor(rows[0].Message!))
            return false;
        // Whoever asks hears what it waits for; nobody is called for a queue that is full.
        HeldBecause ??= room.IsFor(rows[0].Message!) || room.Drops ? null : "the queue is full.";
        int readable = rows.FindIndex(static row => row.Message is null);
        if (readable > 0)
            rows.RemoveRange(readable, rows.Count - readable);
        try
        {
            await CommitAsync(queue, rows, ct).ConfigureAwait(false);
        }
        catch (MessageTooLargeException) when (rows.Count > 1)
        {
            return _oneByOne = true;
        }
        catch (MessageTooLargeException error)
        {
            return SetAside([rows[0] with { Message = null, Unreadable = error.Message }], last);
        }
        catch (QueueNotFoundException)
        {
            // The next look at it says so.
            return true;
        }
        catch (QueueFullException error)
        {
            // It has waited as long as the queue allows, or cannot wait there.
            _oneByOne = true;
            return Wait(error.Message);
        }
        _oneByOne = false;
        Volatile.Write(ref _next, rows[^1].Id + 1);
        _pump.Moved(rows);
        return true;
    }

    private async Task CommitAsync(MessageQueue queue, List<OutboxRow> rows, CancellationToken ct)
    {
        long seen;
        BrokerTransaction transaction = _pump.Broker.BeginTransaction();
        await using (transaction.ConfigureAwait(false))
        {
            foreach (OutboxRow row in rows)
                transaction.Send(queue, row.Message!);
            transaction.MoveWatermark(_mark, rows[^1].Id);
            // Whatever queue they were for: nothing in the file goes back behind that.
            seen = _pump.LastSeen;
            transaction.MoveWatermark(_pump.File.Id, seen);
            await transaction.CommitAsync(ct).ConfigureAwait(false);
        }
        // It may have waited for room while another lane went on, and have set that back.
        while (!_pump.NoteFileMark(seen))
        {
            transaction = _pump.Broker.BeginTransaction();
            await using (transaction.ConfigureAwait(false))
            {
                seen = _pump.LastSeen;
                transaction.MoveWatermark(_pump.File.Id, seen);
                await transaction.CommitAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }
    }

    // Before the watermark can pass it: it must not count as moved.
    private bool SetAside(List<OutboxRow> rows, long last)
    {
        if (rows is not [var row, ..])
        {
            // Somebody has deleted what was there.
            Volatile.Write(ref _next, last + 1);
            return true;
        }
        if (!_pump.File.TrySetAside(row.Id, row.Unreadable!))
            return Wait($"row {row.Id} cannot be a message ({row.Unreadable}), and has to be set aside as soon as no transaction writes.");
        Volatile.Write(ref _next, row.Id + 1);
        _pump.SetAside(_queue, row);
        return true;
    }

    private void Proceed()
    {
        HeldBecause = null;
        NeedsQueue = false;
        RetryAt = 0;
        _pause = s_firstPause;
    }

    private bool Wait(string reason)
    {
        RetryAt = _pump.TimestampAfter(_pause);
        _pause = _pause * 2 < s_longestPause ? _pause * 2 : s_longestPause;
        return Hold(reason, needsQueue: false);
    }

    private bool Hold(string reason, bool needsQueue)
    {
        // Once, however often it is tried.
        if (HeldBecause != reason)
            _pump.Log.Held(_pump.File.Path, _queue, reason);
        HeldBecause = reason;
        NeedsQueue = needsQueue;
        return false;
    }

    /// <summary>What a queue has room for right now.</summary>
    private readonly record struct Room(long Messages, long Bytes, OverflowPolicy Policy)
    {
        public static Room Of(MessageQueue queue)
        {
            QueueOptions options = queue.Options;
            QueueSnapshot now = queue.GetSnapshot();
            bool isBuffered = options.Overflow == OverflowPolicy.Buffer;
            return new Room(
                Free(isBuffered ? options.MaxBufferedMessages : options.MaxMessages, now.Messages),
                Free(isBuffered ? options.MaxBufferedBytes : options.MaxBytes, now.Bytes),
                isBuffered ? options.BufferOverflow : options.Overflow);
        }

        public bool IsFull => Messages <= 0 || Bytes <= 0;

        public bool Refuses => Policy == OverflowPolicy.Reject;

        public bool Drops => Policy is OverflowPolicy.DropNewest or OverflowPolicy.DropOldest;

        public bool IsFor(Message message) => Messages >= 1 && Bytes >= message.Size;

        private static long Free(long? most, long taken) => most is { } limit ? limit - taken : long.MaxValue;
    }
}
