namespace QueueKit;

/// <summary>One message: a body of bytes and what is said about it. Immutable: a broker never writes into it.</summary>
/// <remarks>
/// The body is not copied on its way through a queue. Until the message is settled its bytes must not change;
/// for a rented or reused buffer take <see cref="CopyOf"/>. Instances may be sent any number of times and from any thread.
/// </remarks>
public sealed class Message
{
    /// <summary>The longest <see cref="MessageId"/>, <see cref="CorrelationId"/>, <see cref="ReplyTo"/>, <see cref="ContentType"/> or <see cref="Type"/>, in UTF-8 bytes.</summary>
    public const int MaxPropertyBytes = 1024;

    /// <summary>The highest <see cref="Priority"/>.</summary>
    public const byte MaxPriority = 9;

    // Most messages are a body and nothing else: what is rare shares one lazy side object, so that they pay 8 bytes for it.
    private Properties? _properties;

    /// <summary>Creates a message around <paramref name="body"/>, which is not copied and must not change until the message is settled.</summary>
    public Message(ReadOnlyMemory<byte> body) => Body = body;

    /// <summary>Creates a message around <paramref name="body"/>, which is not copied and must not change until the message is settled.</summary>
    /// <exception cref="ArgumentNullException">There is no body; for an empty one pass an empty array.</exception>
    public Message(byte[] body)
    {
        ArgumentNullException.ThrowIfNull(body);
        Body = body;
    }

    // Copies everything but the schedule: a dead letter is not delayed again.
    internal Message(Message other)
    {
        Body = other.Body;
        _properties = other._properties?.WithoutSchedule();
    }

    // Shares everything said about another message: typed messages say the same of each.
    internal Message(ReadOnlyMemory<byte> body, Message properties)
    {
        Body = body;
        _properties = properties._properties;
    }

    // The same message with other headers.
    internal Message(Message other, MessageHeaders headers)
    {
        headers.Freeze();
        Body = other.Body;
        _properties = other._properties?.Copy() ?? new Properties();
        _properties.Size += headers.Size - other.Headers.Size;
        _properties.Headers = headers;
    }

    /// <summary>Creates a message with a copy of <paramref name="body"/>: for rented or reused buffers.</summary>
    public static Message CopyOf(ReadOnlySpan<byte> body) => new(body.ToArray());

    /// <summary>The body.</summary>
    public ReadOnlyMemory<byte> Body { get; }

    /// <summary>Application headers; empty by default. Assigning them freezes them.</summary>
    /// <exception cref="ArgumentNullException">The value is null.</exception>
    public MessageHeaders Headers
    {
        get => _properties?.Headers ?? MessageHeaders.Empty;
        init
        {
            ArgumentNullException.ThrowIfNull(value);
            if (value.Count == 0)
                return;
            value.Freeze();
            Rare.Headers = value;
            Rare.Size += value.Size;
        }
    }

    /// <summary>The application's own id of the message, or null. At most <see cref="MaxPropertyBytes"/>, like every text property.</summary>
    /// <exception cref="ArgumentException">The value is longer than <see cref="MaxPropertyBytes"/>, or contains half a surrogate pair.</exception>
    public string? MessageId { get => _properties?.MessageId; init => SetText(value, nameof(MessageId), static (rare, text) => rare.MessageId = text); }

    /// <summary>Ties this message to another one, for example a reply to its request; or null.</summary>
    /// <inheritdoc cref="MessageId" path="/exception"/>
    public string? CorrelationId { get => _properties?.CorrelationId; init => SetText(value, nameof(CorrelationId), static (rare, text) => rare.CorrelationId = text); }

    /// <summary>The queue to which a reply should be sent, or null.</summary>
    /// <inheritdoc cref="MessageId" path="/exception"/>
    public string? ReplyTo { get => _properties?.ReplyTo; init => SetText(value, nameof(ReplyTo), static (rare, text) => rare.ReplyTo = text); }

    /// <summary>The MIME type of the body, or null.</summary>
    /// <inheritdoc cref="MessageId" path="/exception"/>
    public string? ContentType { get => _properties?.ContentType; init => SetText(value, nameof(ContentType), static (rare, text) => rare.ContentType = text); }

    /// <summary>The application's name for the kind of message, or null.</summary>
    /// <inheritdoc cref="MessageId" path="/exception"/>
    public string? Type { get => _properties?.Type; init => SetText(value, nameof(Type), static (rare, text) => rare.Type = text); }

    /// <summary>0 (the default, lowest) to <see cref="MaxPriority"/>. Strict: a ready message of a higher priority is always delivered first.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is above <see cref="MaxPriority"/>.</exception>
    public byte Priority
    {
        get => _properties?.Priority ?? 0;
        init
        {
            ArgumentOutOfRangeException.ThrowIfGreaterThan(value, MaxPriority, nameof(Priority));
            if (value != 0)
                Rare.Priority = value;
        }
    }

    /// <summary>How long after its admission the message becomes deliverable; null or zero for at once. Not together with <see cref="DueTime"/>.</summary>
    /// <remarks>Becomes a due time the moment the queue admits the message. A delayed message counts in the queue's limits.
    /// Once due it takes the place of its sequence number: ahead of what was admitted after it.</remarks>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    /// <exception cref="ArgumentException"><see cref="DueTime"/> is set too.</exception>
    public TimeSpan? Delay
    {
        get => _properties?.Delay;
        init
        {
            if (value is not { } delay)
                return;
            ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero, nameof(Delay));
            Rare.Delay = delay;
            Rare.RefuseTwoSchedules();
        }
    }

    /// <summary>The wall-clock time at which the message becomes deliverable; null, or a time that has passed, for at once. Not together with <see cref="Delay"/>.</summary>
    /// <exception cref="ArgumentException"><see cref="Delay"/> is set too.</exception>
    public DateTimeOffset? DueTime
    {
        get => _properties?.DueTime;
        init
        {
            if (value is not { } due)
                return;
            Rare.DueTime = due;
            Rare.RefuseTwoSchedules();
        }
    }

    /// <summary>What the message counts in <see cref="QueueOptions.MaxBytes"/> and <see cref="MessageBrokerOptions.MaxMessageBytes"/>: body, text properties and headers, in bytes.</summary>
    public long Size => Body.Length + (_properties?.Size ?? 0L);

    internal bool HasProperties => _properties is not null;

    internal bool IsScheduled => _properties is { IsScheduled: true };

    /// <summary>Whether a queue may put it behind all others that it has: nothing is said about its time or its priority.</summary>
    internal bool IsPlain => _properties is not { IsPlain: false };

    private Properties Rare => _properties ??= new Properties();

    // A null leaves the message without the side object.
    private void SetText(string? value, string name, Action<Properties, string> set)
    {
        if (value is null)
            return;
        int bytes = Utf8Text.ByteCount(value, name, name);
        if (bytes > MaxPropertyBytes)
            throw new ArgumentException($"{name} has {bytes} UTF-8 bytes; at most {MaxPropertyBytes} are allowed. Put longer text into the body or a header.", name);
        set(Rare, value);
        Rare.Size += bytes;
    }

    private sealed class Properties
    {
        public MessageHeaders? Headers;
        public string? MessageId;
        public string? CorrelationId;
        public string? ReplyTo;
        public string? ContentType;
        public string? Type;
        public TimeSpan? Delay;
        public DateTimeOffset? DueTime;
        public byte Priority;
        public int Size;

        public bool IsScheduled => Delay > TimeSpan.Zero || DueTime is not null;

        public bool IsPlain => Priority == 0 && !IsScheduled;

        public Properties Copy() => (Properties)MemberwiseClone();

        public Properties WithoutSchedule()
        {
            Properties copy = Copy();
            copy.Delay = null;
            copy.DueTime = null;
            return copy;
        }

        public void RefuseTwoSchedules()
        {
            if (Delay is not null && DueTime is not null)
                throw new ArgumentException("A message has either a Delay or a DueTime, not both: remove one of them.", nameof(Delay));
        }
    }
}
