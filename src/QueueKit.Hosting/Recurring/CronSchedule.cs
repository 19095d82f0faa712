using System.Security.Cryptography;
using System.Text;
using Cronos;

namespace QueueKit.Hosting.Recurring;

/// <summary>The ticks of a cron expression in a time zone, and which of them a policy sends. Pure.</summary>
internal sealed class CronSchedule
{
    /// <summary>How late a tick may be before it counts as missed: a machine that is busy for a moment misses none.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private static readonly TimeSpan[] s_windows = [TimeSpan.FromMinutes(1), TimeSpan.FromHours(1), TimeSpan.FromDays(1), TimeSpan.FromDays(31), TimeSpan.FromDays(366)];

    private readonly CronExpression _cron;
    private readonly TimeZoneInfo _zone;
    private readonly MissedTicks _missed;

    private CronSchedule(CronExpression cron, TimeZoneInfo zone, RecurringOptions options)
    {
        _cron = cron;
        _zone = zone;
        _missed = options.Missed;
        Id = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{options.Cron}\n{options.TimeZone}")).AsSpan(0, 6));
    }

    /// <summary>Tells schedules apart: another expression or zone has another id.</summary>
    public string Id { get; }

    /// <summary>The schedule, or what is wrong with the options.</summary>
    public static CronSchedule? TryCreate(RecurringOptions options, out string? problem)
    {
        problem = null;
        CronExpression cron;
        try
        {
            bool hasSeconds = options.Cron.Split(' ', StringSplitOptions.RemoveEmptyEntries).Length == 6;
            cron = CronExpression.Parse(options.Cron, hasSeconds ? CronFormat.IncludeSeconds : CronFormat.Standard);
        }
        catch (CronFormatException error)
        {
            problem = $"Cron is '{options.Cron}'; it must have five fields, or six with seconds, such as '0 6 * * MON-FRI': {error.Message}";
            return null;
        }
        if (!TimeZoneInfo.TryFindSystemTimeZoneById(options.TimeZone, out TimeZoneInfo? zone))
            problem = $"TimeZone is '{options.TimeZone}'; it must be the id of a time zone that this machine knows, such as 'UTC' or 'Europe/Berlin'.";
        else if (!Enum.IsDefined(options.Missed))
            problem = $"Missed is {(int)options.Missed}; it must be Last, All or None.";
        else
            return new CronSchedule(cron, zone, options);
        return null;
    }

    /// <summary>The first tick after that time; null if there is none.</summary>
    public DateTimeOffset? After(DateTimeOffset time) => _cron.GetNextOccurrence(time, _zone);

    /// <summary>A tick has come due: for which tick to send a message now, if for any, and which one comes next.</summary>
    public (DateTimeOffset? Send, DateTimeOffset? Next) Due(DateTimeOffset tick, DateTimeOffset now)
    {
        if (now - tick <= Grace || _missed == MissedTicks.All)
            return (tick, After(tick));
        if (_missed == MissedTicks.None)
        {
            // One that is in time is sent, though others before it are not.
            DateTimeOffset? next = After(now - Grace);
            return next <= now ? (next, After(next.Value)) : (null, next);
        }
        DateTimeOffset last = LastUpTo(now, tick);
        return (last, After(last));
    }

    // From the end: after a long time down there may be millions of ticks.
    private DateTimeOffset LastUpTo(DateTimeOffset now, DateTimeOffset tick)
    {
        foreach (TimeSpan window in s_windows.Append(now - tick))
        {
            DateTimeOffset from = now - window > tick ? now - window : tick;
            if (from > now)
                break;
            DateTimeOffset? last = null;
            foreach (DateTimeOffset occurrence in _cron.GetOccurrences(from, now, _zone, fromInclusive: true, toInclusive: true))
                last = occurrence;
            if (last is { } found)
                return found;
        }
        return tick;
    }
}
