using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using QueueKit.Diagnostics;

namespace QueueKit.Queues;

/// <summary>A queue's operations while somebody listens: the same, measured and traced. Whoever offers an operation asks <see cref="HasListeners"/> first, and nothing else is paid where nobody listens.</summary>
internal sealed class ObservedQueue(QueueConductor queue, BrokerTelemetry telemetry)
{
    private readonly Histogram<double> _durations = telemetry.Instruments.OperationDuration;
    private QueueReading? _lastReading;

    /// <summary>Whether anybody wants to know of operations.</summary>
    public bool HasListeners
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => BrokerTelemetry.Source.HasListeners() || _durations.Enabled;
    }

    /// <summary>Whether anybody wants to know of handlers at work.</summary>
    public bool HearsHandlers => HasListeners || telemetry.HearsProcessing;

    public async ValueTask<SendReceipt> SendAsync(Message message, bool mayWait, CancellationToken ct)
    {
        Message[] messages = [message];
        Operation send = BeginSend(messages);
        return await EndAsync(send, () => queue.SendAsync(messages[0], mayWait, ct)).ConfigureAwait(false);
    }

    public async ValueTask<SendReceipt> SendBatchAsync(ReadOnlyMemory<Message> batch, CancellationToken ct)
    {
        Message[] messages = batch.ToArray();
        Operation send = BeginSend(messages);
        return await EndAsync(send, () => queue.SendBatchAsync(messages, ct)).ConfigureAwait(false);
    }

    /// <summary>Begins a send, whose activity is the current one from now on, and puts a context into those of the messages that have none and have room for it: that of the send or, of several messages, each its own.</summary>
    public Operation BeginSend(Span<Message> messages)
    {
        bool injects = TakesContext(messages, out long spareBytes);
        bool hasCreated = injects && messages.Length > 1 && telemetry.TracesBatchedMessages && BrokerTelemetry.Source.HasListeners() && Create(messages, spareBytes);
        var send = new Operation(telemetry, queue.Name, TelemetryNames.Send, TelemetryNames.Send);
        Activity? activity = send.Start(injects && !hasCreated ? ActivityKind.Producer : ActivityKind.Client, default, messages, TraceContext.Links(messages));
        // Where this activity is not wanted, what it would have been a part of still goes on in the consumer.
        if (injects && (activity ?? Activity.Current) is { } context)
            Inject(messages, context, spareBytes);
        return send;
    }

    // A moment each: what tells the messages of a batch apart is that they have a context of their own.
    private bool Create(Span<Message> messages, long spareBytes)
    {
        bool any = false;
        for (int i = 0; i < messages.Length; i++)
        {
            if (TraceContext.IsIn(messages[i]))
                continue;
            var create = new Operation(telemetry, queue.Name, TelemetryNames.Create, TelemetryNames.Create);
            if (create.Start(ActivityKind.Producer, default, messages.Slice(i, 1), null) is not { } activity)
                continue;
            Inject(messages.Slice(i, 1), activity, spareBytes);
            create.EndActivity(null);
            any = true;
        }
        return any;
    }

    private void Inject(Span<Message> messages, Activity context, long spareBytes)
    {
        if (context.IdFormat != ActivityIdFormat.W3C)
            return;
        foreach (ref Message message in messages)
        {
            if (!TraceContext.IsIn(message))
                message = TraceContext.Write(message, context, Math.Min(queue.Broker.MaxMessageBytes, message.Size + TraceContext.ParentBytes + spareBytes));
        }
    }

    public async ValueTask<Delivery?> ReceiveAsync(TimeSpan? maxWait, CancellationToken ct)
    {
        Operation receive = BeginReceive();
        try
        {
            Delivery? delivery = await queue.ReceiveAsync(maxWait, ct).ConfigureAwait(false);
            if (delivery is not null)
                Received(receive, delivery);
            return delivery;
        }
        catch (QueueKitException error)
        {
            receive.End([], TelemetryNames.ErrorOf(error));
            throw;
        }
    }

    /// <summary>Begins a receive, which ends with its messages; one that gets none is forgotten.</summary>
    public Operation BeginReceive() => new(telemetry, queue.Name, TelemetryNames.Receive, TelemetryNames.Receive);

    /// <summary>Ends a receive with what it got.</summary>
    public static void Received(Operation receive, params ReadOnlySpan<Delivery> deliveries)
    {
        receive.End(Observe(deliveries));
    }

    /// <summary>Begins the work of a handler, whose activity is the current one from now on.</summary>
    /// <param name="deliveries">What it works on.</param>
    /// <param name="continues">Whether its activity is a child of the send's, and not linked to it: for a single message only.</param>
    public Operation BeginProcess(ReadOnlySpan<Delivery> deliveries, bool continues)
    {
        var process = new Operation(telemetry, queue.Name, TelemetryNames.Process, TelemetryNames.Process);
        Message[] messages = Observe(deliveries);
        if (continues && Activity.Current is null && messages is [var message] && TraceContext.TryRead(message, out ActivityContext parent))
            process.Start(ActivityKind.Consumer, parent, messages, null);
        else
            process.Start(ActivityKind.Consumer, default, messages, TraceContext.Links(messages));
        return process;
    }

    public SettleResult Ack(InFlightDelivery delivery) => Settle(delivery, Settlement.Ack);

    public SettleResult Settle(InFlightDelivery delivery, Settlement settlement)
    {
        Operation settle = BeginSettle(settlement.Kind);
        try
        {
            SettleResult result = settlement.Kind == SettlementKind.Ack ? queue.Ack(delivery) : queue.Settle(delivery, settlement);
            End(settle, delivery, result);
            return result;
        }
        catch (QueueKitException error)
        {
            settle.End([delivery.Message], TelemetryNames.ErrorOf(error));
            throw;
        }
    }

    public async ValueTask<SettleResult> SettleAsync(InFlightDelivery delivery, Settlement settlement)
    {
        Operation settle = BeginSettle(settlement.Kind);
        try
        {
            SettleResult result = await queue.SettleAsync(delivery, settlement).ConfigureAwait(false);
            End(settle, delivery, result);
            return result;
        }
        catch (QueueKitException error)
        {
            settle.End([delivery.Message], TelemetryNames.ErrorOf(error));
            throw;
        }
    }

    /// <summary>Begins a settle, which ends with its messages.</summary>
    public Operation BeginSettle(SettlementKind kind) => new(telemetry, queue.Name, TelemetryNames.Settle, kind switch
    {
        SettlementKind.Ack => TelemetryNames.Ack,
        SettlementKind.Nack => TelemetryNames.Nack,
        SettlementKind.Release => TelemetryNames.Release,
        _ => TelemetryNames.Reject,
    });

    /// <summary>Reads the queue for its instruments, in one lock hold. One reader at a time.</summary>
    public QueueReading Read()
    {
        var reading = new QueueReading(queue.Name);
        queue.Step(reading, static (core, reading, in moment, ref _) => core.Audit.Read(reading, moment));
        reading.Raise(_lastReading);
        return _lastReading = reading;
    }

    private static async ValueTask<SendReceipt> EndAsync(Operation send, Func<ValueTask<SendReceipt>> sendAsync)
    {
        SendReceipt receipt;
        try
        {
            receipt = await sendAsync().ConfigureAwait(false);
        }
        catch (Exception error)
        {
            send.End(TelemetryNames.ErrorOf(error));
            throw;
        }
        send.End(receipt.Outcome switch { SendOutcome.Dropped => TelemetryNames.Dropped, SendOutcome.Refused => TelemetryNames.Refused, _ => null });
        return receipt;
    }

    // From now on their settles are observed too.
    private static Message[] Observe(ReadOnlySpan<Delivery> deliveries)
    {
        var messages = new Message[deliveries.Length];
        for (int i = 0; i < messages.Length; i++)
        {
            messages[i] = deliveries[i].Message;
            ((InFlightDelivery)deliveries[i]).IsObserved = true;
        }
        return messages;
    }

    // A second settle is an everyday thing, for example the automatic one behind a handler's own, and no operation.
    private static void End(Operation settle, InFlightDelivery delivery, SettleResult result)
    {
        if (result != SettleResult.AlreadySettled)
            settle.End([delivery.Message], result == SettleResult.LeaseLost ? TelemetryNames.LeaseLost : null);
    }

    // All that have none, or none of them: a batch must not become too large for its queue because somebody listens.
    private bool TakesContext(ReadOnlySpan<Message> messages, out long spareBytesEach)
    {
        spareBytesEach = 0;
        bool any = false;
        long bytes = 0;
        foreach (Message message in messages)
        {
            bool takes = !TraceContext.IsIn(message);
            if (takes && !TraceContext.Fits(message, queue.Broker.MaxMessageBytes))
                return false;
            any |= takes;
            bytes += message.Size + (takes ? TraceContext.ParentBytes : 0);
        }
        spareBytesEach = (queue.MaxBytes - bytes) / messages.Length;
        return any && bytes <= queue.MaxBytes;
    }
}
