using System.Buffers;

namespace QueueKit;

/// <summary>Turns values into bodies of messages and back. Called from any thread, several at once.</summary>
public interface IMessageSerializer
{
    /// <summary>The MIME type of the bodies it writes, and the only one it reads.</summary>
    string ContentType { get; }

    /// <summary>Called once before the first value of <typeparamref name="T"/>: throws if it cannot handle the type, with a message that says what to do.</summary>
    /// <exception cref="InvalidOperationException">It has no way to write and read <typeparamref name="T"/>.</exception>
    void EnsureSupports<T>();

    /// <summary>Writes a value.</summary>
    void Serialize<T>(T value, IBufferWriter<byte> body);

    /// <summary>Reads a value. Whatever it throws means that the body cannot be read; null means so too.</summary>
    T? Deserialize<T>(ReadOnlySpan<byte> body);
}
