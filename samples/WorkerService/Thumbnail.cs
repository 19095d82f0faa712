using System.Text.Json.Serialization;

namespace WorkerService;

/// <summary>A thumbnail to be made.</summary>
internal sealed record Thumbnail(string Picture, int Width);

[JsonSerializable(typeof(Thumbnail))]
internal sealed partial class ThumbnailJson : JsonSerializerContext;

/// <summary>Trying again will not help.</summary>
internal sealed class UnknownFormatException(string message) : Exception(message);
