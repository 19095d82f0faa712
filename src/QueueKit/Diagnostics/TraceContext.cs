using System.Diagnostics;
using System.Text;

namespace QueueKit.Diagnostics;

/// <summary>The W3C trace context of the send, in the message's headers: so it is stored with the message, comes back with it after a restart, and goes with it to the dead letters.</summary>
/// <remarks>The caller's message is left as it is; the queue gets one with two more headers, which count in its size like all others. Where they would not fit, the message goes without.</remarks>
internal static class TraceContext
{
    public const string Parent = "traceparent";
    public const string State = "tracestate";

    /// <summary>What <see cref="Parent"/> adds to a message's size: the name, and 55 characters.</summary>
    public const int ParentBytes = 11 + 55;

    /// <summary>Whether the sender has given the message a context of its own, which is never overwritten.</summary>
    public static bool IsIn(Message message) => message.Headers.TryGetValue(Parent, out _);

    /// <summary>The context in which a message was sent, if it is known.</summary>
    public static bool TryRead(Message message, out ActivityContext context)
    {
        context = default;
        return message.Headers.TryGetValue(Parent, out HeaderValue parent) && parent.Kind == HeaderKind.String
            && ActivityContext.TryParse((string)parent, message.Headers.TryGetValue(State, out HeaderValue state) && state.Kind == HeaderKind.String ? (string)state : null, isRemote: true, out context);
    }

    /// <summary>Links to the sends of the messages, as far as they are known.</summary>
    public static List<ActivityLink>? Links(ReadOnlySpan<Message> messages)
    {
        List<ActivityLink>? links = null;
        foreach (Message message in messages)
        {
            if (TryRead(message, out ActivityContext context))
                (links ??= []).Add(new ActivityLink(context));
        }
        return links;
    }

    /// <summary>Whether a message has room for the context: in its headers, and in <paramref name="maxBytes"/> as a whole.</summary>
    public static bool Fits(Message message, long maxBytes) =>
        message.Size + ParentBytes <= maxBytes && message.Headers.Count < MessageHeaders.MaxCount && message.Headers.Size + ParentBytes <= MessageHeaders.MaxTotalBytes;

    /// <summary>The message with a context for which it has room; the state too, if that fits as well.</summary>
    public static Message Write(Message message, Activity activity, long maxBytes)
    {
        MessageHeaders headers = message.Headers.Copy();
        headers[Parent] = activity.Id!;
        string? state = activity.TraceStateString;
        if (!string.IsNullOrEmpty(state) && Ascii.IsValid(state) && headers.Count < MessageHeaders.MaxCount
            && headers.Size + State.Length + state.Length <= MessageHeaders.MaxTotalBytes && message.Size + ParentBytes + State.Length + state.Length <= maxBytes)
        {
            headers[State] = state;
        }
        return new Message(message, headers);
    }
}
