using System.Buffers;
using System.Text.Json.Serialization.Metadata;

namespace QueueKit.Typed;

/// <summary>Where a body grows while it is written: one buffer a thread, so that a message costs one array of exactly its size.</summary>
internal static class BodyBuffer
{
    private const int FirstCapacity = 1024;
    // A larger one is not kept: a rare large message must not occupy every thread for ever.
    private const int LargestKept = 64 * 1024;

    [ThreadStatic]
    private static ArrayBufferWriter<byte>? t_spare;

    /// <param name="serializer">Writes the value.</param>
    /// <param name="json">What it needs for that, if it writes JSON and that is known.</param>
    /// <param name="value">The value.</param>
    public static byte[] Serialize<T>(IMessageSerializer serializer, JsonTypeInfo<T>? json, T value)
    {
        // Taken out while it is in use: a serializer may itself send messages.
        ArrayBufferWriter<byte> buffer = t_spare ?? new ArrayBufferWriter<byte>(FirstCapacity);
        t_spare = null;
        if (json is null)
            serializer.Serialize(value, buffer);
        else
            JsonMessageSerializer.Serialize(value, buffer, json);
        byte[] body = buffer.WrittenSpan.ToArray();
        if (buffer.Capacity <= LargestKept)
        {
            buffer.ResetWrittenCount();
            t_spare = buffer;
        }
        return body;
    }
}
