using System.Diagnostics.CodeAnalysis;
using QueueKit.Hosting.Consuming;

namespace QueueKit.Hosting.Registration;

/// <summary>A handler as it was registered.</summary>
/// <param name="Queue">The queue it takes from.</param>
/// <param name="MessageType">What it takes.</param>
/// <param name="HandlerType">Its class; null for a delegate.</param>
/// <param name="IsOwnRegistration">Whether its class is a service by this registration, and by no other.</param>
/// <param name="IsBatch">Whether it takes several at once.</param>
/// <param name="TypeName">The <see cref="Message.Type"/> it takes, by the broker's formats.</param>
/// <param name="Build">Makes what calls it.</param>
internal sealed record HandlerRegistration(
    string Queue,
    Type MessageType,
    [property: DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] [param: DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] Type? HandlerType,
    bool IsOwnRegistration,
    bool IsBatch,
    Func<MessageFormats, string> TypeName,
    Func<HostedBroker, Invoker> Build)
{
    public override string ToString() => HandlerType is null ? $"the handler of {MessageType} mapped to queue '{Queue}'" : $"handler {HandlerType}";
}
