using System.Runtime.ExceptionServices;
using System.Threading.Tasks.Sources;

namespace QueueKit.Scheduling;

/// <summary>The state of a value-task source that is completed in the run of its work item. As <see cref="ManualResetValueTaskSourceCore{TResult}"/>, but for one thing: no continuation escapes the scheduler's count.</summary>
/// <remarks>
/// An awaiter that registers just after the completion is, by the framework's own, queued to the thread pool where nobody counts it: the awaiting code would
/// be under way while the scheduler says that nothing is. Here it becomes a work item. That costs nothing where it does not happen: completion and
/// registration meet in the same compare-and-swap as there.
/// Not counted is what an application's own synchronization context or task scheduler runs.
/// </remarks>
internal struct Completion<T>
{
    // In the place of the continuation once the source is complete.
    private static readonly Action<object?> s_completed = static _ => throw new InvalidOperationException("The mark of a completed source was called.");

    private Action<object?>? _continuation;
    private object? _state;
    // What the awaiter wants to go on in; null for anywhere.
    private Surroundings? _surroundings;
    private ExceptionDispatchInfo? _error;
    private T _result;
    private bool _isComplete;

    /// <summary>The token of the current use.</summary>
    public short Version { get; private set; }

    /// <summary>Makes it ready for the next use; value tasks of earlier ones are told so.</summary>
    public void Reset()
    {
        Version++;
        _continuation = null;
        _state = null;
        _surroundings = null;
        _error = null;
        _result = default!;
        _isComplete = false;
    }

    /// <summary>Completes it, and runs whoever has registered.</summary>
    public void SetResult(T result)
    {
        _result = result;
        Complete();
    }

    /// <inheritdoc cref="SetResult"/>
    public void SetException(Exception error)
    {
        _error = ExceptionDispatchInfo.Capture(error);
        Complete();
    }

    public readonly ValueTaskSourceStatus GetStatus(short token)
    {
        Validate(token);
        // Complete once the mark, or an awaiter, is in place: before that the completing thread may still be about to set the mark, and must not find the next use.
        if (Volatile.Read(in _continuation) is null || !_isComplete)
            return ValueTaskSourceStatus.Pending;
        if (_error is null)
            return ValueTaskSourceStatus.Succeeded;
        return _error.SourceException is OperationCanceledException ? ValueTaskSourceStatus.Canceled : ValueTaskSourceStatus.Faulted;
    }

    public readonly T GetResult(short token)
    {
        Validate(token);
        if (!_isComplete)
            throw Misused();
        _error?.Throw();
        return _result;
    }

    /// <summary>Registers the awaiter's continuation or, if it comes too late for that, schedules it.</summary>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags, WorkItem source)
    {
        Validate(token);
        Surroundings? surroundings = Surroundings.Capture(flags);
        if (_continuation is null)
        {
            _state = state;
            _surroundings = surroundings;
        }
        Action<object?>? before = Interlocked.CompareExchange(ref _continuation, continuation, null);
        if (before is null)
            return;
        if (!ReferenceEquals(before, s_completed))
            throw Misused();
        if (surroundings is null)
            source.ScheduleAfter(new LateContinuation(continuation, state));
        else
            surroundings.Run(continuation, state, source);
    }

    private void Complete()
    {
        if (_isComplete)
            throw Misused();
        _isComplete = true;
        Action<object?>? continuation = Volatile.Read(ref _continuation) ?? Interlocked.CompareExchange(ref _continuation, s_completed, null);
        if (continuation is null)
            return;
        if (_surroundings is null)
            continuation(_state);
        else
            _surroundings.Run(continuation, _state, source: null);
    }

    private readonly void Validate(short token)
    {
        if (token != Version)
            throw Misused();
    }

    private static InvalidOperationException Misused() => new("A ValueTask is awaited once, and not asked for its result before it is complete.");

    private sealed class LateContinuation(Action<object?> continuation, object? state) : WorkItem
    {
        protected override void Run() => continuation(state);
    }

    private sealed class Surroundings
    {
        private readonly ExecutionContext? _context;
        private readonly SynchronizationContext? _synchronization;
        private readonly TaskScheduler? _scheduler;

        private Surroundings(ExecutionContext? context, SynchronizationContext? synchronization, TaskScheduler? scheduler)
        {
            _context = context;
            _synchronization = synchronization;
            _scheduler = scheduler;
        }

        public static Surroundings? Capture(ValueTaskSourceOnCompletedFlags flags)
        {
            if (flags == ValueTaskSourceOnCompletedFlags.None)
                return null;
            ExecutionContext? context = (flags & ValueTaskSourceOnCompletedFlags.FlowExecutionContext) != 0 ? ExecutionContext.Capture() : null;
            SynchronizationContext? synchronization = null;
            TaskScheduler? scheduler = null;
            if ((flags & ValueTaskSourceOnCompletedFlags.UseSchedulingContext) != 0)
            {
                synchronization = SynchronizationContext.Current;
                if (synchronization?.GetType() == typeof(SynchronizationContext))
                    synchronization = null;
                if (synchronization is null && TaskScheduler.Current != TaskScheduler.Default)
                    scheduler = TaskScheduler.Current;
            }
            return context is null && synchronization is null && scheduler is null ? null : new Surroundings(context, synchronization, scheduler);
        }

        /// <param name="continuation">What to run.</param>
        /// <param name="state">For it.</param>
        /// <param name="source">If it is to run later: whose scheduler counts it. Null: here and now, unless the surroundings say where.</param>
        public void Run(Action<object?> continuation, object? state, WorkItem? source)
        {
            if (_synchronization is not null)
                _synchronization.Post(_ => InContext(continuation, state), null);
            else if (_scheduler is not null)
                _ = Task.Factory.StartNew(() => InContext(continuation, state), CancellationToken.None, TaskCreationOptions.DenyChildAttach, _scheduler);
            else if (source is null)
                InContext(continuation, state);
            else
                source.ScheduleAfter(new LateContinuation(self => InContext(continuation, self), state));
        }

        private void InContext(Action<object?> continuation, object? state)
        {
            if (_context is null)
                continuation(state);
            else
                ExecutionContext.Run(_context, continuation.Invoke, state);
        }
    }
}
