using System.Text.Json.Serialization;
using QueueKit;

namespace OrdersWithSqlite;

/// <summary>What is said when an order has been placed.</summary>
internal sealed record OrderPlaced(long Order, string Product, int Pieces)
{
    public static MessageFormat<OrderPlaced> Format { get; } = new(OrderJson.Default.OrderPlaced);
}

[JsonSerializable(typeof(OrderPlaced))]
internal sealed partial class OrderJson : JsonSerializerContext;
