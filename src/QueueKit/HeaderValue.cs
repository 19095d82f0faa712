using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;

namespace QueueKit;

/// <summary>A header's value: one of the closed set of types that survive a store and a wire unchanged. Assign a value of such a type; cast back to read it.</summary>
[SuppressMessage("Usage", "CA2225:Operator overloads have named alternates", Justification = "The As… methods are the named way out, the constructors' types the way in.")]
public readonly struct HeaderValue : IEquatable<HeaderValue>
{
    // Numbers live in _bits; the rest, boxed where it must be, in _object. One value costs no allocation unless it is a Guid or a time.
    private readonly object? _object;
    private readonly long _bits;

    private HeaderValue(HeaderKind kind, object? value, long bits = 0)
    {
        Kind = kind;
        _object = value;
        _bits = bits;
    }

    /// <summary>The value's type.</summary>
    public HeaderKind Kind { get; }

    /// <summary>The value as an object of its own type (bytes as <see cref="ReadOnlyMemory{T}"/>); null for the default value.</summary>
    public object? Value => Kind switch
    {
        HeaderKind.None => null,
        HeaderKind.Boolean => _bits != 0,
        HeaderKind.Int64 => _bits,
        HeaderKind.Double => BitConverter.Int64BitsToDouble(_bits),
        HeaderKind.Bytes => (ReadOnlyMemory<byte>)(byte[])_object!,
        _ => _object,
    };

    internal int Size => Kind switch
    {
        HeaderKind.String => Encoding.UTF8.GetByteCount((string)_object!),
        HeaderKind.Bytes => ((byte[])_object!).Length,
        HeaderKind.Guid => 16,
        HeaderKind.DateTimeOffset => 10,
        HeaderKind.Boolean => 1,
        _ => 8,
    };

    /// <summary>A text.</summary>
    public static implicit operator HeaderValue(string value) => new(HeaderKind.String, value ?? throw new ArgumentNullException(nameof(value)));

    /// <summary>A truth value.</summary>
    public static implicit operator HeaderValue(bool value) => new(HeaderKind.Boolean, null, value ? 1 : 0);

    /// <summary>A whole number.</summary>
    public static implicit operator HeaderValue(long value) => new(HeaderKind.Int64, null, value);

    /// <summary>A floating-point number.</summary>
    public static implicit operator HeaderValue(double value) => new(HeaderKind.Double, null, BitConverter.DoubleToInt64Bits(value));

    /// <summary>A <see cref="Guid"/>.</summary>
    public static implicit operator HeaderValue(Guid value) => new(HeaderKind.Guid, value);

    /// <summary>A time with its offset.</summary>
    public static implicit operator HeaderValue(DateTimeOffset value) => new(HeaderKind.DateTimeOffset, value);

    /// <summary>Bytes, which are copied.</summary>
    public static implicit operator HeaderValue(byte[] value) => new(HeaderKind.Bytes, (value ?? throw new ArgumentNullException(nameof(value))).Clone());

    /// <summary>Reads a text.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator string(HeaderValue value) => (string)value.As(HeaderKind.String);

    /// <summary>Reads a truth value.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator bool(HeaderValue value) => (bool)value.As(HeaderKind.Boolean);

    /// <summary>Reads a whole number.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator long(HeaderValue value) => (long)value.As(HeaderKind.Int64);

    /// <summary>Reads a floating-point number.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator double(HeaderValue value) => (double)value.As(HeaderKind.Double);

    /// <summary>Reads a <see cref="Guid"/>.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator Guid(HeaderValue value) => (Guid)value.As(HeaderKind.Guid);

    /// <summary>Reads a time.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator DateTimeOffset(HeaderValue value) => (DateTimeOffset)value.As(HeaderKind.DateTimeOffset);

    /// <summary>Reads bytes.</summary>
    /// <exception cref="InvalidCastException">The value has another type; see <see cref="Kind"/>.</exception>
    public static explicit operator ReadOnlyMemory<byte>(HeaderValue value) => (ReadOnlyMemory<byte>)value.As(HeaderKind.Bytes);

    /// <summary>Whether both have the same type and the same value.</summary>
    public static bool operator ==(HeaderValue left, HeaderValue right) => left.Equals(right);

    /// <summary>Whether type or value differ.</summary>
    public static bool operator !=(HeaderValue left, HeaderValue right) => !left.Equals(right);

    /// <inheritdoc/>
    public bool Equals(HeaderValue other) => Kind == other.Kind && Kind switch
    {
        HeaderKind.Bytes => ((byte[])_object!).AsSpan().SequenceEqual((byte[])other._object!),
        HeaderKind.DateTimeOffset => ((DateTimeOffset)_object!).EqualsExact((DateTimeOffset)other._object!),
        _ => _bits == other._bits && Equals(_object, other._object),
    };

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is HeaderValue other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Kind, _bits, _object is byte[] bytes ? bytes.Length : _object?.GetHashCode() ?? 0);

    /// <summary>The value as text (bytes as hexadecimal digits), invariant culture.</summary>
    public override string ToString() => Kind == HeaderKind.Bytes ? Convert.ToHexString((byte[])_object!) : Convert.ToString(Value, CultureInfo.InvariantCulture) ?? "";

    private object As(HeaderKind kind) => Kind == kind
        ? Value!
        : throw new InvalidCastException($"The header value is a {Kind}, not a {kind}: look at Kind first.");
}
