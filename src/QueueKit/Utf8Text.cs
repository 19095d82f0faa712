using System.Text;

namespace QueueKit;

/// <summary>What may be a text in a queue's name or a message: whatever UTF-8, the form in which stores and wires carry it, gives back unchanged.</summary>
internal static class Utf8Text
{
    /// <summary>The length in UTF-8 bytes.</summary>
    /// <exception cref="ArgumentException">The text contains half a surrogate pair.</exception>
    public static int ByteCount(string text, string what, string parameter)
    {
        if (!IsWellFormed(text))
            throw new ArgumentException($"{what} contains half a surrogate pair and has no UTF-8 form: repair the text.", parameter);
        return Encoding.UTF8.GetByteCount(text);
    }

    private static bool IsWellFormed(ReadOnlySpan<char> text)
    {
        while (text.IndexOfAnyInRange('\uD800', '\uDFFF') is >= 0 and int at)
        {
            if (Rune.DecodeFromUtf16(text[at..], out _, out int length) != System.Buffers.OperationStatus.Done)
                return false;
            text = text[(at + length)..];
        }
        return true;
    }
}
