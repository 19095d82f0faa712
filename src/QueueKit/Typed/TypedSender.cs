namespace QueueKit.Typed;

/// <summary>The sending half of a queue, for values.</summary>
internal sealed class TypedSender<T>(IMessageSender queue, MessageFormat<T> format) : IQueueSender<T>
{
    public string Name => queue.Name;

    public ValueTask<SendReceipt> SendAsync(T value, SendOptions? options = null, CancellationToken ct = default) => queue.SendAsync(format.Write(value, options), ct);

    public ValueTask<SendReceipt> TrySendAsync(T value, SendOptions? options = null, CancellationToken ct = default) => queue.TrySendAsync(format.Write(value, options), ct);
}
