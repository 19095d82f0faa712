namespace QueueKit.LiteDB;

/// <summary>Keeps LiteDB on the thread that calls it.</summary>
/// <remarks>
/// LiteDB's write queue begins as a task of the scheduler that is current at the first write, and goes on there: by default a thread of its own,
/// which a commit then waits for. Under this scheduler the queue runs inside the call that puts a page into it.
/// </remarks>
internal sealed class InlineScheduler : TaskScheduler
{
    private static readonly InlineScheduler s_instance = new();

    public static T Run<T>(Func<T> action)
    {
        var task = new Task<T>(action);
        task.RunSynchronously(s_instance);
        return task.GetAwaiter().GetResult();
    }

    protected override void QueueTask(Task task) => TryExecuteTask(task);

    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) => TryExecuteTask(task);

    protected override IEnumerable<Task>? GetScheduledTasks() => null;
}
