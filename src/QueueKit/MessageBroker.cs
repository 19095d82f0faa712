using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using QueueKit.Diagnostics;
using QueueKit.Queues;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit;

/// <summary>A message broker inside this process: it owns queues and, if it is given one, the store behind them. Safe for any thread.</summary>
public sealed class MessageBroker : IAsyncDisposable, IMeasuredBroker
{
    /// <summary>The name of the meter and of the activity source, by which telemetry is collected.</summary>
    public const string TelemetryName = "QueueKit";

    // Guards which queues exist and how they point to each other; taken before a queue's own lock, never under it.
    private readonly Lock _lock = new();
    private readonly Dictionary<string, MessageQueue> _queues = new(StringComparer.Ordinal);
    private readonly Dictionary<string, QueueDeletion> _deletions = new(StringComparer.Ordinal);
    // Declarations that the store has not answered yet.
    private readonly Dictionary<string, Task> _declarations = new(StringComparer.Ordinal);
    // Every name that a queue's options have, or once had, as DeadLetterQueue: for other names not all queues have to be looked through.
    private readonly HashSet<string> _deadLetterTargets = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<HandlerConsumer, bool> _consumers = new();
    private readonly TaskCompletionSource _completion = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly BrokerContext _context;
    private readonly QueueCatalog _catalog;
    private volatile IMessageSource[] _sources = [];
    private readonly BrokerBackups _backups = new();
    private Task? _closing;

    private MessageBroker(BrokerContext context)
    {
        _context = context;
        _catalog = new QueueCatalog(context);
        context.DeadLetterQueueOf = source => DeadLetterQueueOf(source).Conductor;
    }

    /// <summary>All queues: those declared, those found in the store and not yet declared again, and those created for dead letters.</summary>
    public IReadOnlyCollection<MessageQueue> Queues
    {
        get
        {
            lock (_lock)
                return [.. _queues.Values];
        }
    }

    /// <summary>The sources that are open: those of <see cref="MessageBrokerOptions.Sources"/>, in their order.</summary>
    [Experimental("QUEUEKIT001")]
    public IReadOnlyList<IMessageSource> Sources => _sources;

    /// <summary>Completes when the broker is closed; faults with a <see cref="StoreException"/> when its store stops: transient queues go on, durable ones do not.</summary>
    public Task Completion => _completion.Task;

    /// <summary>For how long the store has been writing, and where asked flushing, the commit that is under way; null if none is. Commits take milliseconds: one that takes seconds hangs, and everything durable waits for it.</summary>
    public TimeSpan? RunningCommitAge => _context.Pipeline?.RunningCommitAge;

    /// <summary>What was set aside when this broker was opened on a damaged store; null if it was sound, or nothing was asked to be.</summary>
    public QuarantineReport? Quarantine { get; private set; }

    internal CommitPipeline? Pipeline => _context.Pipeline;

    internal WorkScheduler Scheduler => _context.Scheduler;

    /// <summary>Opens a broker. With a store, everything the store holds is there again when this returns.</summary>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    /// <exception cref="StoreException">The store cannot be opened; the message names the cause and the remedy.</exception>
    public static async ValueTask<MessageBroker> OpenAsync(MessageBrokerOptions? options = null, CancellationToken ct = default)
    {
        options = options is null ? new MessageBrokerOptions() : options.Copy();
        options.Validate();
        var broker = new MessageBroker(new BrokerContext(options));
        try
        {
            if (options.Store is { } provider)
                await broker.OpenStoreAsync(provider, ct).ConfigureAwait(false);
        }
        catch (StoreException error) when (error.IsRepairable && options is { DamagedStore: DamagePolicy.Quarantine, Store: IRepairableStore })
        {
            broker = await OpenRepairedAsync(options, error, ct).ConfigureAwait(false);
        }
        broker._context.Telemetry?.Instruments.Add(broker);
        if (options.Sources.Count > 0)
            await broker.OpenSourcesAsync(options.Sources, ct).ConfigureAwait(false);
        return broker;
    }

    // Once: what a repair has not mended is refused.
    private static async Task<MessageBroker> OpenRepairedAsync(MessageBrokerOptions options, StoreException damage, CancellationToken ct)
    {
        var broker = new MessageBroker(new BrokerContext(options));
        broker._context.Log.Repairing(options.Store!.Description, damage.Message);
        StoreRepairReport report = await ((IRepairableStore)options.Store).RepairAsync(ct).ConfigureAwait(false);
        broker.Quarantine = new QuarantineReport(damage, report.Findings, report.SetAside);
        foreach (string finding in report.Findings)
            broker._context.Log.Found(options.Store.Description, finding);
        broker._context.Log.SetAside(options.Store.Description, string.Join(", ", report.SetAside));
        await broker.OpenStoreAsync(options.Store, ct).ConfigureAwait(false);
        return broker;
    }

    /// <summary>Creates a queue, or changes the options of the one that exists. Returns when that is as durable as the queue.</summary>
    /// <param name="name">1 to 255 UTF-8 bytes, no control characters. Names that end in <see cref="QueueOptions.DeadLetterSuffix"/> are reserved for dead letters.</param>
    /// <param name="options">Copied. Null: the defaults for a new queue, no change for one that exists.</param>
    /// <param name="ct">Gives up before anything has happened.</param>
    /// <exception cref="ArgumentException">The name or an option is not allowed; the message says which and why.</exception>
    /// <exception cref="QueueDeclarationException">The queue exists with another durability, the options need a store that the broker does not have, or dead letters would go round in a circle.</exception>
    /// <exception cref="StoreException">The store refused or failed.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public async ValueTask<MessageQueue> DeclareQueueAsync(string name, QueueOptions? options = null, CancellationToken ct = default)
    {
        QueueName.Validate(name, "The queue's name");
        options = options is null ? null : options with { };
        options?.Validate(name);
        ct.ThrowIfCancellationRequested();
        MessageQueue? queue = null;
        Task? committed = null;
        QueueOptions? previous = null, declared = null;
        bool isOwn = false;
        while (queue is null)
        {
            QueueDeletion? deletion;
            lock (_lock)
            {
                ThrowIfClosed();
                if (!_deletions.TryGetValue(name, out deletion))
                {
                    previous = _queues.TryGetValue(name, out MessageQueue? known) ? known.Conductor.Options : null;
                    queue = Declare(name, options, out committed);
                    declared = queue.Conductor.Options;
                    isOwn = committed is not null;
                    if (isOwn)
                        _declarations[name] = committed!;
                    else
                        _declarations.TryGetValue(name, out committed);
                    break;
                }
            }
            await deletion.Ended.Task.CountedOn(_context.Scheduler);
        }
        if (committed is null)
            return Declared(queue);
        try
        {
            await committed.CountedOn(_context.Scheduler);
        }
        catch (StoreException error)
        {
            // The store did not take the declaration: all is as before, unless somebody has declared something else since.
            if (isOwn && previous is null)
                Forget(queue, error);
            else if (isOwn && queue.Conductor.Options == declared)
                queue.Conductor.Upkeep.Apply(previous!);
            throw;
        }
        finally
        {
            lock (_lock)
            {
                if (_declarations.TryGetValue(name, out Task? last) && ReferenceEquals(last, committed))
                    _declarations.Remove(name);
            }
        }
        return Declared(queue);
    }

    /// <summary>Gets a queue.</summary>
    /// <exception cref="QueueNotFoundException">There is none of that name.</exception>
    public MessageQueue GetQueue(string name) => TryGetQueue(name, out MessageQueue? queue)
        ? queue
        : throw new QueueNotFoundException(name, $"There is no queue '{name}'. Declare it first with DeclareQueueAsync(\"{name}\").");

    /// <summary>Gets a queue if there is one of that name.</summary>
    public bool TryGetQueue(string name, [NotNullWhen(true)] out MessageQueue? queue)
    {
        ArgumentNullException.ThrowIfNull(name);
        lock (_lock)
        {
            ThrowIfClosed();
            return _queues.TryGetValue(name, out queue);
        }
    }

    /// <summary>Deletes a queue and everything in it; false if there is none of that name. Whoever waits on it gets a <see cref="QueueNotFoundException"/>.</summary>
    /// <exception cref="StoreException">The store refused, and the queue is there again, or failed.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public async ValueTask<bool> DeleteQueueAsync(string name, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(name);
        ct.ThrowIfCancellationRequested();
        MessageQueue? queue;
        QueueDeletion deletion;
        lock (_lock)
        {
            ThrowIfClosed();
            if (!_queues.Remove(name, out queue))
                return false;
            _deletions.Add(name, deletion = new QueueDeletion(queue));
        }
        queue.Conductor.Upkeep.BeginDeletion(new QueueNotFoundException(name, $"Queue '{name}' has been deleted."));
        queue.Conductor.Upkeep.LoseLeases();
        _context.Log.QueueDeleted(name);
        try
        {
            if (queue.Conductor.IsDurable)
                await _catalog.DeleteAsync(queue.Conductor, () => deletion.IsDone = true).CountedOn(_context.Scheduler);
            return true;
        }
        catch (StoreException error) when (error.Fault == StoreFault.Refused)
        {
            lock (_lock)
                _queues[name] = queue;
            throw;
        }
        finally
        {
            lock (_lock)
                _deletions.Remove(name);
            deletion.Ended.SetResult();
        }
    }

    /// <summary>Copies the store into a folder while messages come and go: everything that was confirmed before the call, perhaps something that came later, nothing in part. Restoring is opening a broker on the store in that folder.</summary>
    /// <remarks>
    /// It is on the disk when this returns, and the folder is there only when it is complete. It has no witness, so whoever opens it is told of every message that
    /// it was maybe delivered before. One backup at a time: another waits for its turn. Closing the broker gives it up.
    /// </remarks>
    /// <param name="folder">Empty or not there yet; the folder that it is to lie in is. The store has the same name in it as it has now; of RocksDB, the folder is the store.</param>
    /// <param name="ct">Gives it up as soon as the store can; nothing is left of it then.</param>
    /// <exception cref="StoreException"><see cref="StoreFault.Refused"/>: the broker has no store or one that cannot copy itself, the folder is in use, the disk is full, or the broker was closed meanwhile;
    /// nothing is left of it and the broker goes on. <see cref="StoreFault.Unreadable"/>: the store is damaged. <see cref="StoreFault.Stopped"/>: it had stopped before.</exception>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public async ValueTask BackupAsync(string folder, CancellationToken ct = default)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(folder);
        ct.ThrowIfCancellationRequested();
        lock (_lock)
            ThrowIfClosed();
        await _backups.RunAsync(_context.Pipeline?.Store, folder, ct).AsTask().CountedOn(_context.Scheduler);
        _context.Log.BackedUp(folder);
    }

    /// <summary>Begins a transaction over queues of this broker.</summary>
    /// <exception cref="ObjectDisposedException">The broker is closed.</exception>
    public BrokerTransaction BeginTransaction()
    {
        lock (_lock)
            ThrowIfClosed();
        return new BrokerTransaction(this, _context);
    }

    /// <summary>How far a source has been moved into the queues, by the last commit with <see cref="BrokerTransaction.MoveWatermark"/>; null if it never was. Reads the store: for the opening of a source.</summary>
    /// <exception cref="InvalidOperationException">The broker has no store.</exception>
    /// <exception cref="StoreException">The store cannot read it.</exception>
    [Experimental("QUEUEKIT001")]
    public long? FindWatermark(Guid source)
    {
        if (_context.Store is not { } store)
            throw new InvalidOperationException("The broker has no store in which a watermark could be kept. Set MessageBrokerOptions.Store when it is opened.");
        return WatermarkRecord.Find(store, source);
    }

    /// <summary>Drains and closes: nothing more is taken in or handed out, running handlers finish, what has been sent and settled is committed, and the store is closed. What waits in transient queues is gone.</summary>
    /// <param name="ct">The deadline: when it is cancelled, handlers are cancelled too and what they hold is released. Without one, <see cref="MessageBrokerOptions.DrainTimeout"/> holds.</param>
    public ValueTask CloseAsync(CancellationToken ct = default)
    {
        HandlerConsumer.ExcuseCurrent();
        lock (_lock)
            _closing ??= CloseCoreAsync(ct);
        foreach (HandlerConsumer consumer in _consumers.Keys)
            consumer.BeginStop();
        return new ValueTask(_closing);
    }

    /// <summary>Closes with <see cref="MessageBrokerOptions.DrainTimeout"/>. May be called at any time, twice, and from inside a handler, for which it does not wait.</summary>
    public ValueTask DisposeAsync() => CloseAsync(CancellationToken.None);

    IEnumerable<QueueReading> IMeasuredBroker.ReadQueues() => Queues.Select(static queue => queue.Conductor.Observed!.Read());

    internal HandlerConsumer StartConsumer(QueueConductor queue, Func<Delivery, CancellationToken, ValueTask> handler, ConsumeOptions options)
    {
        var consumer = new HandlerConsumer(queue, _context, handler, options, ended => _consumers.TryRemove(ended, out _));
        _consumers.TryAdd(consumer, true);
        lock (_lock)
        {
            if (_closing is not null)
            {
                _consumers.TryRemove(consumer, out _);
                ThrowIfClosed();
            }
        }
        consumer.Start();
        return consumer;
    }

    private async ValueTask OpenStoreAsync(IMessageStoreProvider provider, CancellationToken ct)
    {
        IMessageStore store = await provider.OpenAsync(ct).ConfigureAwait(false);
        // Nothing becomes due before everything is read: it may have to go to a queue that comes later, or be charged with the last death first.
        _context.Timer.Hold();
        try
        {
            _context.MaxMessageBytes = (int)Math.Min(_context.MaxMessageBytes, store.MaxRecordBytes - QueueCatalog.LargestHead);
            await foreach (QueueConductor conductor in _catalog.RecoverAsync(store, ct).ConfigureAwait(false))
            {
                if (!_queues.TryAdd(conductor.Name, new MessageQueue(this, conductor)))
                    throw new StoreException(StoreFault.Unreadable, $"Two queues in the store are named '{conductor.Name}', one of them with the id {conductor.Id}. Restore the store from a backup, or repair it, which gives one of them another name.") { IsRepairable = true };
                NoteDeadLetterQueue(conductor.Options);
            }
            _context.Log.Opened(provider.Description, _queues.Count, _catalog.RecoveredMessages);
        }
        catch
        {
            if (_context.Pipeline is { } pipeline)
                await pipeline.StopAsync().ConfigureAwait(false);
            await store.DisposeAsync().ConfigureAwait(false);
            _context.Timer.Dispose();
            throw;
        }
        // A copy: what has ended the process too often may need a queue of dead letters.
        foreach (MessageQueue queue in Queues)
            queue.Conductor.Upkeep.Start();
        _context.Timer.LetGo();
        _ = WatchStoreAsync(_context.Pipeline!);
    }

    // Nobody has the broker yet: what a source moves now is there before anything is delivered.
    private async Task OpenSourcesAsync(IList<IMessageSourceProvider> providers, CancellationToken ct)
    {
        try
        {
            foreach (IMessageSourceProvider provider in providers)
                _sources = [.. _sources, await provider.OpenAsync(this, ct).ConfigureAwait(false)];
        }
        catch
        {
            await DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    private MessageQueue Declared(MessageQueue queue)
    {
        foreach (IMessageSource source in _sources)
            source.QueueDeclared(queue);
        return queue;
    }

    private async Task CloseSourcesAsync()
    {
        foreach (IMessageSource source in _sources)
        {
            try
            {
                await source.DisposeAsync().AsTask().CountedOn(_context.Scheduler);
            }
#pragma warning disable CA1031 // Not swallowed: it is logged, and the store has to be closed whatever a source does.
            catch (Exception error)
#pragma warning restore CA1031
            {
                _context.Log.SourceNotClosed(error);
            }
        }
    }

    private async Task WatchStoreAsync(CommitPipeline pipeline)
    {
        await pipeline.Faulted.CountedOn(_context.Scheduler);
        StoreException fault = pipeline.Fault!;
        _context.Log.StoreStopped(fault.Message);
        foreach (MessageQueue queue in Queues)
        {
            if (queue.Conductor.IsDurable)
                queue.Conductor.Upkeep.StoreStopped(fault);
        }
        _completion.TrySetException(fault);
        // Whoever does not watch Completion hears of it with the next call; an unobserved task must not be a second alarm.
        _ = _completion.Task.Exception;
    }

    private MessageQueue Declare(string name, QueueOptions? options, out Task? committed)
    {
        committed = null;
        if (_queues.TryGetValue(name, out MessageQueue? queue))
        {
            if (options is not null)
                committed = Redeclare(queue.Conductor, options);
            return queue;
        }
        options ??= QueueOptions.IsDeadLetterName(name) ? QueueOptions.ForDeadLetters() : new QueueOptions();
        options.Durability = _catalog.Resolve(name, options);
        RefuseBuffer(name, options);
        RefuseUnsafeDeadLetters(name, options);
        NoteDeadLetterQueue(options);
        if (options.Durability != Durability.Transient && _context.Pipeline!.Fault is { } fault)
            throw new StoreException(fault.Fault, fault.Message, fault.Path, fault);
        QueueConductor conductor = _catalog.Create(name, options, maybeLater: false, out committed);
        queue = new MessageQueue(this, conductor);
        _queues.Add(name, queue);
        _context.Log.QueueDeclared(name, options);
        return queue;
    }

    private Task? Redeclare(QueueConductor queue, QueueOptions options)
    {
        QueueOptions current = queue.Options;
        if (options.Durability != Durability.Default && options.Durability != current.Durability)
        {
            throw new QueueDeclarationException(queue.Name,
                $"Queue '{queue.Name}' exists with Durability {current.Durability} and was declared with {options.Durability}. The durability of a queue cannot change: declare it as it is, or delete the queue first.");
        }
        options.Durability = current.Durability;
        RefuseBuffer(queue.Name, options);
        if (options == current)
            return null;
        RefuseUnsafeDeadLetters(queue.Name, options);
        NoteDeadLetterQueue(options);
        queue.Upkeep.Apply(options);
        _context.Log.QueueRedeclared(queue.Name, options);
        return _catalog.Update(queue, options);
    }

    private static void RefuseBuffer(string name, QueueOptions options)
    {
        if (options.Overflow == OverflowPolicy.Buffer && options.Durability == Durability.Transient)
        {
            throw new QueueDeclarationException(name,
                $"Queue '{name}': OverflowPolicy.Buffer keeps what exceeds the limits in the store, and a transient queue is in none. Declare it durable (and give the broker a store, MessageBrokerOptions.Store), or choose another policy.");
        }
    }

    // A circle of dead-letter queues would turn a bad message into a perpetual one; a transient one behind a durable queue would lose it.
    private void RefuseUnsafeDeadLetters(string name, QueueOptions options)
    {
        var path = new List<string> { name };
        for (QueueOptions? current = options; current?.DeadLetterQueue is { } next && current.DeadLetterOn != DeadLetterReasons.None;)
        {
            path.Add(next);
            if (path.IndexOf(next) < path.Count - 1)
                throw new QueueDeclarationException(name, $"Dead letters would go round in a circle: {string.Join(" → ", path)}. Let one of these queues keep its dead letters elsewhere.");
            current = next == name ? options : _queues.TryGetValue(next, out MessageQueue? queue) ? queue.Conductor.Options : null;
        }
        if (options.Durability == Durability.Transient && FeedersOf(name).FirstOrDefault(static source => source.IsDurable) is { } other)
        {
            throw new QueueDeclarationException(name, $"Queue '{name}' takes the dead letters of the durable queue '{other.Name}' and cannot be transient: they would be lost with the process. Declare it durable.");
        }
        string target = options.DeadLetterQueue ?? name + QueueOptions.DeadLetterSuffix;
        if (options.Durability != Durability.Transient && options.DeadLetterOn != DeadLetterReasons.None
            && _queues.TryGetValue(target, out MessageQueue? letters) && !letters.Conductor.IsDurable)
        {
            throw new QueueDeclarationException(name, $"Queue '{name}' is durable but its dead-letter queue '{target}' is transient: dead letters would be lost with the process. Make both durable, or choose another dead-letter queue.");
        }
    }

    private MessageQueue DeadLetterQueueOf(QueueConductor source)
    {
        string name = DeadLetterName(source);
        lock (_lock)
        {
            if (_queues.TryGetValue(name, out MessageQueue? queue))
                return queue;
            // Until the store has answered it may come back, and two queues of one name would be in the store. What arrives there finds out in the order of the commits.
            if (_deletions.TryGetValue(name, out QueueDeletion? deletion) && !deletion.IsDone)
                return deletion.Queue;
            QueueOptions options = QueueOptions.ForDeadLetters();
            // It may be shared: as durable as the most durable queue whose dead letters it takes.
            options.Durability = FeedersOf(name).Select(static other => other.Durability).Append(source.Durability).Max();
            QueueConductor conductor = _catalog.Create(name, options, maybeLater: true, out Task? committed);
            // If the store refuses, the first dead letter stores the queue with itself, or fails and is told of.
            committed?.ContinueWith(static task => _ = task.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted | TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
            queue = new MessageQueue(this, conductor);
            _queues.Add(name, queue);
            _context.Log.QueueDeclared(name, options);
            return queue;
        }
    }

    // The queues whose dead letters go to that name.
    private IEnumerable<QueueConductor> FeedersOf(string name)
    {
        IEnumerable<MessageQueue> candidates = [];
        if (_deadLetterTargets.Contains(name))
            candidates = _queues.Values;
        else if (QueueOptions.IsDeadLetterName(name) && _queues.TryGetValue(name[..^QueueOptions.DeadLetterSuffix.Length], out MessageQueue? source))
            candidates = [source];
        return candidates.Select(static queue => queue.Conductor).Where(source => DeadLetterName(source) == name && source.Options.DeadLetterOn != DeadLetterReasons.None);
    }

    private void NoteDeadLetterQueue(QueueOptions options)
    {
        if (options.DeadLetterQueue is { } name)
            _deadLetterTargets.Add(name);
    }

    private static string DeadLetterName(QueueConductor source) => source.Options.DeadLetterQueue ?? source.Name + QueueOptions.DeadLetterSuffix;

    // The queue never was.
    private void Forget(MessageQueue queue, StoreException error)
    {
        lock (_lock)
            _queues.Remove(queue.Name);
        queue.Conductor.Upkeep.Close(new QueueNotFoundException(queue.Name, $"Queue '{queue.Name}' could not be declared: {error.Message}"), deleted: true);
    }

    private async Task CloseCoreAsync(CancellationToken ct)
    {
        // The time runs from the call on.
        using var timeout = new CancellationTokenSource(_context.Options.DrainTimeout, _context.Options.TimeProvider);
        // Off the caller's lock and stack first: what follows runs code of consumers.
        await _context.Scheduler.Yield();
        CancellationToken deadline = ct.CanBeCanceled ? ct : timeout.Token;
        await Task.WhenAll(_consumers.Keys.Select(consumer => consumer.StopAsync(deadline).AsTask())).CountedOn(_context.Scheduler);
        await CloseSourcesAsync().CountedOn(_context.Scheduler);
        var closed = new ObjectDisposedException(nameof(MessageBroker), "The broker is closed.");
        MessageQueue[] queues = [.. Queues];
        foreach (MessageQueue queue in queues)
            queue.Conductor.Upkeep.Close(closed, deleted: false);
        // Before the pipeline ends: a settle that comes later says that the lease is lost, one that came before is committed.
        foreach (MessageQueue queue in queues)
            queue.Conductor.Upkeep.LoseLeases();
        await _backups.StopAsync().CountedOn(_context.Scheduler);
        _context.IsClosed = true;
        _context.Telemetry?.Instruments.Remove(this);
        try
        {
            if (_context.Pipeline is { } pipeline)
                await pipeline.DisposeAsync().AsTask().CountedOn(_context.Scheduler);
        }
        catch (Exception error)
        {
            // A store that could not be closed: the closer is told, and whoever waits for the end must not wait for ever.
            _completion.TrySetException(error);
            _ = _completion.Task.Exception;
            throw;
        }
        finally
        {
            _context.Timer.Dispose();
        }
        _context.Log.Closed();
        _completion.TrySetResult();
    }

    private void ThrowIfClosed() => ObjectDisposedException.ThrowIf(_closing is not null, this);

    // A deletion that is under way: whoever declares the name again waits for the store's answer.
    private sealed class QueueDeletion(MessageQueue queue)
    {
        private volatile bool _isDone = !queue.Conductor.IsDurable;

        public MessageQueue Queue => queue;

        /// <summary>Whether the queue is gone for certain: set when the store has said so, which is before <see cref="Ended"/>.</summary>
        public bool IsDone { get => _isDone; set => _isDone = value; }

        public TaskCompletionSource Ended { get; } = new();
    }
}
