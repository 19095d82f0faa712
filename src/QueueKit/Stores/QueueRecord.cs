using System.Text.Json;
using System.Text.Json.Serialization;

namespace QueueKit.Stores;

/// <summary>A queue in a store: its name and options, under its id. JSON: a person with the engine's own tool can read it, and an option added later is simply absent in older ones.</summary>
internal sealed record QueueRecord
{
    public int Format { get; init; } = 1;
    public required string Name { get; init; }
    public Durability Durability { get; init; }
    public OverflowPolicy Overflow { get; init; }
    public long? MaxMessages { get; init; }
    public long? MaxBytes { get; init; }
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

    public static byte[] Encode(string name, QueueOptions options) => JsonSerializer.SerializeToUtf8Bytes(
        new QueueRecord
        {
            Name = name,
            Durability = options.Durability,
            Overflow = options.Overflow,
            MaxMessages = options.MaxMessages,
            MaxBytes = options.MaxBytes,
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

    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: not a queue, or of a newer format.</exception>
    public static (string Name, QueueOptions Options) Decode(in StoreRecord record)
    {
        QueueRecord? queue;
        try
        {
            queue = JsonSerializer.Deserialize(record.Head.Span, QueueRecordJson.Default.QueueRecord);
        }
        catch (JsonException error)
        {
            throw new StoreException(StoreFault.Unreadable, $"The stored options of queue {record.Key.Queue} are damaged. Restore the store from a backup.", innerException: error);
        }
        if (queue is not { Format: 1 })
            throw new StoreException(StoreFault.Unreadable, $"The stored options of queue {record.Key.Queue} have format {queue?.Format}; this version of QueueKit reads format 1. Open the store with a newer version.");
        return (queue.Name, new QueueOptions
        {
            Durability = queue.Durability,
            Overflow = queue.Overflow,
            MaxMessages = queue.MaxMessages,
            MaxBytes = queue.MaxBytes,
            BackpressureTimeout = queue.BackpressureTimeout,
            LeaseDuration = queue.LeaseDuration,
            MaxLeaseDuration = queue.MaxLeaseDuration,
            MaxAttempts = queue.MaxAttempts,
            RetryDelay = queue.RetryKind switch
            {
                RetryDelayKind.None => RetryDelay.None,
                RetryDelayKind.Constant => RetryDelay.Constant(queue.RetrySteps[0]),
                RetryDelayKind.Exponential => RetryDelay.Exponential(queue.RetrySteps[0], queue.RetryMax, queue.RetryJitter),
                _ => RetryDelay.List(queue.RetrySteps),
            },
            DeadLetterQueue = queue.DeadLetterQueue,
            DeadLetterOn = queue.DeadLetterOn,
        });
    }
}

[JsonSerializable(typeof(QueueRecord))]
[JsonSourceGenerationOptions(WriteIndented = false)]
internal sealed partial class QueueRecordJson : JsonSerializerContext;
