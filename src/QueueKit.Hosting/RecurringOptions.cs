namespace QueueKit.Hosting;

/// <summary>When a recurring message is sent. Its name among the options is the message's key.</summary>
public sealed class RecurringOptions
{
    /// <summary>A cron expression of five fields (minute, hour, day of month, month, day of week) or, with seconds before them, six.</summary>
    public string Cron { get; set; } = "";

    /// <summary>The id of the time zone in which the expression is read, such as "Europe/Berlin". Default: "UTC".</summary>
    public string TimeZone { get; set; } = "UTC";

    /// <summary>What becomes of the ticks that passed while nothing could be sent. Default: <see cref="MissedTicks.Last"/>.</summary>
    public MissedTicks Missed { get; set; }
}

/// <summary>What becomes of ticks of a recurring message that passed while its process was down or its machine asleep: of those that are more than a minute late.</summary>
public enum MissedTicks
{
    /// <summary>One message for the last of them.</summary>
    Last = 0,
    /// <summary>One message for each, in order.</summary>
    All,
    /// <summary>No message for any of them.</summary>
    None,
}
