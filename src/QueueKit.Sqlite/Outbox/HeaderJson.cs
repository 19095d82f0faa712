using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace QueueKit.Sqlite.Outbox;

/// <summary>Headers as a JSON object: texts, truth values and numbers as they are, what JSON has no word for as an object of one member.</summary>
/// <remarks>
/// <c>{"tenant": "a", "urgent": true, "lines": 3, "price": 3.0, "order": {"guid": "…"}, "at": {"time": "…"}, "key": {"bytes": "base64"}}</c>:
/// a number with a point or an exponent is a double, one without a whole number; <c>{"double": "NaN"}</c> is one that JSON cannot write.
/// </remarks>
internal static class HeaderJson
{
    public static string? Write(MessageHeaders headers)
    {
        if (headers.Count == 0)
            return null;
        var buffer = new ArrayBufferWriter<byte>(256);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            foreach ((string name, HeaderValue value) in headers)
            {
                json.WritePropertyName(name);
                Write(json, value);
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    /// <exception cref="FormatException">It is no JSON object of values that a header can have; the message says which.</exception>
    /// <exception cref="ArgumentException">A name or a value is not allowed.</exception>
    public static MessageHeaders Read(ReadOnlyMemory<byte> utf8)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(utf8);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
                throw new FormatException("The headers are no JSON object.");
            var headers = new MessageHeaders();
            foreach (JsonProperty header in document.RootElement.EnumerateObject())
                headers[header.Name] = Read(header.Name, header.Value);
            return headers;
        }
        catch (JsonException error)
        {
            throw new FormatException($"The headers are no JSON: {error.Message}", error);
        }
        catch (InvalidOperationException error)
        {
            // Half a surrogate pair: JSON can write it, a text cannot be it.
            throw new FormatException($"The headers contain what is no text: {error.Message}", error);
        }
    }

    private static void Write(Utf8JsonWriter json, HeaderValue value)
    {
        switch (value.Kind)
        {
            case HeaderKind.String:
                json.WriteStringValue((string)value);
                break;
            case HeaderKind.Boolean:
                json.WriteBooleanValue((bool)value);
                break;
            case HeaderKind.Int64:
                json.WriteNumberValue((long)value);
                break;
            case HeaderKind.Double when double.IsFinite((double)value):
                string digits = ((double)value).ToString("R", CultureInfo.InvariantCulture);
                json.WriteRawValue(IsDouble(digits) ? digits : digits + ".0");
                break;
            case HeaderKind.Double:
                WriteOne(json, "double", ((double)value).ToString("R", CultureInfo.InvariantCulture));
                break;
            case HeaderKind.Guid:
                WriteOne(json, "guid", ((Guid)value).ToString());
                break;
            case HeaderKind.DateTimeOffset:
                WriteOne(json, "time", ((DateTimeOffset)value).ToString("O", CultureInfo.InvariantCulture));
                break;
            default:
                WriteOne(json, "bytes", Convert.ToBase64String(((ReadOnlyMemory<byte>)value).Span));
                break;
        }
    }

    private static void WriteOne(Utf8JsonWriter json, string kind, string value)
    {
        json.WriteStartObject();
        json.WriteString(kind, value);
        json.WriteEndObject();
    }

    private static HeaderValue Read(string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.True => true,
        JsonValueKind.False => false,
        JsonValueKind.Number when IsDouble(value.GetRawText()) => value.GetDouble(),
        JsonValueKind.Number when value.TryGetInt64(out long number) => number,
        JsonValueKind.Object when value.EnumerateObject().ToArray() is [{ Value.ValueKind: JsonValueKind.String } only] => ReadOne(name, only.Name, only.Value.GetString()!),
        _ => throw new FormatException($"Header '{name}' is neither a text, a truth value, a number of 64 bits nor one of {{\"guid\": …}}, {{\"time\": …}}, {{\"bytes\": …}}, {{\"double\": …}}."),
    };

    private static HeaderValue ReadOne(string name, string kind, string value) => kind switch
    {
        "double" when double.TryParse(value, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) => number,
        "guid" when Guid.TryParse(value, CultureInfo.InvariantCulture, out Guid guid) => guid,
        "time" when DateTimeOffset.TryParse(value, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.RoundtripKind, out DateTimeOffset time) => time,
        "bytes" when TryReadBytes(value, out byte[] bytes) => bytes,
        _ => throw new FormatException($"Header '{name}' has {{\"{kind}\": …}}, which cannot be read."),
    };

    private static bool TryReadBytes(string base64, out byte[] bytes)
    {
        bytes = new byte[(base64.Length * 3 / 4) + 3];
        bool isRight = Convert.TryFromBase64String(base64, bytes, out int length);
        Array.Resize(ref bytes, length);
        return isRight;
    }

    private static bool IsDouble(string digits) => digits.AsSpan().ContainsAny(".eE");
}
