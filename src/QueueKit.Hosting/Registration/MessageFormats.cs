using System.Collections.Concurrent;

namespace QueueKit.Hosting.Registration;

/// <summary>The formats of a broker's messages: those that were given, and for every other type the broker's serializer.</summary>
internal sealed class MessageFormats
{
    private readonly ConcurrentDictionary<Type, object> _formats = new();

    public IMessageSerializer? Serializer { get; set; }

    public void Add<T>(MessageFormat<T> format) => _formats[typeof(T)] = format;

    public MessageFormat<T> Get<T>() => (MessageFormat<T>)_formats.GetOrAdd(typeof(T), static (type, formats) => formats.Create<T>(), this);

    private MessageFormat<T> Create<T>() => Serializer is { } serializer
        ? new MessageFormat<T>(serializer)
        : throw new InvalidOperationException(
            $"Nothing says how a {typeof(T)} becomes a message. Call UseJson(MyJson.Default) with a JsonSerializerContext that knows it, AddMessage<{typeof(T).Name}>(…), or UseSerializer(…) where QueueKit is added.");
}
