namespace QueueKit.Hosting;

/// <summary>Handles the messages of a queue that hold a <typeparamref name="T"/>. One instance a message, from the message's scope, unless it is registered otherwise.</summary>
public interface IMessageHandler<in T>
{
    /// <summary>Handles one message and says what becomes of it.</summary>
    /// <param name="message">What was sent.</param>
    /// <param name="context">The message itself, its services, and sends that take effect with the ack.</param>
    /// <param name="ct">Cancelled when the lease is lost, or a stop has run out of time: what is done from then on is done twice.</param>
    /// <returns><see cref="Settlement.Ack"/> if it is done, a nack to have it again, a reject to give it up. An exception is judged by the rules of <see cref="HandlerOptions.On"/>.</returns>
    ValueTask<Settlement> HandleAsync(T message, MessageContext context, CancellationToken ct);
}

/// <summary>Handles the messages of a queue that hold a <typeparamref name="T"/>, several at a time.</summary>
public interface IBatchHandler<T>
{
    /// <summary>Handles up to <see cref="HandlerOptions.BatchSize"/> messages. What it does not settle through <see cref="BatchItem{T}.Outcome"/> is acked when it returns, and judged by the rules of <see cref="HandlerOptions.On"/> when it throws.</summary>
    /// <param name="batch">The messages, at least one, in the order of the queue.</param>
    /// <param name="ct">Cancelled when a lease is lost, or a stop has run out of time.</param>
    ValueTask HandleAsync(MessageBatch<T> batch, CancellationToken ct);
}
