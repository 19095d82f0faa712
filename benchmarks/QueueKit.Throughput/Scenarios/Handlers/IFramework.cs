namespace QueueKit.Throughput.Scenarios.Handlers;

/// <summary>A messaging framework with one handler on its in-memory transport.</summary>
internal interface IFramework
{
    /// <summary>Starts it, the first time, and returns how to send to it.</summary>
    Task<Func<Work, Task>> StartAsync(int concurrency);
}
