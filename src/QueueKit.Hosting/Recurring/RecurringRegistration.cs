using QueueKit.Hosting.Registration;

namespace QueueKit.Hosting.Recurring;

/// <summary>A recurring message as it was registered.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Queue">Where its messages go.</param>
/// <param name="EnsureFormat">Throws if its messages have no format.</param>
/// <param name="Write">Makes the message of a tick.</param>
internal sealed record RecurringRegistration(string Name, string Queue, Action<MessageFormats> EnsureFormat, Func<MessageFormats, DateTimeOffset, SendOptions, Message> Write);
