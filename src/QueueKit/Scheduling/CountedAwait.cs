using System.Runtime.CompilerServices;

namespace QueueKit.Scheduling;

/// <summary>Awaits within the broker that go on as counted work items, even if what they wait for completes in the moment in which they begin to wait.</summary>
/// <remarks>
/// For the rare steps only: each costs a few objects. The tasks awaited must run their continuations in the completing thread (no
/// <see cref="TaskCreationOptions.RunContinuationsAsynchronously"/>): the only one they have schedules a work item, and does that before the completing thread is done.
/// </remarks>
internal static class CountedAwait
{
    public static CountedTask CountedOn(this Task task, WorkScheduler scheduler) => new(task, scheduler);

    public static CountedTask<T> CountedOn<T>(this Task<T> task, WorkScheduler scheduler) => new(task, scheduler);

    /// <summary>Leaves the caller's stack, as <see cref="Task.Yield"/> does.</summary>
    public static CountedYield Yield(this WorkScheduler scheduler) => new(scheduler);

    private static void Continue(Task task, WorkScheduler scheduler, Action continuation) => task.ContinueWith(
        static (_, state) =>
        {
            var (scheduler, continuation) = ((WorkScheduler, Action))state!;
            scheduler.Schedule(new Continuation(continuation));
        },
        (scheduler, continuation), CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);

    internal readonly struct CountedTask(Task task, WorkScheduler scheduler) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => task.IsCompleted;

        public CountedTask GetAwaiter() => this;

        public void GetResult() => task.GetAwaiter().GetResult();

        public void OnCompleted(Action continuation) => Continue(task, scheduler, continuation);

        public void UnsafeOnCompleted(Action continuation) => Continue(task, scheduler, continuation);
    }

    internal readonly struct CountedTask<T>(Task<T> task, WorkScheduler scheduler) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => task.IsCompleted;

        public CountedTask<T> GetAwaiter() => this;

        public T GetResult() => task.GetAwaiter().GetResult();

        public void OnCompleted(Action continuation) => Continue(task, scheduler, continuation);

        public void UnsafeOnCompleted(Action continuation) => Continue(task, scheduler, continuation);
    }

    internal readonly struct CountedYield(WorkScheduler scheduler) : ICriticalNotifyCompletion
    {
        public bool IsCompleted => false;

        public CountedYield GetAwaiter() => this;

        public void GetResult() { }

        public void OnCompleted(Action continuation) => scheduler.Schedule(new Continuation(continuation));

        public void UnsafeOnCompleted(Action continuation) => scheduler.Schedule(new Continuation(continuation));
    }

    private sealed class Continuation(Action continuation) : WorkItem
    {
        protected override void Run() => continuation();
    }
}
