using System.Runtime.CompilerServices;
using QueueKit.Diagnostics;
using QueueKit.Queues;

namespace QueueKit;

/// <summary>A queue of a broker: send to it, receive from it, look at it. Safe for any thread.</summary>
public sealed class MessageQueue : IMessageSender, IMessageReceiver
{
    private readonly MessageBroker _broker;
    private readonly ObservedQueue? _observed;

    internal MessageQueue(MessageBroker broker, QueueConductor conductor)
    {
        _broker = broker;
        Conductor = conductor;
        _observed = conductor.Observed;
    }

    /// <inheritdoc/>
    public string Name => Conductor.Name;

    /// <summary>A copy of the options in force; <see cref="QueueOptions.Durability"/> says what it came to, never <see cref="Durability.Default"/>.</summary>
    public QueueOptions Options => Conductor.Options with { };

    internal QueueConductor Conductor { get; }

    internal MessageBroker Broker => _broker;

    /// <inheritdoc/>
    public ValueTask<SendReceipt> SendAsync(Message message, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(message);
        return _observed is { HasListeners: true } ? _observed.SendAsync(message, mayWait: true, ct) : Conductor.SendAsync(message, mayWait: true, ct);
    }

    /// <inheritdoc/>
    public ValueTask<SendReceipt> TrySendAsync(Message message, CancellationToken ct = default)
    {
        ArgumentNullException.ThrowIfNull(message);
        return _observed is { HasListeners: true } ? _observed.SendAsync(message, mayWait: false, ct) : Conductor.SendAsync(message, mayWait: false, ct);
    }

    /// <summary>Sends several messages, all or none: they take their places together, are stored in one commit, and follow each other in the queue.</summary>
    /// <param name="messages">The messages; the memory itself may be reused when this has returned its task.</param>
    /// <param name="ct">As with <see cref="SendAsync"/>.</param>
    /// <returns>One receipt for all, with the first one's sequence.</returns>
    /// <exception cref="ArgumentException">An element is null; the message names its place.</exception>
    /// <exception cref="MessageTooLargeException">A message, or all together, could never fit.</exception>
    /// <exception cref="QueueFullException">As with <see cref="SendAsync"/>.</exception>
    /// <exception cref="StoreException">The store refused or failed; see <see cref="StoreException.OutcomeUnknown"/>.</exception>
    public ValueTask<SendReceipt> SendBatchAsync(ReadOnlyMemory<Message> messages, CancellationToken ct = default)
    {
        if (messages.IsEmpty)
            return new ValueTask<SendReceipt>(new SendReceipt(SendOutcome.Accepted, 0, Conductor.Durability));
        for (int i = 0; i < messages.Length; i++)
        {
            if (messages.Span[i] is null)
                throw new ArgumentException($"Element {i} of the batch is null; nothing was sent.", nameof(messages));
        }
        return _observed is { HasListeners: true } ? _observed.SendBatchAsync(messages, ct) : Conductor.SendBatchAsync(messages.Span, ct);
    }

    /// <inheritdoc/>
    public ValueTask<Delivery> ReceiveAsync(CancellationToken ct = default) => ReceiveOneAsync(maxWait: null, ct)!;

    /// <inheritdoc/>
    public ValueTask<Delivery?> ReceiveAsync(TimeSpan maxWait, CancellationToken ct = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxWait, TimeSpan.Zero);
        return ReceiveOneAsync(maxWait, ct);
    }

    /// <summary>Receives what is there (of a backlog that has yet to be read from the store, as much as is read at once), up to <paramref name="maxMessages"/>; where nothing is, waits up to <paramref name="maxWait"/> for the first. Empty if none came.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maxMessages"/> is below 1 or <paramref name="maxWait"/> negative.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="ct"/> was cancelled: no message was taken.</exception>
    /// <exception cref="StoreException">The queue is durable and its store has stopped.</exception>
    public ValueTask<IReadOnlyList<Delivery>> ReceiveBatchAsync(int maxMessages, TimeSpan maxWait, CancellationToken ct = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maxMessages, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(maxWait, TimeSpan.Zero);
        if (ct.IsCancellationRequested)
            return ValueTask.FromCanceled<IReadOnlyList<Delivery>>(ct);
        return _observed is { HasListeners: true } ? ObserveBatchAsync(maxMessages, maxWait, ct) : ReceiveManyAsync(maxMessages, maxWait, ct);
    }

    /// <inheritdoc/>
    public async IAsyncEnumerable<Delivery> ReceiveAllAsync(ReceiveOptions? options = null, [EnumeratorCancellation] CancellationToken ct = default)
    {
        MessageReceiver receiver = OpenReceiver(options);
        await using (receiver.ConfigureAwait(false))
        {
            while (await receiver.WaitToReceiveAsync(ct).ConfigureAwait(false))
            {
                while (receiver.TryReceive(out Delivery? delivery))
                    yield return delivery;
            }
        }
    }

    /// <inheritdoc/>
    public MessageReceiver OpenReceiver(ReceiveOptions? options = null)
    {
        options = options is null ? new ReceiveOptions() : options with { };
        options.Validate(Name);
        Conductor.EnsureUsable();
        return new QueueReceiver(Conductor, options);
    }

    /// <inheritdoc/>
    public MessageConsumer Consume(Func<Delivery, CancellationToken, ValueTask> handler, ConsumeOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        options = options is null ? new ConsumeOptions() : options with { };
        options.Validate(Name);
        Conductor.EnsureUsable();
        return _broker.StartConsumer(Conductor, handler, options);
    }

    /// <summary>Whether anybody listens to the work of handlers: see <see cref="BeginProcess"/>.</summary>
    public bool HasProcessListeners => _observed is { HearsHandlers: true };

    /// <summary>Tells telemetry that a handler of the caller's begins to work on deliveries of this queue: an activity <c>process</c>, the current one until its end, and a duration. Their settles are told from now on. Where nobody listens nothing happens.</summary>
    /// <param name="deliveries">One, or a batch; taken by a receiver with <see cref="ReceiveOptions.ForHandlers"/>.</param>
    /// <param name="continueTrace">Whether the activity continues the trace of the send, as <see cref="ConsumeOptions.ContinueTrace"/> says; for a single delivery only.</param>
    public ProcessScope BeginProcess(ReadOnlySpan<Delivery> deliveries, bool continueTrace = false) =>
        _observed is { HearsHandlers: true } && deliveries.Length > 0 ? new ProcessScope(_observed.BeginProcess(deliveries, continueTrace)) : default;

    /// <summary>Removes every message that is ready or delayed; what is in flight or on its way into the store stays. Returns how many, once that is committed.</summary>
    /// <remarks>Of a durable queue with many messages it takes several commits, the oldest first: a process that ends on the way has removed some.</remarks>
    /// <exception cref="StoreException">The store refused (what was not removed by then is back) or failed.</exception>
    public ValueTask<long> PurgeAsync(CancellationToken ct = default) => Conductor.Upkeep.PurgeAsync(ct);

    /// <summary>Stops the flow in one direction or both until <see cref="Resume"/>; pausing twice is the same as once. Not remembered over a restart.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="flow"/> has an unknown value.</exception>
    public void Pause(QueueFlow flow) => Conductor.Upkeep.SetPaused(Valid(flow), paused: true);

    /// <summary>Lets it flow again.</summary>
    /// <inheritdoc cref="Pause" path="/exception"/>
    public void Resume(QueueFlow flow) => Conductor.Upkeep.SetPaused(Valid(flow), paused: false);

    /// <summary>The queue at this instant.</summary>
    public QueueSnapshot GetSnapshot() => Conductor.Upkeep.Snapshot();

    /// <inheritdoc/>
    public override string ToString() => $"queue '{Name}'";

    private ValueTask<Delivery?> ReceiveOneAsync(TimeSpan? maxWait, CancellationToken ct) =>
        _observed is { HasListeners: true } ? _observed.ReceiveAsync(maxWait, ct) : Conductor.ReceiveAsync(maxWait, ct);

    private async ValueTask<IReadOnlyList<Delivery>> ObserveBatchAsync(int maxMessages, TimeSpan maxWait, CancellationToken ct)
    {
        Operation receive = _observed!.BeginReceive();
        IReadOnlyList<Delivery> batch = await ReceiveManyAsync(maxMessages, maxWait, ct).ConfigureAwait(false);
        if (batch.Count > 0)
            ObservedQueue.Received(receive, [.. batch]);
        return batch;
    }

    private ValueTask<IReadOnlyList<Delivery>> ReceiveManyAsync(int maxMessages, TimeSpan maxWait, CancellationToken ct)
    {
        Conductor.Upkeep.MakeRoomForDeliveries(maxMessages);
        InFlightDelivery[] taken = Conductor.TakeMany(null, maxMessages);
        // A durable queue may have to read what comes next.
        return taken.Length > 0 || (maxWait == TimeSpan.Zero && !Conductor.IsDurable)
            ? new ValueTask<IReadOnlyList<Delivery>>(taken)
            : WaitForBatchAsync(maxMessages, maxWait, ct);
    }

    private async ValueTask<IReadOnlyList<Delivery>> WaitForBatchAsync(int maxMessages, TimeSpan maxWait, CancellationToken ct) =>
        await Conductor.ReceiveAsync(maxWait, ct).ConfigureAwait(false) is InFlightDelivery first ? Conductor.TakeMany(first, maxMessages) : [];

    private static QueueFlow Valid(QueueFlow flow) => (flow & ~QueueFlow.Both) == 0
        ? flow
        : throw new ArgumentOutOfRangeException(nameof(flow), flow, "The flow is Sending, Receiving or Both.");
}
