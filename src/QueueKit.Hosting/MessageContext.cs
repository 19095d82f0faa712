using Polly;

namespace QueueKit.Hosting;

/// <summary>What a handler has beside the value: the message, its services, and sends that take effect together with the ack. Used by its handler only, from one thread at a time.</summary>
public sealed class MessageContext
{
    private readonly HostedBroker _broker;
    private List<(MessageQueue Queue, Message Message)>? _sends;

    internal MessageContext(Delivery delivery, HostedBroker broker)
    {
        Delivery = delivery;
        _broker = broker;
    }

    /// <summary>The key under which the pipeline of <see cref="HandlerOptions.ResiliencePipeline"/> finds the context of its message.</summary>
    public static ResiliencePropertyKey<MessageContext> ResilienceKey { get; } = new("QueueKit.MessageContext");

    /// <summary>The message with its properties, headers and bytes.</summary>
    public Message Message => Delivery.Message;

    /// <inheritdoc cref="Delivery.QueueName"/>
    public string QueueName => Delivery.QueueName;

    /// <inheritdoc cref="Delivery.Sequence"/>
    public long Sequence => Delivery.Sequence;

    /// <inheritdoc cref="Delivery.Attempt"/>
    public int Attempt => Delivery.Attempt;

    /// <inheritdoc cref="Delivery.IsRedelivered"/>
    public bool IsRedelivered => Delivery.IsRedelivered;

    /// <inheritdoc cref="Delivery.EnqueuedAt"/>
    public DateTimeOffset EnqueuedAt => Delivery.EnqueuedAt;

    /// <inheritdoc cref="Delivery.DeadLetter"/>
    public DeadLetterInfo? DeadLetter => Delivery.DeadLetter;

    /// <summary>The services of the message's scope.</summary>
    public IServiceProvider Services { get; internal set; } = null!;

    internal Delivery Delivery { get; }

    internal bool HasSends => _sends is { Count: > 0 };

    /// <summary>Sends when the message is acked, in the same commit; if it is not acked, nothing is sent.</summary>
    /// <param name="queue">A queue of the same broker.</param>
    /// <param name="message">The message; its body must not change until it is settled.</param>
    /// <exception cref="QueueNotFoundException">There is no such queue.</exception>
    public void Send(string queue, Message message)
    {
        ArgumentNullException.ThrowIfNull(message);
        (_sends ??= []).Add((_broker.Broker.GetQueue(queue), message));
    }

    /// <summary>Sends a value when the message is acked, in the same commit; if it is not acked, nothing is sent.</summary>
    /// <exception cref="QueueNotFoundException">There is no such queue.</exception>
    /// <exception cref="InvalidOperationException">The broker has no format for <typeparamref name="T"/>.</exception>
    public void Send<T>(string queue, T value, SendOptions? options = null) => Send(queue, _broker.Formats.Get<T>().Write(value, options));

    /// <summary>Whether somebody waits for a reply: see <see cref="IQueueRequester{T}"/>.</summary>
    public bool WantsReply => Message.ReplyTo is not null;

    /// <summary>Replies when the message is acked, in the same commit. Where nobody waits any more, because the process has been started anew since, the reply is left out and logged.</summary>
    /// <exception cref="InvalidOperationException">The message asks for no reply, or the broker has no format for <typeparamref name="T"/>.</exception>
    /// <exception cref="QueueNotFoundException">The queue that should get the reply is gone.</exception>
    public void Reply<T>(T value)
    {
        string queue = Message.ReplyTo ?? throw new InvalidOperationException($"Message {Sequence} of queue '{QueueName}' asks for no reply; see WantsReply.");
        Message reply = _broker.Formats.Get<T>().Write(value, new SendOptions { CorrelationId = Message.CorrelationId ?? Message.MessageId });
        if (_broker.Replies.IsExpected(queue, reply))
            Send(queue, reply);
    }

    // Before another attempt inside the same delivery: what the last one wanted to send is forgotten.
    internal void Reset() => _sends?.Clear();

    internal void AddTo(BrokerTransaction transaction)
    {
        if (_sends is null)
            return;
        foreach ((MessageQueue queue, Message message) in _sends)
            transaction.Send(queue, message);
    }

    internal async ValueTask<SettleResult> CommitWithAckAsync(CancellationToken ct)
    {
        BrokerTransaction transaction = _broker.Broker.BeginTransaction();
        await using (transaction.ConfigureAwait(false))
        {
            SettleResult result = transaction.Settle(Delivery, Settlement.Ack);
            if (result != SettleResult.Settled)
                return result;
            AddTo(transaction);
            await transaction.CommitAsync(ct).ConfigureAwait(false);
            return result;
        }
    }
}
