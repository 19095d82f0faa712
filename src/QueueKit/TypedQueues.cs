using System.Text.Json.Serialization.Metadata;
using QueueKit.Typed;

namespace QueueKit;

/// <summary>Typed views of queues.</summary>
public static class TypedQueues
{
    /// <summary>The sending half for values in JSON, by source-generated metadata such as <c>OrderJson.Default.Order</c>.</summary>
    public static IQueueSender<T> AsSender<T>(this IMessageSender queue, JsonTypeInfo<T> typeInfo) => queue.AsSender(new MessageFormat<T>(typeInfo));

    /// <summary>The sending half for values in a format of your own.</summary>
    public static IQueueSender<T> AsSender<T>(this IMessageSender queue, MessageFormat<T> format)
    {
        ArgumentNullException.ThrowIfNull(queue);
        ArgumentNullException.ThrowIfNull(format);
        return new TypedSender<T>(queue, format);
    }

    /// <summary>The receiving half for values in JSON, by source-generated metadata such as <c>OrderJson.Default.Order</c>.</summary>
    public static IQueueReceiver<T> AsReceiver<T>(this IMessageReceiver queue, JsonTypeInfo<T> typeInfo) => queue.AsReceiver(new MessageFormat<T>(typeInfo));

    /// <summary>The receiving half for values in a format of your own.</summary>
    public static IQueueReceiver<T> AsReceiver<T>(this IMessageReceiver queue, MessageFormat<T> format)
    {
        ArgumentNullException.ThrowIfNull(queue);
        ArgumentNullException.ThrowIfNull(format);
        return new TypedReceiver<T>(queue, format);
    }
}
