using System.Diagnostics.CodeAnalysis;

namespace QueueKit;

/// <summary>Opens a source of messages for a broker: a place outside of its store from which messages come into its queues, each exactly once.</summary>
/// <remarks>
/// How a source keeps that: it moves what it has, in order, in transactions of the broker (<see cref="MessageBroker.BeginTransaction"/>), each of which also says how far it has come
/// (<see cref="BrokerTransaction.MoveWatermark"/>); only then it forgets what it has moved. When it opens, <see cref="MessageBroker.FindWatermark"/> tells where to go on.
/// Where a commit's outcome is unknown (<see cref="StoreException.OutcomeUnknown"/>) it moves nothing more: the next opening finds out.
/// </remarks>
[Experimental("QUEUEKIT001")]
public interface IMessageSourceProvider
{
    /// <summary>What the source is, for messages to people: a kind and, where there is one, a path.</summary>
    string Description { get; }

    /// <summary>Opens the source. Called while the broker opens: what its store holds is there, and nobody else has it yet. What is moved before this returns is there before anything is delivered.</summary>
    /// <remarks>It must not wait for room in a queue: nobody makes any before the broker is open.</remarks>
    /// <exception cref="StoreException">It cannot be opened: the message names file, cause and remedy. The broker is closed again.</exception>
    ValueTask<IMessageSource> OpenAsync(MessageBroker broker, CancellationToken ct = default);
}

/// <summary>A source that is open. The broker disposes it when it closes, before its queues close; what is not moved by then is found at the next opening. <see cref="IAsyncDisposable.DisposeAsync"/> does not wait for room.</summary>
[Experimental("QUEUEKIT001")]
public interface IMessageSource : IAsyncDisposable
{
    /// <summary>A queue has been declared, for the first time or again: what waits for it can be moved. Neither blocks nor throws.</summary>
    void QueueDeclared(MessageQueue queue);
}
