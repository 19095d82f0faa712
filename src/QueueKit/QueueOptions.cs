using System.Globalization;
using System.Runtime.CompilerServices;

namespace QueueKit;

/// <summary>How a queue behaves. Plain values, copied when the queue is declared; two with equal values are equal.</summary>
/// <remarks>
/// <see cref="Durability"/> is the queue's identity: a later declaration must agree with it. Everything else is tunable: the last declaration holds.
/// </remarks>
public sealed record QueueOptions
{
    /// <summary>The suffix of the queues that hold dead letters; reserved for them.</summary>
    public const string DeadLetterSuffix = ".dead";

    // Immutable: one for all.
    private static readonly RetryDelay s_retryDelay = RetryDelay.Exponential(TimeSpan.FromSeconds(1));

    /// <summary>What messages survive. Default: <see cref="Durability.Default"/>. Part of the queue's identity.</summary>
    public Durability Durability { get; set; }

    /// <summary>What happens to a send when the limits are reached. Default: <see cref="OverflowPolicy.Backpressure"/>.</summary>
    public OverflowPolicy Overflow { get; set; }

    /// <summary>The most messages in the queue, in flight and delayed ones included; at least 1, null for no limit. Default: 10,000.
    /// Under <see cref="OverflowPolicy.Buffer"/>: the most ready messages in memory.</summary>
    public long? MaxMessages { get; set; } = 10_000;

    /// <summary>The most bytes in the queue by <see cref="Message.Size"/>, in flight and delayed ones included; at least 1, null for no limit. Default: 64 MiB.
    /// Under <see cref="OverflowPolicy.Buffer"/>: the most bytes of ready messages in memory.</summary>
    public long? MaxBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>Under <see cref="OverflowPolicy.Buffer"/>, the most messages in the queue, in memory or not; at least 1, null (the default) for no limit.</summary>
    public long? MaxBufferedMessages { get; set; }

    /// <summary>Under <see cref="OverflowPolicy.Buffer"/>, the most bytes in the queue, in memory or not; at least 1, null (the default) for no limit.</summary>
    public long? MaxBufferedBytes { get; set; }

    /// <summary>Under <see cref="OverflowPolicy.Buffer"/>, what happens to a send when <see cref="MaxBufferedMessages"/> or <see cref="MaxBufferedBytes"/> is reached; any policy but Buffer. Default: <see cref="OverflowPolicy.Backpressure"/>.</summary>
    public OverflowPolicy BufferOverflow { get; set; }

    /// <summary>The longest wait of a send for room, then it throws <see cref="QueueFullException"/>; positive, null (the default) for as long as it takes.</summary>
    public TimeSpan? BackpressureTimeout { get; set; }

    /// <summary>How long a delivery is the consumer's own before the message comes back; 1 ms to 49 days. Default: 30 s. Handlers renew it while they run.</summary>
    public TimeSpan LeaseDuration { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>The longest that renewals and extensions can keep a delivery, counted from its hand-over; at least <see cref="LeaseDuration"/>. Default: 1 hour.</summary>
    public TimeSpan MaxLeaseDuration { get; set; } = TimeSpan.FromHours(1);

    /// <summary>After how many failed attempts a message is given up; at least 1, null for never. Default: 5.</summary>
    public int? MaxAttempts { get; set; } = 5;

    /// <summary>The pause before a failed message is tried again. Default: exponential from 1 s to 5 minutes, jitter 0.2.</summary>
    public RetryDelay RetryDelay { get; set; } = s_retryDelay;

    /// <summary>Where dead letters go; null (the default) for the queue's name with <see cref="DeadLetterSuffix"/>. Created with <see cref="ForDeadLetters"/> at the first dead letter unless declared.</summary>
    public string? DeadLetterQueue { get; set; }

    /// <summary>Which of the messages that are given up are kept as dead letters; the others are discarded and counted. Default: rejected ones and those out of attempts.</summary>
    public DeadLetterReasons DeadLetterOn { get; set; } = DeadLetterReasons.Rejected | DeadLetterReasons.AttemptsExhausted;

    /// <summary>The options of a queue that holds dead letters: no limits, any number of attempts, and the end of the line: nothing is dead-lettered from it or discarded.</summary>
    public static QueueOptions ForDeadLetters() => new()
    {
        MaxMessages = null,
        MaxBytes = null,
        MaxAttempts = null,
        DeadLetterOn = DeadLetterReasons.None,
    };

    internal static readonly TimeSpan ShortestLease = TimeSpan.FromMilliseconds(1);
    internal static readonly TimeSpan LongestLease = TimeSpan.FromDays(49);

    internal static bool IsDeadLetterName(string name) => name.EndsWith(DeadLetterSuffix, StringComparison.Ordinal);

    internal static void ValidateLease(TimeSpan lease, string name, string where)
    {
        if (lease < ShortestLease || lease > LongestLease)
            throw new ArgumentException($"{where}: {name} is {lease}; it must lie between 1 ms and 49 days.", "options");
    }

    /// <summary>Checks everything that can be said of the options alone; what depends on other queues or the store, the declaration finds.</summary>
    /// <param name="queue">The name of the queue they are for.</param>
    /// <exception cref="ArgumentException">The name is not allowed, or an option is out of its range; the message names the queue, the option and the range.</exception>
    public void Validate(string queue)
    {
        QueueName.Validate(queue, "The queue's name");
        string where = $"Queue '{queue}'";
        RefuseUndefined(where, nameof(Durability), Durability);
        RefuseUndefined(where, nameof(Overflow), Overflow);
        Require(MaxMessages is null or >= 1, $"{where}: MaxMessages is {MaxMessages}; it must be at least 1, or null for no limit.");
        Require(MaxBytes is null or >= 1, $"{where}: MaxBytes is {MaxBytes}; it must be at least 1, or null for no limit.");
        RefuseUndefined(where, nameof(BufferOverflow), BufferOverflow);
        Require(BufferOverflow != OverflowPolicy.Buffer, $"{where}: BufferOverflow is Buffer; it says what happens when the buffer is full, so choose Backpressure, Reject, DropNewest or DropOldest.");
        Require(MaxBufferedMessages is null or >= 1, $"{where}: MaxBufferedMessages is {MaxBufferedMessages}; it must be at least 1, or null for no limit.");
        Require(MaxBufferedBytes is null or >= 1, $"{where}: MaxBufferedBytes is {MaxBufferedBytes}; it must be at least 1, or null for no limit.");
        Require(Overflow == OverflowPolicy.Buffer || (MaxBufferedMessages is null && MaxBufferedBytes is null && BufferOverflow == default),
            $"{where}: MaxBufferedMessages, MaxBufferedBytes and BufferOverflow belong to OverflowPolicy.Buffer, but Overflow is {Overflow}. Remove them, or set Overflow to Buffer.");
        Require(BackpressureTimeout is null || BackpressureTimeout > TimeSpan.Zero,
            $"{where}: BackpressureTimeout is {BackpressureTimeout}; it must be positive, or null to wait as long as it takes. To refuse at once take OverflowPolicy.Reject.");
        ValidateLease(LeaseDuration, nameof(LeaseDuration), where);
        Require(MaxLeaseDuration >= LeaseDuration, $"{where}: MaxLeaseDuration is {MaxLeaseDuration}, shorter than LeaseDuration, which is {LeaseDuration}.");
        Require(MaxAttempts is null or >= 1, $"{where}: MaxAttempts is {MaxAttempts}; it must be at least 1, or null for any number.");
        Require(RetryDelay is not null, $"{where}: RetryDelay is null; for no delay take RetryDelay.None.");
        Require((DeadLetterOn & ~(DeadLetterReasons.Rejected | DeadLetterReasons.AttemptsExhausted | DeadLetterReasons.Overflow)) == 0,
            $"{where}: DeadLetterOn has an unknown value, {(int)DeadLetterOn}.");
        if (DeadLetterQueue is not null)
        {
            QueueName.Validate(DeadLetterQueue, $"{where}: DeadLetterQueue");
            Require(!IsDeadLetterName(queue),
                $"{where}: the suffix '{DeadLetterSuffix}' is reserved for queues of dead letters, and those have no DeadLetterQueue. Remove the option or choose another name.");
        }
        Require(!IsDeadLetterName(queue) || DeadLetterOn == DeadLetterReasons.None,
            $"{where}: the suffix '{DeadLetterSuffix}' is reserved for queues of dead letters, and those dead-letter nothing. Start from QueueOptions.ForDeadLetters(), or choose another name.");
    }

    private static void RefuseUndefined<T>(string where, string name, T value) where T : struct, Enum =>
        Require(Enum.IsDefined(value), $"{where}: {name} has an unknown value, {value}.");

    // A text is made only where it is needed: a hundred thousand queues are opened in a second or two.
    private static void Require(bool condition, [InterpolatedStringHandlerArgument(nameof(condition))] ref Complaint message)
    {
        if (!condition)
            throw new ArgumentException(message.ToString(), "options");
    }

    [InterpolatedStringHandler]
    private ref struct Complaint
    {
        private DefaultInterpolatedStringHandler _text;

        public Complaint(int literalLength, int formattedCount, bool condition, out bool isNeeded)
        {
            isNeeded = !condition;
            if (isNeeded)
                _text = new DefaultInterpolatedStringHandler(literalLength, formattedCount, CultureInfo.InvariantCulture);
        }

        public void AppendLiteral(string value) => _text.AppendLiteral(value);

        public void AppendFormatted<T>(T value) => _text.AppendFormatted(value);

        public override string ToString() => _text.ToStringAndClear();
    }
}
