using System.Runtime.CompilerServices;

namespace QueueKit.Hosting.Registration;

/// <summary>The sending half of a queue that may be injected before the broker is open.</summary>
internal sealed class LazySender(HostedBroker broker, string queue) : IMessageSender
{
    private MessageQueue? _queue;

    public string Name => queue;

    private MessageQueue Queue => _queue ??= broker.Broker.GetQueue(queue);

    public ValueTask<SendReceipt> SendAsync(Message message, CancellationToken ct = default) => Queue.SendAsync(message, ct);

    public ValueTask<SendReceipt> TrySendAsync(Message message, CancellationToken ct = default) => Queue.TrySendAsync(message, ct);
}

/// <summary>The receiving half of a queue that may be injected before the broker is open.</summary>
internal sealed class LazyReceiver(HostedBroker broker, string queue) : IMessageReceiver
{
    private MessageQueue? _queue;

    public string Name => queue;

    private MessageQueue Queue => _queue ??= broker.Broker.GetQueue(queue);

    public ValueTask<Delivery> ReceiveAsync(CancellationToken ct = default) => Queue.ReceiveAsync(ct);

    public ValueTask<Delivery?> ReceiveAsync(TimeSpan maxWait, CancellationToken ct = default) => Queue.ReceiveAsync(maxWait, ct);

    public async IAsyncEnumerable<Delivery> ReceiveAllAsync(ReceiveOptions? options = null, [EnumeratorCancellation] CancellationToken ct = default)
    {
        await foreach (Delivery delivery in Queue.ReceiveAllAsync(options, ct).ConfigureAwait(false))
            yield return delivery;
    }

    public MessageReceiver OpenReceiver(ReceiveOptions? options = null) => Queue.OpenReceiver(options);

    public MessageConsumer Consume(Func<Delivery, CancellationToken, ValueTask> handler, ConsumeOptions? options = null) => Queue.Consume(handler, options);
}
