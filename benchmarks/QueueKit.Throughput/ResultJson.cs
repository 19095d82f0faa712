using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace QueueKit.Throughput;

/// <summary>The results for programs: an array of rows. Later scenarios keep the form.</summary>
internal static class ResultJson
{
    private static readonly JsonSerializerOptions s_options = new()
    {
        WriteIndented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    public static void Write(IEnumerable<Result> results, string file)
    {
        IEnumerable<Row> rows = results.Select(static result => new Row(
            result.Comparison.Scenario,
            result.Comparison.Variant,
            Math.Round(result.PerSecond),
            result.Comparison.Reference.Description,
            Math.Round(result.ReferencePerSecond),
            Math.Round(result.Ratio, 4),
            Math.Round(result.BytesPerMessage, 2),
            result.MeanBatch is { } batch ? Math.Round(batch, 2) : null,
            result.Comparison.Unit == Unit.PerSecond ? null : result.Comparison.Unit));
        File.WriteAllText(file, JsonSerializer.Serialize(rows, s_options) + "\n");
    }

    private sealed record Row(
        string Scenario, string Variant, double PerSecond, string Reference, double ReferencePerSecond, double Ratio, double BytesPerMessage, double? MeanBatch,
        [property: JsonConverter(typeof(JsonStringEnumConverter<Unit>))] Unit? Unit);
}
