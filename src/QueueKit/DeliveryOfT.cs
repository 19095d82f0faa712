namespace QueueKit;

/// <summary>A <see cref="Delivery"/> with its body read. Copies are the same delivery; the default value is none.</summary>
public readonly record struct Delivery<T>
{
    internal Delivery(Delivery delivery, T value)
    {
        Untyped = delivery;
        Value = value;
    }

    /// <summary>What was sent.</summary>
    public T Value { get; }

    /// <summary>The delivery itself, with the message's properties and bytes; also for <see cref="BrokerTransaction"/>.</summary>
    public Delivery Untyped { get; }

    /// <inheritdoc cref="Delivery.Attempt"/>
    public int Attempt => Untyped.Attempt;

    /// <inheritdoc cref="Delivery.IsRedelivered"/>
    public bool IsRedelivered => Untyped.IsRedelivered;

    /// <inheritdoc cref="Delivery.Ack"/>
    public SettleResult Ack() => Untyped.Ack();

    /// <inheritdoc cref="Delivery.AckAsync"/>
    public ValueTask<SettleResult> AckAsync(CancellationToken ct = default) => Untyped.AckAsync(ct);

    /// <inheritdoc cref="Delivery.Nack"/>
    public SettleResult Nack(TimeSpan? delay = null, Exception? error = null) => Untyped.Nack(delay, error);

    /// <inheritdoc cref="Delivery.Release"/>
    public SettleResult Release() => Untyped.Release();

    /// <inheritdoc cref="Delivery.Reject"/>
    public SettleResult Reject(string reason, string? details = null) => Untyped.Reject(reason, details);
}
