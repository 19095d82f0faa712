using System.Text.Json.Serialization;

namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>What is sent: some 100 bytes of JSON. Public for the frameworks that generate code around it.</summary>
public sealed record Work(long Id, string Customer, string Product, int Pieces)
{
    internal static Work Example { get; } = new(4_711_000_815, "Ada Lovelace, St James's Square", "Analytical Engine", 12);
}

[JsonSerializable(typeof(Work))]
internal sealed partial class WorkJson : JsonSerializerContext;

/// <summary>Counts what the handlers of a round have handled.</summary>
internal static class Handled
{
    private static long s_missing;
    private static TaskCompletionSource s_done = new();

    public static Task Expect(long messages)
    {
        s_done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Volatile.Write(ref s_missing, messages);
        return s_done.Task;
    }

    public static void One()
    {
        if (Interlocked.Decrement(ref s_missing) == 0)
            s_done.SetResult();
    }
}
