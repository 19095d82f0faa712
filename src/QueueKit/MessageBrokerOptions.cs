using System.Diagnostics.CodeAnalysis;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using QueueKit.Stores;

namespace QueueKit;

/// <summary>How a broker is opened. Copied when it opens. Packages with stores add extension methods on it.</summary>
public sealed class MessageBrokerOptions
{
    /// <summary>The store behind durable queues; null (the default) for none: then every queue is transient.</summary>
    public IMessageStoreProvider? Store { get; set; }

    /// <summary>From where messages come into the queues by themselves, each exactly once; none by default. Needs a store. Packages add extension methods for theirs.</summary>
    [Experimental("QUEUEKIT001")]
    public IList<IMessageSourceProvider> Sources { get; private set; } = [];

    /// <summary>What is done with a store that is damaged. Default: <see cref="DamagePolicy.Refuse"/>, and somebody decides.</summary>
    public DamagePolicy DamagedStore { get; set; }

    /// <summary>The source of all time: clocks and timers. Default: <see cref="TimeProvider.System"/>.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>Where the broker logs; null (the default) for nowhere.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    /// <summary>Where the broker's meter, called <see cref="MessageBroker.TelemetryName"/>, comes from; null (the default) for one that all brokers of the process without a factory share.</summary>
    public IMeterFactory? MeterFactory { get; set; }

    /// <summary>Whether, while somebody listens, each message that is sent with others has an activity <c>create</c> of its own, to which its consumers link; otherwise they link to the send of all. Default: true.</summary>
    public bool TraceBatchedMessages { get; set; } = true;

    /// <summary>The largest message by <see cref="Message.Size"/>, in bytes; 1 to 1 GiB. Default: 16 MiB. A store may allow less.</summary>
    public int MaxMessageBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>How much memory the waiting messages of all durable queues may take, in bytes; at least 1 MiB, null for no limit. Default: 256 MiB. What exceeds it waits in the store alone and is read, a few messages at a time, when it is its turn.</summary>
    /// <remarks>About 200 bytes are counted for what is around each message. A queue that is read from keeps at least a few messages (64, or 64 KiB) in memory. Queues under <see cref="OverflowPolicy.DropOldest"/> need theirs at hand: they count, but are not held to it.</remarks>
    public long? MaxLoadedBytes { get; set; } = 256 * 1024 * 1024;

    /// <summary>How long a close without a deadline of its own waits for running handlers; 0 to 49 days. Default: 30 s.</summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(30);

    // Left out for comparison: what telemetry costs where nobody listens is measured.
    internal bool HasTelemetry { get; set; } = true;

    internal MessageBrokerOptions Copy()
    {
        var copy = (MessageBrokerOptions)MemberwiseClone();
        copy.Sources = [.. Sources];
        return copy;
    }

    /// <summary>Checks the options; what depends on the store, the opening finds.</summary>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it and the range.</exception>
    public void Validate()
    {
        if (TimeProvider is null)
            throw new ArgumentException("MessageBrokerOptions.TimeProvider is null: take TimeProvider.System, or a clock of your own.", "options");
        if (!Enum.IsDefined(DamagedStore))
            throw new ArgumentException($"MessageBrokerOptions.DamagedStore is {(int)DamagedStore}; take {nameof(DamagePolicy.Refuse)} or {nameof(DamagePolicy.Quarantine)}.", "options");
        if (MaxMessageBytes is < 1 or > 1 << 30)
            throw new ArgumentException($"MessageBrokerOptions.MaxMessageBytes is {MaxMessageBytes}; it must lie between 1 byte and 1 GiB.", "options");
        if (MaxLoadedBytes < 1024 * 1024)
            throw new ArgumentException($"MessageBrokerOptions.MaxLoadedBytes is {MaxLoadedBytes}; it must be at least 1 MiB, or null for no limit.", "options");
        if (DrainTimeout < TimeSpan.Zero || DrainTimeout > TimeSpan.FromDays(49))
            throw new ArgumentException($"MessageBrokerOptions.DrainTimeout is {DrainTimeout}; it must lie between zero and 49 days.", "options");
        if (Sources.Any(static source => source is null))
            throw new ArgumentException("MessageBrokerOptions.Sources contains null: remove it.", "options");
        if (Sources.Count > 0 && Store is null)
            throw new ArgumentException($"MessageBrokerOptions.Sources has '{Sources[0].Description}', and Store is null: what comes from a source goes into durable queues. Give the broker a store too.", "options");
    }
}
