using System.Text.Json.Serialization;

namespace QueueKit.Tests.Typed;

internal sealed record Order(string Product, int Pieces);

internal sealed record Parcel(string Address);

[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(List<Order>))]
internal sealed partial class OrderJson : JsonSerializerContext;
