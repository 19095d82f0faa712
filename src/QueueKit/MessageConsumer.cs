namespace QueueKit;

/// <summary>A handler at work on a queue.</summary>
public abstract class MessageConsumer : IAsyncDisposable
{
    /// <summary>What it is doing.</summary>
    public abstract ConsumerState State { get; }

    /// <summary>Completes when the consumer has stopped, however that came about; faults if it was not asked to: the queue was deleted, or its store has stopped.</summary>
    public abstract Task Completion { get; }

    /// <summary>Takes no more messages and waits for the handlers that run. When <paramref name="ct"/> is cancelled their tokens are too, what they hold is released without penalty, and this returns.</summary>
    public abstract ValueTask StopAsync(CancellationToken ct = default);

    /// <summary>Stops like <see cref="StopAsync"/> within the broker's drain timeout. From inside its own handler it does not wait for that handler.</summary>
    public abstract ValueTask DisposeAsync();
}

/// <summary>The states of a consumer.</summary>
public enum ConsumerState
{
    /// <summary>Stopped without being asked to; <see cref="MessageConsumer.Completion"/> has the cause.</summary>
    Faulted = 0,
    /// <summary>Taking messages, or waiting for some.</summary>
    Running,
    /// <summary>Taking none; some handlers still run.</summary>
    Stopping,
    /// <summary>Stopped as asked.</summary>
    Stopped,
}
