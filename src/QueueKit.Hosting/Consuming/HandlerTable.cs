namespace QueueKit.Hosting.Consuming;

/// <summary>Which handler of a queue takes which message.</summary>
internal sealed class HandlerTable(IReadOnlyDictionary<string, Invoker> handlers)
{
    /// <summary>The reason with which a message is rejected that no handler takes.</summary>
    public const string NoHandlerReason = "no handler";

    // The only one takes every message: its format judges the type.
    private readonly Invoker? _only = handlers.Count == 1 ? handlers.Values.Single() : null;

    public Invoker? Find(Message message) =>
        _only ?? (message.Type is { } type && handlers.TryGetValue(type, out Invoker? handler) ? handler : null);

    public Settlement Refuse(Message message)
    {
        string what = message.Type is { } type ? $"messages of type '{type}'" : "a message that states no type";
        string details = $"No handler of the queue takes {what}; there are handlers for {string.Join(", ", handlers.Keys.Order(StringComparer.Ordinal))}.";
        return Settlement.Reject(NoHandlerReason, details.Length <= Settlement.MaxTextLength ? details : details[..Settlement.MaxTextLength]);
    }
}
