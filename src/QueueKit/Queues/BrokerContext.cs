using QueueKit.Diagnostics;
using QueueKit.Scheduling;
using QueueKit.Stores;

namespace QueueKit.Queues;

/// <summary>What the queues of one broker share.</summary>
internal sealed class BrokerContext
{
    private bool _isClosed;

    public BrokerContext(MessageBrokerOptions options)
    {
        Options = options;
        Clock = new BrokerClock(options.TimeProvider);
        Timer = new DeadlineTimer(Clock);
        Log = new BrokerLog(options.LoggerFactory);
        Telemetry = options.HasTelemetry ? new BrokerTelemetry(options) : null;
        MaxMessageBytes = options.MaxMessageBytes;
        DeadLetters = new DeadLetters(this);
        Ward = new SuspectWard(this);
        Memory = new MemoryBudget(options.MaxLoadedBytes);
    }

    public MessageBrokerOptions Options { get; }

    public BrokerClock Clock { get; }

    public DeadlineTimer Timer { get; }

    public WorkScheduler Scheduler { get; } = new();

    public BrokerLog Log { get; }

    /// <summary>Null where it is left out.</summary>
    public BrokerTelemetry? Telemetry { get; }

    public DeadLetters DeadLetters { get; }

    /// <inheritdoc cref="Pipeline"/>
    public IMessageStore? Store { get; set; }

    /// <summary>Null where the broker has no store.</summary>
    public CommitPipeline? Pipeline { get; set; }

    /// <summary>The store's; null where it has none.</summary>
    public Witness? Witness => Pipeline?.Witness;

    /// <summary>Where one suspect at a time is.</summary>
    public SuspectWard Ward { get; }

    /// <summary>What waiting messages of durable queues may take in memory.</summary>
    public MemoryBudget Memory { get; }

    public int MaxMessageBytes { get; set; }

    /// <summary>Set before the pipeline ends: what is asked of the store from then on comes too late.</summary>
    public bool IsClosed { get => Volatile.Read(ref _isClosed); set => Volatile.Write(ref _isClosed, value); }

    /// <summary>What a caller hears whose work the store did not take: that the broker is closed, if the work was not tried for that.</summary>
    public Exception Tell(StoreException reason) =>
        reason.Fault == StoreFault.Stopped && IsClosed ? new ObjectDisposedException(nameof(MessageBroker), "The broker is closed.") : reason;

    /// <summary>Finds, or creates, the queue where a queue's dead letters go. Given by the broker, which knows all queues.</summary>
    public Func<QueueConductor, QueueConductor> DeadLetterQueueOf { get; set; } = _ => throw new InvalidOperationException("The broker is not open yet.");
}
