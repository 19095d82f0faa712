using System.Text.Json.Serialization;

namespace WebApi;

public sealed record Order(string Product, int Pieces);

/// <summary>What the client gets for an order: its number, and what it survives.</summary>
public sealed record Receipt(long Number, string Durability);

[JsonSerializable(typeof(Order))]
[JsonSerializable(typeof(Receipt))]
internal sealed partial class OrderJson : JsonSerializerContext;
