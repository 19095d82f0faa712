using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using QueueKit.Typed;

namespace QueueKit;

/// <summary>How values of one type become messages and are read from them: a serializer, and the <see cref="Message.Type"/> that the messages carry. Immutable; safe for any thread.</summary>
public sealed class MessageFormat<T>
{
    /// <summary>The reason with which a message that cannot be read is rejected.</summary>
    public const string UnreadableReason = "unreadable";

    private readonly IMessageSerializer _serializer;
    // Of the serializer for JSON: finding it, and a generic method of an interface, take a tenth of the time of a small body.
    private readonly JsonTypeInfo<T>? _json;
    // What all messages without options have in common; they share it.
    private readonly Message _template;

    /// <summary>JSON by source-generated metadata.</summary>
    /// <param name="typeInfo">For example <c>OrderJson.Default.Order</c>.</param>
    /// <param name="type">The <see cref="Message.Type"/>; null for the type's name with its namespace. Give one where messages outlive a renaming.</param>
    public MessageFormat(JsonTypeInfo<T> typeInfo, string? type = null)
        : this(new JsonMessageSerializer((typeInfo ?? throw new ArgumentNullException(nameof(typeInfo))).Options), type) { }

    /// <summary>Whatever the serializer writes.</summary>
    /// <inheritdoc cref="MessageFormat{T}(JsonTypeInfo{T}, string?)" path="/param[@name='type']"/>
    /// <exception cref="InvalidOperationException">The serializer cannot handle <typeparamref name="T"/>.</exception>
    public MessageFormat(IMessageSerializer serializer, string? type = null)
    {
        ArgumentNullException.ThrowIfNull(serializer);
        serializer.EnsureSupports<T>();
        _serializer = serializer;
        _json = (serializer as JsonMessageSerializer)?.TypeInfo<T>();
        Type = type ?? DefaultType;
        _template = new Message(ReadOnlyMemory<byte>.Empty) { ContentType = serializer.ContentType, Type = Type };
    }

    /// <summary>The <see cref="Message.Type"/> of the messages.</summary>
    public string Type { get; }

    /// <summary>The <see cref="Message.ContentType"/> of the messages.</summary>
    public string ContentType => _serializer.ContentType;

    // Without versions of assemblies, which Type.FullName has for generic types: messages outlive those.
    private static string DefaultType { get; } = typeof(T).ToString();

    /// <summary>A message that holds <paramref name="value"/>. Whatever the serializer throws is the caller's to see.</summary>
    /// <exception cref="ArgumentNullException">There is no value.</exception>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public Message Write(T value, SendOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(value);
        byte[] body = BodyBuffer.Serialize(_serializer, _json, value);
        if (options is null)
            return new Message(body, _template);
        return new Message(body)
        {
            ContentType = ContentType,
            Type = Type,
            MessageId = options.MessageId,
            CorrelationId = options.CorrelationId,
            ReplyTo = options.ReplyTo,
            Priority = options.Priority,
            Delay = options.Delay,
            DueTime = options.DueTime,
            Headers = options.Headers ?? MessageHeaders.Empty,
        };
    }

    /// <summary>Reads the value of a message. If it cannot be read, says how to give the message up: rejected as <see cref="UnreadableReason"/> with the cause in its details.</summary>
    /// <remarks>A message that states no type or no content type is taken at its body's word.</remarks>
    public bool TryRead(Message message, [MaybeNullWhen(false)] out T value, out Settlement rejection)
    {
        ArgumentNullException.ThrowIfNull(message);
        value = default;
        if (!IsSameMediaType(message.ContentType, ContentType))
        {
            rejection = Unreadable($"The content type is '{message.ContentType}'; '{ContentType}' is expected.");
            return false;
        }
        if (message.Type is { } type && !string.Equals(type, Type, StringComparison.Ordinal))
        {
            rejection = Unreadable($"The type is '{type}'; '{Type}' is expected.");
            return false;
        }
        try
        {
            value = _json is null ? _serializer.Deserialize<T>(message.Body.Span) : JsonSerializer.Deserialize(message.Body.Span, _json);
        }
#pragma warning disable CA1031 // Whatever a serializer throws at a body is the body's trouble: it goes with the message, and the next one is read.
        catch (Exception error)
#pragma warning restore CA1031
        {
            rejection = Unreadable($"{error.GetType()}: {error.Message}");
            return false;
        }
        rejection = default;
        if (value is not null)
            return true;
        rejection = Unreadable("The body is null.");
        return false;
    }

    private static Settlement Unreadable(string details) =>
        Settlement.Reject(UnreadableReason, details.Length <= Settlement.MaxTextLength ? details : details[..Settlement.MaxTextLength]);

    // Parameters, as in "application/json; charset=utf-8", are the serializer's to find out.
    private static bool IsSameMediaType(string? actual, string expected)
    {
        if (actual is null || string.Equals(actual, expected, StringComparison.OrdinalIgnoreCase))
            return true;
        return MediaType(actual).Equals(MediaType(expected), StringComparison.OrdinalIgnoreCase);
    }

    private static ReadOnlySpan<char> MediaType(string contentType)
    {
        int end = contentType.IndexOf(';', StringComparison.Ordinal);
        return (end < 0 ? contentType : contentType.AsSpan(0, end)).Trim();
    }
}
