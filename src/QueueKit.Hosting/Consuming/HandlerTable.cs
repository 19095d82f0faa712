namespace QueueKit.Hosting.Consuming;

/// <summary>Which handler of a queue takes which message.</summary>
internal sealed class HandlerTable(IReadOnlyDictionary<string, Invoker> handlers, MessageQueue queue, bool continuesTraces)
{
    /// <summary>The reason with which a message is rejected that no handler takes.</summary>
    public const string NoHandlerReason = "no handler";

    // The only one takes every message: its format judges the type.
    private readonly Invoker? _only = handlers.Count == 1 ? handlers.Values.Single() : null;

    /// <summary>The handler of a message; null if there is none. One call, and no more: while somebody listens it is observed.</summary>
    public Invoker? Find(Message message)
    {
        Invoker? handler = _only ?? (message.Type is { } type ? handlers.GetValueOrDefault(type) : null);
        return handler is not null && queue.HasProcessListeners ? new ObservedInvoker(handler, queue, continuesTraces) : handler;
    }

    public Settlement Refuse(Message message)
    {
        string what = message.Type is { } type ? $"messages of type '{type}'" : "a message that states no type";
        string details = $"No handler of the queue takes {what}; there are handlers for {string.Join(", ", handlers.Keys.Order(StringComparer.Ordinal))}.";
        return Settlement.Reject(NoHandlerReason, details.Length <= Settlement.MaxTextLength ? details : details[..Settlement.MaxTextLength]);
    }
}
