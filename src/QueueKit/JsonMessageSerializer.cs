using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace QueueKit;

/// <summary>Bodies in JSON, by System.Text.Json and, unless one asks for it, without reflection.</summary>
public sealed class JsonMessageSerializer : IMessageSerializer
{
    private readonly JsonSerializerOptions _options;

    /// <summary>Takes the types that a source-generated context knows.</summary>
    public JsonMessageSerializer(JsonSerializerContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        _options = context.Options;
    }

    /// <summary>Takes the types that the <see cref="JsonSerializerOptions.TypeInfoResolver"/> of <paramref name="options"/> knows; the options become read-only.</summary>
    /// <exception cref="ArgumentException">The options have no resolver.</exception>
    public JsonMessageSerializer(JsonSerializerOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.TypeInfoResolver is null)
            throw new ArgumentException("The options have no TypeInfoResolver: set it to a source-generated JsonSerializerContext, or take JsonMessageSerializer.UsingReflection.", nameof(options));
        options.MakeReadOnly();
        _options = options;
    }

    /// <summary>"application/json".</summary>
    public string ContentType => "application/json";

    /// <summary>Takes any type that System.Text.Json can find out about at run time: not for trimmed or natively compiled applications.</summary>
    /// <param name="options">Copied; null for the web defaults.</param>
    [RequiresUnreferencedCode("Reflection over the types of messages: take a source-generated JsonSerializerContext where code is trimmed.")]
    [RequiresDynamicCode("Reflection over the types of messages: take a source-generated JsonSerializerContext where code is compiled natively.")]
    public static JsonMessageSerializer UsingReflection(JsonSerializerOptions? options = null) =>
        new(new JsonSerializerOptions(options ?? JsonSerializerOptions.Web) { TypeInfoResolver = new DefaultJsonTypeInfoResolver() });

    /// <inheritdoc/>
    public void EnsureSupports<T>()
    {
        try
        {
            TypeInfo<T>();
        }
        catch (Exception error) when (error is NotSupportedException or InvalidOperationException)
        {
            throw new InvalidOperationException(
                $"There is no JSON metadata for {typeof(T)}. Add [JsonSerializable(typeof({typeof(T).Name}))] to the JsonSerializerContext, or take another serializer.", error);
        }
    }

    /// <inheritdoc/>
    public void Serialize<T>(T value, IBufferWriter<byte> body)
    {
        ArgumentNullException.ThrowIfNull(body);
        Serialize(value, body, TypeInfo<T>());
    }

    /// <inheritdoc/>
    public T? Deserialize<T>(ReadOnlySpan<byte> body) => JsonSerializer.Deserialize(body, TypeInfo<T>());

    internal static void Serialize<T>(T value, IBufferWriter<byte> body, JsonTypeInfo<T> typeInfo)
    {
        JsonSerializerOptions options = typeInfo.Options;
        Utf8JsonWriter writer = JsonWriterCache.Take(body, options);
        try
        {
            JsonSerializer.Serialize(writer, value, typeInfo);
            writer.Flush();
        }
        finally
        {
            JsonWriterCache.Return(writer, options);
        }
    }

    /// <summary>For whoever handles one type only and need not look it up each time.</summary>
    internal JsonTypeInfo<T> TypeInfo<T>() => (JsonTypeInfo<T>)_options.GetTypeInfo(typeof(T));

    // A writer costs more than most bodies: each thread keeps one for the options it used last.
    private static class JsonWriterCache
    {
        [ThreadStatic]
        private static Utf8JsonWriter? t_writer;

        [ThreadStatic]
        private static JsonSerializerOptions? t_options;

        public static Utf8JsonWriter Take(IBufferWriter<byte> body, JsonSerializerOptions options)
        {
            // Taken out while it is in use: a converter may itself send messages.
            Utf8JsonWriter? writer = ReferenceEquals(t_options, options) ? t_writer : null;
            t_writer = null;
            if (writer is null)
            {
                return new Utf8JsonWriter(body, new JsonWriterOptions
                {
                    Encoder = options.Encoder, Indented = options.WriteIndented, MaxDepth = options.MaxDepth, SkipValidation = true,
                });
            }
            writer.Reset(body);
            return writer;
        }

        public static void Return(Utf8JsonWriter writer, JsonSerializerOptions options)
        {
            // Nothing may keep the body alive, or reach it later.
            writer.Reset(Nowhere.Instance);
            (t_writer, t_options) = (writer, options);
        }
    }

    private sealed class Nowhere : IBufferWriter<byte>
    {
        public static readonly Nowhere Instance = new();

        public void Advance(int count) => throw new InvalidOperationException("The writer is not in use.");

        public Memory<byte> GetMemory(int sizeHint = 0) => throw new InvalidOperationException("The writer is not in use.");

        public Span<byte> GetSpan(int sizeHint = 0) => throw new InvalidOperationException("The writer is not in use.");
    }
}
