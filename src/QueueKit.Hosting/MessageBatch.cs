using System.Collections;

namespace QueueKit.Hosting;

/// <summary>The messages that a batch handler gets at once, and sends that take effect with their outcomes, all in one commit.</summary>
public sealed class MessageBatch<T> : IReadOnlyList<BatchItem<T>>
{
    private readonly List<BatchItem<T>> _items = [];
    private readonly MessageContext _context;

    internal MessageBatch(MessageContext context) => _context = context;

    /// <summary>How many there are.</summary>
    public int Count => _items.Count;

    /// <summary>The services of the batch's scope.</summary>
    public IServiceProvider Services => _context.Services;

    /// <summary>The message at that place.</summary>
    public BatchItem<T> this[int index] => _items[index];

    /// <summary>Sends in the commit in which the batch is settled; if the handler throws, nothing is sent.</summary>
    /// <inheritdoc cref="MessageContext.Send(string, Message)" path="/exception"/>
    public void Send(string queue, Message message) => _context.Send(queue, message);

    /// <summary>Sends a value in the commit in which the batch is settled; if the handler throws, nothing is sent.</summary>
    /// <inheritdoc cref="MessageContext.Send{T}" path="/exception"/>
    public void Send<TOther>(string queue, TOther value, SendOptions? options = null) => _context.Send(queue, value, options);

    /// <inheritdoc/>
    public IEnumerator<BatchItem<T>> GetEnumerator() => _items.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal void Add(BatchItem<T> item) => _items.Add(item);
}

/// <summary>One message of a batch.</summary>
public sealed class BatchItem<T>
{
    internal BatchItem(Delivery delivery, T value)
    {
        Delivery = delivery;
        Value = value;
    }

    /// <summary>What was sent.</summary>
    public T Value { get; }

    /// <summary>The message with its properties, headers and bytes.</summary>
    public Message Message => Delivery.Message;

    /// <inheritdoc cref="Delivery.Attempt"/>
    public int Attempt => Delivery.Attempt;

    /// <inheritdoc cref="Delivery.IsRedelivered"/>
    public bool IsRedelivered => Delivery.IsRedelivered;

    /// <summary>What becomes of the message; null (the default) for an ack when the handler returns.</summary>
    /// <exception cref="ArgumentException">The value is the default settlement, which says nothing.</exception>
    public Settlement? Outcome
    {
        get;
        set
        {
            if (value is { Kind: SettlementKind.None })
                throw new ArgumentException("This settlement is the default value and says nothing. Use Settlement.Ack, Nack(…), Release or Reject(…).", nameof(value));
            field = value;
        }
    }

    internal Delivery Delivery { get; }
}
