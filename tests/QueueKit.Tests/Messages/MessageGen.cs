using CsCheck;

namespace QueueKit.Tests.Messages;

/// <summary>Random messages: every property set or not, every type of header.</summary>
internal static class MessageGen
{
    public static readonly Gen<string> Text = Gen.OneOf("a", "Z", "0", " ", "\0", "\n", "é", "ß", "€", "中", "😀", "\uFFFD").Array[0, 12].Select(parts => string.Concat(parts));

    // Longer than one byte of a length says.
    private static readonly Gen<string> LongText = Gen.Int[120, 300].Select(length => new string('x', length));

    private static readonly Gen<string> AnyText = Gen.Frequency<string>((5, Text), (1, LongText));

    public static readonly Gen<DateTimeOffset> Utc =
        Gen.OneOf<long>(Gen.Long[0, DateTimeOffset.MaxValue.UtcTicks], Gen.OneOf(0L, DateTimeOffset.MaxValue.UtcTicks)).Select(ticks => new DateTimeOffset(ticks, TimeSpan.Zero));

    private static readonly Gen<DateTimeOffset> Time = Gen.Select(Gen.Int[-14 * 60, 14 * 60], Gen.Long[TimeSpan.TicksPerDay, DateTimeOffset.MaxValue.UtcTicks - TimeSpan.TicksPerDay])
        .Select((offset, ticks) => new DateTimeOffset(ticks, TimeSpan.Zero).ToOffset(TimeSpan.FromMinutes(offset)));

    public static readonly Gen<byte[]> Bytes = Gen.Byte.Array[0, 40];

    public static readonly Gen<HeaderValue> Header = Gen.OneOf<HeaderValue>(
        AnyText.Select(text => (HeaderValue)text),
        Gen.Bool.Select(value => (HeaderValue)value),
        Gen.OneOf<long>(Gen.Long, Gen.OneOf(long.MinValue, long.MaxValue, 0L)).Select(value => (HeaderValue)value),
        Gen.OneOf<double>(Gen.Double, Gen.OneOf(double.NaN, double.NegativeInfinity, double.PositiveInfinity, -0.0, double.Epsilon)).Select(value => (HeaderValue)value),
        Gen.Guid.Select(value => (HeaderValue)value),
        Time.Select(value => (HeaderValue)value),
        Bytes.Select(value => (HeaderValue)value));

    public static readonly Gen<MessageHeaders> Headers = Gen.Select(AnyNonEmpty(Text), Header).Array[0, 5].Select(entries =>
    {
        var headers = new MessageHeaders();
        foreach ((string name, HeaderValue value) in entries)
            headers[name] = value;
        return headers;
    });

    /// <summary>A message without a schedule, which a store keeps in the key.</summary>
    public static readonly Gen<Message> Message = Gen.Select(
        Bytes, Headers, Gen.Null(AnyText), Gen.Null(Text), Gen.Null(Text), Gen.Null(Text), Gen.Null(AnyText), Gen.Byte[0, QueueKit.Message.MaxPriority],
        (body, headers, messageId, correlationId, replyTo, contentType, type, priority) => new Message(body)
        {
            Headers = headers,
            MessageId = messageId,
            CorrelationId = correlationId,
            ReplyTo = replyTo,
            ContentType = contentType,
            Type = type,
            Priority = priority,
        });

    public static readonly Gen<DeadLetterInfo> DeadLetter = Gen.Select(
        Text, Gen.Enum<DeadLetterReasons>(), AnyText, Gen.Null(AnyText), Gen.Int, Gen.Null(AnyText), Gen.Long, Utc,
        (source, reason, description, details, attempts, error, sequence, at) => new DeadLetterInfo(source, reason, description, details, attempts, error, sequence, at));

    /// <summary>Everything about a message in lines: two are the same if these are.</summary>
    public static string Describe(Message message) => string.Join('\n',
        new[] { Convert.ToHexString(message.Body.Span), message.MessageId, message.CorrelationId, message.ReplyTo, message.ContentType, message.Type, $"{message.Priority}", $"{message.Delay}", $"{message.DueTime:O}", $"{message.Size}" }
            .Select(property => property is null ? "-" : $"'{property}'")
            .Concat(message.Headers.Select(header => $"{header.Key}: {header.Value.Kind} {Describe(header.Value)}")));

    private static string Describe(HeaderValue value) => value.Kind switch
    {
        HeaderKind.Double => $"{BitConverter.DoubleToInt64Bits((double)value):X}",
        HeaderKind.DateTimeOffset => $"{(DateTimeOffset)value:O}",
        _ => value.ToString(),
    };

    private static Gen<string> AnyNonEmpty(Gen<string> text) => text.Where(name => name.Length > 0);
}
