using System.Globalization;
using Microsoft.Extensions.Configuration;

namespace QueueKit.Hosting.Registration;

/// <summary>Reads options from a section of the configuration, key by key, and finds what cannot be read and what no option is called.</summary>
internal sealed class SectionReader(IConfigurationSection section)
{
    private readonly List<string> _problems = [];
    private readonly HashSet<string> _known = new(StringComparer.OrdinalIgnoreCase);

    public SectionReader Whole(string key, Action<int> set, string range) =>
        Value(key, $"a whole number, {range}", text => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int value) ? () => set(value) : null);

    /// <summary>Empty, "null" or "none": no limit.</summary>
    public SectionReader WholeOrNone(string key, Action<long?> set, string range, long largest = long.MaxValue) =>
        Value(key, $"a whole number, {range}, or \"none\"", text => IsNone(text) ? () => set(null)
            : long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long value) && value <= largest && value >= -largest ? () => set(value) : null);

    /// <summary>Reads a time. A number without colons would be days, and whoever writes 30 means seconds: zero is the only one taken.</summary>
    public static bool TryTime(string text, out TimeSpan value) =>
        TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out value) && (value == TimeSpan.Zero || text.Contains(':', StringComparison.Ordinal));

    public SectionReader Time(string key, Action<TimeSpan> set, string range) =>
        Value(key, $"a time such as 00:00:30, {range}", text => TryTime(text, out TimeSpan value) ? () => set(value) : null);

    public SectionReader TimeOrNone(string key, Action<TimeSpan?> set, string range) =>
        Value(key, $"a time such as 00:00:30, {range}, or \"none\"", text => IsNone(text) ? () => set(null)
            : TryTime(text, out TimeSpan value) ? () => set(value) : null);

    /// <summary>A name of the enum; several of them, with commas, only where they may be combined.</summary>
    public SectionReader OneOf<T>(string key, Action<T> set) where T : struct, Enum
    {
        bool mayBeSeveral = typeof(T).IsDefined(typeof(FlagsAttribute), inherit: false);
        return Value(key, $"{(mayBeSeveral ? "some" : "one")} of {string.Join(", ", Enum.GetNames<T>())}", text =>
            (mayBeSeveral || !text.Contains(',', StringComparison.Ordinal)) && Enum.TryParse(text, ignoreCase: true, out T value) && char.IsAsciiLetter(text.TrimStart()[0]) ? () => set(value) : null);
    }

    public SectionReader Number(string key, Action<double> set, string range) =>
        Value(key, $"a number, {range}", text => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double value) ? () => set(value) : null);

    public SectionReader YesOrNo(string key, Action<bool> set) =>
        Value(key, "true or false", text => bool.TryParse(text, out bool value) ? () => set(value) : null);

    public SectionReader Text(string key, Action<string> set) => Value(key, "a text", text => () => set(text));

    /// <summary>A section inside this one, of sections that are read elsewhere.</summary>
    public SectionReader Sections(string key, string what) => Inside(key, inner =>
    {
        if (inner.Value is { Length: > 0 } text)
            throw new QueueKitConfigurationException($"{inner.Path} is '{text}'; it must be a section of sections, by the names of the {what}.");
    });

    /// <summary>A section inside this one.</summary>
    public SectionReader Inside(string key, Action<IConfigurationSection> read)
    {
        _known.Add(key);
        IConfigurationSection inner = section.GetSection(key);
        if (!inner.Exists())
            return this;
        try
        {
            read(inner);
        }
        catch (QueueKitConfigurationException error)
        {
            _problems.Add(error.Message);
        }
        catch (ArgumentException error)
        {
            _problems.Add($"{inner.Path}: {QueueOptionsCheck.Words(error)}");
        }
        return this;
    }

    /// <exception cref="QueueKitConfigurationException">Something cannot be read, or is not known; the message lists all of it.</exception>
    public void End()
    {
        if (section.Value is { Length: > 0 } text)
            _problems.Add($"{section.Path} is '{text}'; it must be a section with some of {string.Join(", ", _known.Order(StringComparer.Ordinal))}.");
        foreach (IConfigurationSection child in section.GetChildren())
        {
            if (!_known.Contains(child.Key))
                _problems.Add($"{child.Path}: there is no such option. There are {string.Join(", ", _known.Order(StringComparer.Ordinal))}.");
        }
        if (_problems.Count > 0)
            throw new QueueKitConfigurationException(string.Join(Environment.NewLine, _problems));
    }

    private SectionReader Value(string key, string expected, Func<string, Action?> parse)
    {
        _known.Add(key);
        IConfigurationSection inner = section.GetSection(key);
        if (inner.Value is not { } text)
        {
            if (inner.Exists())
                _problems.Add($"{inner.Path} is a section; it must be {expected}.");
            return this;
        }
        if (parse(text) is { } set)
            set();
        else
            _problems.Add($"{inner.Path} is '{text}'; it must be {expected}.");
        return this;
    }

    private static bool IsNone(string text) => text.Length == 0 || text.Equals("none", StringComparison.OrdinalIgnoreCase) || text.Equals("null", StringComparison.OrdinalIgnoreCase);
}
