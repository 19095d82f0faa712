namespace QueueKit;

/// <summary>What may be a queue's name: 1 to 255 UTF-8 bytes, no control characters, no white space at either end.</summary>
internal static class QueueName
{
    public const int MaxBytes = 255;

    public static void Validate(string name, string what)
    {
        ArgumentNullException.ThrowIfNull(name);
        if (name.Length == 0)
            throw new ArgumentException($"{what} is empty: give the queue a name.", nameof(name));
        if (char.IsWhiteSpace(name[0]) || char.IsWhiteSpace(name[^1]))
            throw new ArgumentException($"{what} '{name}' begins or ends with white space: trim it.", nameof(name));
        if (name.Any(char.IsControl))
            throw new ArgumentException($"{what} contains a control character: take letters, digits and punctuation.", nameof(name));
        int bytes = Utf8Text.ByteCount(name, what, nameof(name));
        if (bytes > MaxBytes)
            throw new ArgumentException($"{what} '{name[..32]}…' has {bytes} UTF-8 bytes; at most {MaxBytes} are allowed.", nameof(name));
    }
}
