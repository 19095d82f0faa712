using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace QueueKit.Stores;

/// <summary>A queue in a store: its name and options, under its id. JSON: a person with the engine's own tool can read it, and an option added later is simply absent in older ones.</summary>
internal sealed record QueueRecord
{
    // The last field is the checksum, whatever options a newer version adds before it:
    //
    //  {"Format":1,"Name":"orders", … ,"Checksum":"0A1B2C3D"}
    //
    //  It is CRC-32C, as eight hexadecimal digits, over everything before the comma in front of it, and then the key.
    private const int ChecksumFieldLength = 23;

    public int Format { get; init; } = 1;
    public required string Name { get; init; }
    // Whether the queue is deleted, and only what it has left in the store is still to be removed.
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    public bool Deleted { get; init; }
    public Durability Durability { get; init; }
    public OverflowPolicy Overflow { get; init; }
    public long? MaxMessages { get; init; }
    public long? MaxBytes { get; init; }
    public long? MaxBufferedMessages { get; init; }
    public long? MaxBufferedBytes { get; init; }
    public OverflowPolicy BufferOverflow { get; init; }
    public TimeSpan? BackpressureTimeout { get; init; }
    public TimeSpan LeaseDuration { get; init; }
    public TimeSpan MaxLeaseDuration { get; init; }
    public int? MaxAttempts { get; init; }
    public RetryDelayKind RetryKind { get; init; }
    public TimeSpan[] RetrySteps { get; init; } = [];
    public TimeSpan RetryMax { get; init; }
    public double RetryJitter { get; init; }
    public string? DeadLetterQueue { get; init; }
    public DeadLetterReasons DeadLetterOn { get; init; }

    public static StoreKey KeyOf(uint queue) => new(StoreKind.Queue, queue, 0, 0, 0, 0);

    public static byte[] Encode(uint queue, string name, QueueOptions options) => Seal(Serialize(name, options), KeyOf(queue));

    /// <summary>Says that a queue is deleted: its record is the last thing of it that goes.</summary>
    public static byte[] EncodeDeleted(uint queue, string name) =>
        Seal(JsonSerializer.SerializeToUtf8Bytes(new QueueRecord { Name = name, Deleted = true }, QueueRecordJson.Default.QueueRecord), KeyOf(queue));

    /// <summary>Whether a record says that its queue is deleted. One that cannot be read does not.</summary>
    public static bool IsDeleted(StoreRecord record)
    {
        try
        {
            // Of all the others it is known at once; in a name the quotation marks would be escaped.
            return record.Head.Span.IndexOf("\"Deleted\":true"u8) >= 0 && IsRight(record) && JsonSerializer.Deserialize(record.Head.Span, QueueRecordJson.Default.QueueRecord) is { Deleted: true };
        }
        catch (JsonException)
        {
            // Whoever reads it says what is wrong with it.
            return false;
        }
    }

    /// <summary>Adds the checksum to a JSON object as its last field.</summary>
    public static byte[] Seal(ReadOnlySpan<byte> json, in StoreKey key)
    {
        ReadOnlySpan<byte> open = json[..^1];
        byte[] value = new byte[open.Length + ChecksumFieldLength];
        open.CopyTo(value);
        WriteChecksumField(open, key, value.AsSpan(open.Length));
        return value;
    }

    private static void WriteChecksumField(ReadOnlySpan<byte> open, in StoreKey key, Span<byte> into)
    {
        ReadOnlySpan<byte> before = ",\"Checksum\":\""u8;
        before.CopyTo(into);
        RecordChecksum.Add(RecordChecksum.Add(0, open), key).TryFormat(into[before.Length..], out int digits, "X8", CultureInfo.InvariantCulture);
        "\"}"u8.CopyTo(into[(before.Length + digits)..]);
    }

    private static byte[] Serialize(string name, QueueOptions options) => JsonSerializer.SerializeToUtf8Bytes(
        new QueueRecord
        {
            Name = name,
            Durability = options.Durability,
            Overflow = options.Overflow,
            MaxMessages = options.MaxMessages,
            MaxBytes = options.MaxBytes,
            MaxBufferedMessages = options.MaxBufferedMessages,
            MaxBufferedBytes = options.MaxBufferedBytes,
            BufferOverflow = options.BufferOverflow,
            BackpressureTimeout = options.BackpressureTimeout,
            LeaseDuration = options.LeaseDuration,
            MaxLeaseDuration = options.MaxLeaseDuration,
            MaxAttempts = options.MaxAttempts,
            RetryKind = options.RetryDelay.Kind,
            RetrySteps = [.. options.RetryDelay.Steps],
            RetryMax = options.RetryDelay.Max,
            RetryJitter = options.RetryDelay.Jitter,
            DeadLetterQueue = options.DeadLetterQueue,
            DeadLetterOn = options.DeadLetterOn,
        },
        QueueRecordJson.Default.QueueRecord);

    /// <summary>Whether a record is what was written under its key.</summary>
    public static bool IsRight(in StoreRecord record)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (value.Length <= ChecksumFieldLength)
            return false;
        Span<byte> field = stackalloc byte[ChecksumFieldLength];
        WriteChecksumField(value[..^ChecksumFieldLength], record.Key, field);
        return value[^ChecksumFieldLength..].SequenceEqual(field);
    }

    /// <summary>Reads of a record that is right only whose it is; false if it does not begin as this version writes it.</summary>
    /// <param name="record">The record.</param>
    /// <param name="name">The queue's name.</param>
    /// <param name="options">What stands behind it and before the checksum: where that is the same, so are the options.</param>
    public static bool TryReadName(in StoreRecord record, [NotNullWhen(true)] out string? name, out ReadOnlySpan<byte> options)
    {
        ReadOnlySpan<byte> begin = "{\"Format\":1,\"Name\":"u8;
        name = null;
        options = default;
        if (!IsRight(record) || !record.Head.Span.StartsWith(begin))
            return false;
        ReadOnlySpan<byte> rest = record.Head.Span[begin.Length..^ChecksumFieldLength];
        try
        {
            var reader = new Utf8JsonReader(rest);
            if (!reader.Read() || reader.TokenType != JsonTokenType.String)
                return false;
            name = reader.GetString()!;
            options = rest[(int)reader.BytesConsumed..];
            return true;
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // Whoever reads the whole of it says what is wrong.
            return false;
        }
    }

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not a queue, of a newer format, or with options that no queue can have.</exception>
    public static (string Name, QueueOptions Options) Decode(in StoreRecord record)
    {
        ReadOnlySpan<byte> value = record.Head.Span;
        if (!IsRight(record))
            throw new StoreException(StoreFault.Unreadable, $"The stored options of queue {record.Key.Queue} are damaged: their checksum does not match their content and key. Restore the store from a backup.") { IsRepairable = true };
        int? format;
        try
        {
            QueueRecord? queue = JsonSerializer.Deserialize(value, QueueRecordJson.Default.QueueRecord);
            if (queue is { Format: 1 })
                return (queue.Name, queue.ToOptions());
            format = queue?.Format;
        }
        catch (Exception error) when (error is JsonException or ArgumentException)
        {
            throw new StoreException(StoreFault.Unreadable, $"The stored options of queue {record.Key.Queue} are damaged ({error.Message}). Restore the store from a backup.", innerException: error);
        }
        throw new StoreException(StoreFault.Unreadable, $"The stored options of queue {record.Key.Queue} have format {format}; this version of QueueKit reads format 1. Open the store with a newer version.");
    }

    // Validated as in a declaration: the checksum says that it is what was written, not that a queue can be so.
    private QueueOptions ToOptions()
    {
        if (RetrySteps is not { Length: > 0 } && RetryKind != RetryDelayKind.None)
            throw new JsonException("RetrySteps is empty.");
        var options = new QueueOptions
        {
            Durability = Durability,
            Overflow = Overflow,
            MaxMessages = MaxMessages,
            MaxBytes = MaxBytes,
            MaxBufferedMessages = MaxBufferedMessages,
            MaxBufferedBytes = MaxBufferedBytes,
            BufferOverflow = BufferOverflow,
            BackpressureTimeout = BackpressureTimeout,
            LeaseDuration = LeaseDuration,
            MaxLeaseDuration = MaxLeaseDuration,
            MaxAttempts = MaxAttempts,
            RetryDelay = RetryKind switch
            {
                RetryDelayKind.None => RetryDelay.None,
                RetryDelayKind.Constant => RetryDelay.Constant(RetrySteps[0]),
                RetryDelayKind.Exponential => RetryDelay.Exponential(RetrySteps[0], RetryMax, RetryJitter),
                _ => RetryDelay.List(RetrySteps),
            },
            DeadLetterQueue = DeadLetterQueue,
            DeadLetterOn = DeadLetterOn,
        };
        QueueName.Validate(Name, "The queue's name");
        options.Validate(Name);
        return options;
    }
}

/// <summary>Reads the records of queues one after the other. Most queues of an application are declared alike: the options that were read last are not read, and not made, again.</summary>
internal sealed class QueueRecordReader
{
    private byte[] _lastRead = [];
    private QueueOptions? _lastOptions;

    /// <inheritdoc cref="QueueRecord.Decode"/>
    public (string Name, QueueOptions Options) Decode(in StoreRecord record)
    {
        if (!QueueRecord.TryReadName(record, out string? name, out ReadOnlySpan<byte> read))
            return QueueRecord.Decode(record);
        // What options may be depends on the name's ending too.
        if (_lastOptions is not null && read.SequenceEqual(_lastRead) && !QueueOptions.IsDeadLetterName(name))
        {
            try
            {
                QueueName.Validate(name, "The queue's name");
                return (name, _lastOptions);
            }
            catch (ArgumentException)
            {
                // Told below, as of any other record.
            }
        }
        (string Name, QueueOptions Options) decoded = QueueRecord.Decode(record);
        if (!QueueOptions.IsDeadLetterName(name))
            (_lastRead, _lastOptions) = (read.ToArray(), decoded.Options);
        return decoded;
    }
}

[JsonSerializable(typeof(QueueRecord))]
[JsonSourceGenerationOptions(WriteIndented = false)]
internal sealed partial class QueueRecordJson : JsonSerializerContext;
