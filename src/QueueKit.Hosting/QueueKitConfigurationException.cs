namespace QueueKit.Hosting;

/// <summary>What has been registered or configured cannot work. Thrown when the host starts, before a store is opened; the message lists everything found.</summary>
public sealed class QueueKitConfigurationException : QueueKitException
{
    /// <summary>Creates an exception.</summary>
    public QueueKitConfigurationException() { }

    /// <summary>Creates an exception.</summary>
    public QueueKitConfigurationException(string message) : base(message) { }

    /// <summary>Creates an exception.</summary>
    public QueueKitConfigurationException(string message, Exception? innerException) : base(message, innerException) { }
}
