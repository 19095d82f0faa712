using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;

namespace QueueKit.Hosting.Registration;

/// <summary>The options of a broker, its queues and their handlers in the configuration.</summary>
internal static class OptionsBinding
{
    public static void Bind(QueueKitBuilder builder, IConfiguration configuration)
    {
        // A root has no path and is no section; what is read from it are its children alike.
        IConfigurationSection section = configuration as IConfigurationSection ?? new RootSection(configuration);
        builder.Configure(options => ReadBroker(section, options));
        builder.Services.Configure<QueueKitHealthOptions>(builder.Name, options => ReadHealth(section.GetSection("Health"), options));
        foreach (IConfigurationSection queue in section.GetSection("Queues").GetChildren())
            builder.AddQueue(queue.Key, options => ReadQueue(queue, options));
        foreach (IConfigurationSection handlers in section.GetSection("Handlers").GetChildren())
        {
            builder.Registration.HandlerSections.Add((handlers.Key, handlers.Path));
            builder.ConfigureHandlers(handlers.Key, options => ReadHandlers(handlers, options));
        }
        foreach (IConfigurationSection recurring in section.GetSection("Recurring").GetChildren())
        {
            builder.Registration.RecurringSections.Add((recurring.Key, recurring.Path));
            builder.Services.Configure<RecurringOptions>(builder.Registration.Key(recurring.Key), options => ReadRecurring(recurring, options));
        }
    }

    public static void ForDeadLetters(QueueOptions options)
    {
        var defaults = QueueOptions.ForDeadLetters();
        options.MaxMessages = defaults.MaxMessages;
        options.MaxBytes = defaults.MaxBytes;
        options.MaxAttempts = defaults.MaxAttempts;
        options.DeadLetterOn = defaults.DeadLetterOn;
    }

    private static void ReadBroker(IConfigurationSection section, MessageBrokerOptions options) => new SectionReader(section)
        .Whole(nameof(options.MaxMessageBytes), value => options.MaxMessageBytes = value, "1 byte to 1 GiB")
        .WholeOrNone(nameof(options.MaxLoadedBytes), value => options.MaxLoadedBytes = value, "at least 1048576")
        .OneOf<DamagePolicy>(nameof(options.DamagedStore), value => options.DamagedStore = value)
        .Time(nameof(options.DrainTimeout), value => options.DrainTimeout = value, "zero to 49 days")
        .YesOrNo(nameof(options.TraceBatchedMessages), value => options.TraceBatchedMessages = value)
        .Sections("Queues", "queues")
        .Sections("Handlers", "queues")
        .Sections("Recurring", "recurring messages")
        // Read elsewhere.
        .Inside("Health", static _ => { })
        .End();

    private static void ReadQueue(IConfigurationSection section, QueueOptions options) => new SectionReader(section)
        .OneOf<Durability>(nameof(options.Durability), value => options.Durability = value)
        .OneOf<OverflowPolicy>(nameof(options.Overflow), value => options.Overflow = value)
        .WholeOrNone(nameof(options.MaxMessages), value => options.MaxMessages = value, "at least 1")
        .WholeOrNone(nameof(options.MaxBytes), value => options.MaxBytes = value, "at least 1")
        .WholeOrNone(nameof(options.MaxBufferedMessages), value => options.MaxBufferedMessages = value, "at least 1")
        .WholeOrNone(nameof(options.MaxBufferedBytes), value => options.MaxBufferedBytes = value, "at least 1")
        .OneOf<OverflowPolicy>(nameof(options.BufferOverflow), value => options.BufferOverflow = value)
        .TimeOrNone(nameof(options.BackpressureTimeout), value => options.BackpressureTimeout = value, "positive")
        .Time(nameof(options.LeaseDuration), value => options.LeaseDuration = value, "1 ms to 49 days")
        .Time(nameof(options.MaxLeaseDuration), value => options.MaxLeaseDuration = value, "at least LeaseDuration")
        .WholeOrNone(nameof(options.MaxAttempts), value => options.MaxAttempts = (int?)value, "at least 1", int.MaxValue)
        .Inside(nameof(options.RetryDelay), inner => options.RetryDelay = ReadRetryDelay(inner))
        .Text(nameof(options.DeadLetterQueue), value => options.DeadLetterQueue = value)
        .OneOf<DeadLetterReasons>(nameof(options.DeadLetterOn), value => options.DeadLetterOn = value)
        .End();

    private static void ReadHandlers(IConfigurationSection section, HandlerOptions options) => new SectionReader(section)
        .Whole(nameof(options.Concurrency), value => options.Concurrency = value, "1 to 10,000")
        .TimeOrNone(nameof(options.LeaseDuration), value => options.LeaseDuration = value, "1 ms to 49 days")
        .Text(nameof(options.ResiliencePipeline), value => options.ResiliencePipeline = value)
        .Whole(nameof(options.BatchSize), value => options.BatchSize = value, "1 to 10,000")
        .Time(nameof(options.BatchWait), value => options.BatchWait = value, "zero to one hour")
        .YesOrNo(nameof(options.ContinueTrace), value => options.ContinueTrace = value)
        .Inside(nameof(options.Outage), inner => new SectionReader(inner)
            .WholeOrNone(nameof(OutageOptions.AfterFailures), value => options.Outage.AfterFailures = (int?)value, "at least 2", int.MaxValue)
            .Time(nameof(OutageOptions.FirstPause), value => options.Outage.FirstPause = value, "1 ms to 1 day")
            .Time(nameof(OutageOptions.LongestPause), value => options.Outage.LongestPause = value, "at least FirstPause, at most 1 day")
            .End())
        .End();

    private static void ReadHealth(IConfigurationSection section, QueueKitHealthOptions options) => new SectionReader(section)
        .TimeOrNone(nameof(options.OldestMessage), value => options.OldestMessage = value, "not negative")
        .WholeOrNone(nameof(options.Messages), value => options.Messages = value, "at least 0")
        .WholeOrNone(nameof(options.DeadLetters), value => options.DeadLetters = value, "at least 0")
        .TimeOrNone(nameof(options.Handling), value => options.Handling = value, "not negative")
        .Time(nameof(options.StoreHangs), value => options.StoreHangs = value, "positive")
        .End();

    private static void ReadRecurring(IConfigurationSection section, RecurringOptions options) => new SectionReader(section)
        .Text(nameof(options.Cron), value => options.Cron = value)
        .Text(nameof(options.TimeZone), value => options.TimeZone = value)
        .OneOf<MissedTicks>(nameof(options.Missed), value => options.Missed = value)
        .End();

    // "None", a time, or { Kind, First, Max, Jitter } and { Kind, Steps }.
    private static RetryDelay ReadRetryDelay(IConfigurationSection section)
    {
        if (section.Value is { } text)
        {
            if (text.Equals(nameof(RetryDelay.None), StringComparison.OrdinalIgnoreCase))
                return RetryDelay.None;
            return SectionReader.TryTime(text, out TimeSpan constant) && constant >= TimeSpan.Zero
                ? RetryDelay.Constant(constant)
                : throw new QueueKitConfigurationException($"{section.Path} is '{text}'; it must be None, a time such as 00:00:30, or a section with Kind (None, Constant, Exponential, List), First, Max, Jitter or Steps.");
        }
        RetryDelayKind kind = RetryDelayKind.Exponential;
        TimeSpan first = TimeSpan.FromSeconds(1);
        TimeSpan? max = null;
        double jitter = 0.2;
        var steps = new List<TimeSpan>();
        SectionReader reader = new SectionReader(section).OneOf<RetryDelayKind>("Kind", value => kind = value);
        // A kind has its own keys: another's is an error, not a wish that comes to nothing.
        if (kind is RetryDelayKind.Constant or RetryDelayKind.Exponential)
            reader.Time("First", value => first = value, "positive");
        if (kind == RetryDelayKind.Exponential)
            reader.TimeOrNone("Max", value => max = value, "at least First").Number("Jitter", value => jitter = value, "0 to 1");
        if (kind == RetryDelayKind.List)
        {
            reader.Inside("Steps", inner =>
            {
                var reader = new SectionReader(inner);
                foreach (IConfigurationSection step in inner.GetChildren())
                    reader.Time(step.Key, steps.Add, "not negative");
                reader.End();
            });
        }
        reader.End();
        return kind switch
        {
            RetryDelayKind.None => RetryDelay.None,
            RetryDelayKind.Constant => RetryDelay.Constant(first),
            RetryDelayKind.List => RetryDelay.List([.. steps]),
            _ => RetryDelay.Exponential(first, max, jitter),
        };
    }

    private sealed class RootSection(IConfiguration root) : IConfigurationSection
    {
        public string? this[string key] { get => root[key]; set => root[key] = value; }

        public string Key => "";

        public string Path => "";

        public string? Value { get => null; set => throw new NotSupportedException("The root of a configuration has no value."); }

        public IEnumerable<IConfigurationSection> GetChildren() => root.GetChildren();

        public Microsoft.Extensions.Primitives.IChangeToken GetReloadToken() => root.GetReloadToken();

        public IConfigurationSection GetSection(string key) => root.GetSection(key);
    }
}
