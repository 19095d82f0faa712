using QueueKit.Scheduling;

namespace QueueKit.Queues;

/// <summary>One clock reading, taken once per lock hold and passed to the parts, which have no clock.</summary>
/// <param name="Now">Monotonic.</param>
/// <param name="Clock">Only to convert it.</param>
internal readonly record struct Moment(long Now, BrokerClock Clock)
{
    public DateTimeOffset Utc => Clock.ToUtc(Now);

    /// <summary>The wall-clock time, in UTC ticks, so long from now; a delay beyond the calendar ends with it.</summary>
    public long UtcTicksAfter(TimeSpan delay)
    {
        long now = Utc.UtcTicks;
        return delay.Ticks > DateTimeOffset.MaxValue.UtcTicks - now ? DateTimeOffset.MaxValue.UtcTicks : now + delay.Ticks;
    }
}
