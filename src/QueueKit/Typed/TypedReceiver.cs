using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;

namespace QueueKit.Typed;

/// <summary>The receiving half of a queue, for values: what cannot be read is given up on the way.</summary>
internal sealed class TypedReceiver<T>(IMessageReceiver queue, MessageFormat<T> format) : IQueueReceiver<T>
{
    public string Name => queue.Name;

    public async ValueTask<Delivery<T>> ReceiveAsync(CancellationToken ct = default)
    {
        while (true)
        {
            Delivery delivery = await queue.ReceiveAsync(ct).ConfigureAwait(false);
            if (TryRead(delivery, out T? value))
                return new Delivery<T>(delivery, value);
        }
    }

    public async ValueTask<Delivery<T>?> ReceiveAsync(TimeSpan maxWait, CancellationToken ct = default)
    {
        while (await queue.ReceiveAsync(maxWait, ct).ConfigureAwait(false) is { } delivery)
        {
            if (TryRead(delivery, out T? value))
                return new Delivery<T>(delivery, value);
        }
        return null;
    }

    public async IAsyncEnumerable<Delivery<T>> ReceiveAllAsync(ReceiveOptions? options = null, [EnumeratorCancellation] CancellationToken ct = default)
    {
        MessageReceiver receiver = queue.OpenReceiver(options);
        await using (receiver.ConfigureAwait(false))
        {
            while (await receiver.WaitToReceiveAsync(ct).ConfigureAwait(false))
            {
                while (receiver.TryReceive(out Delivery? delivery))
                {
                    if (TryRead(delivery, out T? value))
                        yield return new Delivery<T>(delivery, value);
                }
            }
        }
    }

    public MessageConsumer Consume(Func<Delivery<T>, CancellationToken, ValueTask> handler, ConsumeOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(handler);
        return queue.Consume((delivery, ct) => TryRead(delivery, out T? value) ? handler(new Delivery<T>(delivery, value), ct) : default, options);
    }

    private bool TryRead(Delivery delivery, [MaybeNullWhen(false)] out T value)
    {
        if (format.TryRead(delivery.Message, out value, out Settlement rejection))
            return true;
        delivery.Settle(rejection);
        return false;
    }
}
