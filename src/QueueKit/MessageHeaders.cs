using System.Collections;
using System.Diagnostics.CodeAnalysis;

namespace QueueKit;

/// <summary>The application's headers of a message: names with values of the closed set of types of <see cref="HeaderValue"/>, in the order in which they were added.</summary>
/// <remarks>Filled by its owner, frozen when it is assigned to <see cref="Message.Headers"/>; from then on safe for any thread.</remarks>
[SuppressMessage("Naming", "CA1710:Identifiers should have correct suffix", Justification = "Headers is the field's word.")]
public sealed class MessageHeaders : IReadOnlyCollection<KeyValuePair<string, HeaderValue>>
{
    /// <summary>The most headers of one message.</summary>
    public const int MaxCount = 256;

    /// <summary>The longest name, in UTF-8 bytes.</summary>
    public const int MaxNameBytes = 255;

    /// <summary>The most that names and values of one message's headers take together, in bytes.</summary>
    public const int MaxTotalBytes = 64 * 1024;

    // A few entries: a scan beats a hash table up to about a dozen, and costs a third of the memory.
    private readonly List<KeyValuePair<string, HeaderValue>> _entries = [];
    private bool _frozen;

    internal static MessageHeaders Empty { get; } = CreateEmpty();

    /// <summary>The number of headers.</summary>
    public int Count => _entries.Count;

    // Names and values as they count in the size of a message.
    internal int Size { get; private set; }

    /// <summary>Gets a header, or sets one while the headers are not yet assigned to a message.</summary>
    /// <exception cref="KeyNotFoundException">On get: there is no header of that name; ask with <see cref="TryGetValue"/>.</exception>
    /// <exception cref="InvalidOperationException">On set: the headers already belong to a message.</exception>
    /// <exception cref="ArgumentException">On set: the name is empty or too long, the value has no type, a text contains half a surrogate pair, or one of the limits is exceeded.</exception>
    public HeaderValue this[string name]
    {
        get => TryGetValue(name, out HeaderValue value) ? value : throw new KeyNotFoundException($"The message has no header '{name}'.");
        set => Set(name, value);
    }

    /// <summary>Adds a header: for collection initialisers, the same as setting it.</summary>
    /// <inheritdoc cref="this" path="/exception"/>
    public void Add(string name, HeaderValue value) => Set(name, value);

    /// <summary>Gets the header called <paramref name="name"/> (ordinal, case-sensitive); false if there is none.</summary>
    public bool TryGetValue(string name, out HeaderValue value)
    {
        int index = IndexOf(name);
        value = index < 0 ? default : _entries[index].Value;
        return index >= 0;
    }

    /// <inheritdoc/>
    public IEnumerator<KeyValuePair<string, HeaderValue>> GetEnumerator() => _entries.GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    internal void Freeze() => _frozen = true;

    /// <summary>The same headers, not frozen.</summary>
    internal MessageHeaders Copy()
    {
        var copy = new MessageHeaders { Size = Size };
        copy._entries.AddRange(_entries);
        return copy;
    }

    private static MessageHeaders CreateEmpty()
    {
        var empty = new MessageHeaders();
        empty.Freeze();
        return empty;
    }

    private void Set(string name, HeaderValue value)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        if (_frozen)
            throw new InvalidOperationException("These headers belong to a message and cannot change: a message is immutable. Create new headers for a new message.");
        if (value.Kind == HeaderKind.None)
            throw new ArgumentException($"Header '{name}' has no value. Assign a string, bool, long, double, Guid, DateTimeOffset or bytes.", nameof(value));
        int nameBytes = Utf8Text.ByteCount(name, "A header name", nameof(name));
        if (nameBytes > MaxNameBytes)
            throw new ArgumentException($"The header name '{name[..32]}…' has {nameBytes} UTF-8 bytes; at most {MaxNameBytes} are allowed.", nameof(name));

        if (value.Kind == HeaderKind.String)
            Utf8Text.ByteCount((string)value, $"The value of header '{name}'", nameof(value));

        int index = IndexOf(name);
        long size = (long)Size + nameBytes + value.Size - (index < 0 ? 0 : nameBytes + _entries[index].Value.Size);
        if (size > MaxTotalBytes)
            throw new ArgumentException($"With header '{name}' the headers take {size} bytes; at most {MaxTotalBytes} are allowed. Put large data into the body.", nameof(value));
        if (index < 0 && _entries.Count == MaxCount)
            throw new ArgumentException($"A message has at most {MaxCount} headers; '{name}' would be one more.", nameof(name));

        var entry = KeyValuePair.Create(name, value);
        if (index < 0)
            _entries.Add(entry);
        else
            _entries[index] = entry;
        Size = (int)size;
    }

    private int IndexOf(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        for (int i = 0; i < _entries.Count; i++)
        {
            if (string.Equals(_entries[i].Key, name, StringComparison.Ordinal))
                return i;
        }
        return -1;
    }
}

/// <summary>The types a header value may have; part of the stored format.</summary>
[SuppressMessage("Naming", "CA1720:Identifier contains type name", Justification = "The kinds are types; their own names are the clearest.")]
public enum HeaderKind
{
    /// <summary>No value: the default of the struct, refused in headers.</summary>
    None = 0,
    /// <summary><see cref="string"/></summary>
    String = 1,
    /// <summary><see cref="bool"/></summary>
    Boolean = 2,
    /// <summary><see cref="long"/></summary>
    Int64 = 3,
    /// <summary><see cref="double"/></summary>
    Double = 4,
    /// <summary><see cref="System.Guid"/></summary>
    Guid = 5,
    /// <summary><see cref="System.DateTimeOffset"/>, offset included</summary>
    DateTimeOffset = 6,
    /// <summary>Bytes</summary>
    Bytes = 7,
}
