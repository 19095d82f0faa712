using System.Text.Json.Serialization;

namespace QueueKitWorker;

/// <summary>What is sent.</summary>
public sealed record Order(int Number, string Product);

/// <summary>How it is written and read, generated when it is compiled.</summary>
[JsonSerializable(typeof(Order))]
internal sealed partial class OrderJson : JsonSerializerContext;

/// <summary>Trying again will not help.</summary>
public sealed class UnknownProductException(string product) : Exception($"There is no product '{product}'.");
