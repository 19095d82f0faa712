using QueueKit.Hosting.Recurring;

namespace QueueKit.Hosting.Registration;

/// <summary>What has been registered for one broker; filled while services are added, read when the host starts.</summary>
internal sealed class BrokerRegistration(string name)
{
    /// <summary>Of the broker that has no name of its own.</summary>
    public const string DefaultName = "";

    public string Name => name;

    public MessageFormats Formats { get; } = new();

    /// <summary>In the order in which they were added.</summary>
    public List<string> Queues { get; } = [];

    public List<HandlerRegistration> Handlers { get; } = [];

    /// <summary>The queues of each type that has some.</summary>
    public Dictionary<Type, List<string>> QueuesByType { get; } = [];

    /// <summary>The typed queues, each with a look for the format of its type.</summary>
    public List<(string Queue, Action<MessageFormats> EnsureFormat)> TypedQueues { get; } = [];

    public List<RecurringRegistration> Recurring { get; } = [];

    /// <summary>The recurring messages that options were written for, with where.</summary>
    public List<(string Name, string Where)> RecurringSections { get; } = [];

    /// <summary>The queues that handler options were written for, with where.</summary>
    public List<(string Queue, string Where)> HandlerSections { get; } = [];

    /// <summary>Under which a queue's services and options are found: its name or, in a broker with a name, "broker/queue".</summary>
    public string Key(string queue) => name.Length == 0 ? queue : $"{name}/{queue}";

    public override string ToString() => name.Length == 0 ? "the broker" : $"broker '{name}'";
}
