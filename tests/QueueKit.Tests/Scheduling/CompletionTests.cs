using System.Threading.Tasks.Sources;
using QueueKit.Scheduling;

namespace QueueKit.Tests.Scheduling;

[System.Diagnostics.CodeAnalysis.SuppressMessage("Reliability", "CA2012:Use ValueTasks correctly", Justification = "The moments between the uses of a value task are what this is about.")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class CompletionTests
{
    // A bound that turns a hang into a failure; nothing is timed by it.
    private static readonly TimeSpan s_bound = TimeSpan.FromSeconds(20);

    private readonly WorkScheduler _scheduler = new();
    private readonly Source _source = new();

    [Test]
    public async Task AnAwaiterThatWaitsGetsTheResult()
    {
        Task<int> waiting = _source.Use().AsTask();
        Assert.That(waiting.IsCompleted, Is.False);

        _source.Complete(_scheduler, 42);

        Assert.That(await waiting.WaitAsync(s_bound, TimeProvider.System), Is.EqualTo(42));
    }

    [Test]
    public void AnAwaiterThatComesLaterGetsTheResult()
    {
        ValueTask<int> task = _source.Use();
        _source.Complete(_scheduler, 42);
        AwaitIdle();

        Assert.That((task.IsCompletedSuccessfully, task.Result), Is.EqualTo((true, 42)));
    }

    [Test]
    public void AnErrorIsThrownToTheAwaiter([Values] bool late)
    {
        ValueTask<int> task = _source.Use();
        Task<int>? waiting = late ? null : task.AsTask();
        _source.Fail(_scheduler, new FormatException("not a number"));
        AwaitIdle();

        Assert.That(late ? task.IsFaulted : waiting!.IsFaulted);
        Assert.That(async () => await (waiting ?? task.AsTask()), Throws.InstanceOf<FormatException>());
    }

    [Test]
    public void ACancellationIsOne()
    {
        ValueTask<int> task = _source.Use();
        _source.Fail(_scheduler, new OperationCanceledException());
        AwaitIdle();

        Assert.That(task.IsCanceled);
    }

    [Test]
    public void AContinuationIsCountedWhetherItRegistersBeforeTheCompletionOrAfter([Values] bool late)
    {
        using ManualResetEventSlim entered = new(), go = new();
        ValueTask<int> task = _source.Use();
        if (late)
        {
            _source.Complete(_scheduler, 42);
            AwaitIdle();
        }

        task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() =>
        {
            entered.Set();
            go.Wait(s_bound);
        });
        if (!late)
            _source.Complete(_scheduler, 42);

        Assert.That(_scheduler.Outstanding, Is.EqualTo(1), "queued or running");
        Assert.That(entered.Wait(s_bound));
        Assert.That(_scheduler.Outstanding, Is.EqualTo(1), "running");
        go.Set();
        AwaitIdle();
    }

    [Test]
    public async Task NoContinuationEscapesTheCountWhenRegistrationAndCompletionMeet()
    {
        for (int i = 0; i < 20_000; i++)
        {
            ValueTask<int> task = _source.Use();
            _source.Complete(_scheduler, i);
            // Wherever this goes on: in the work item that completes, in one of its own, or here, because it was complete already.
            var awaiter = new Probe(task, _scheduler);
            (int result, long outstanding) = await awaiter;
            Assert.That(result, Is.EqualTo(i));
            if (awaiter.HasRegistered)
                Assert.That(outstanding, Is.Positive);
            await Task.Yield();
        }
    }

    [Test]
    public async Task AnAwaiterMayWantItsExecutionContext([Values] bool late)
    {
        var local = new AsyncLocal<int> { Value = 7 };
        TaskCompletionSource<int> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ValueTask<int> task = _source.Use();
        if (late)
        {
            _source.Complete(_scheduler, 1);
            AwaitIdle();
        }
        task.GetAwaiter().OnCompleted(() => seen.SetResult(local.Value));
        local.Value = 8;
        if (!late)
            _source.Complete(_scheduler, 1);

        Assert.That(await seen.Task.WaitAsync(s_bound, TimeProvider.System), Is.EqualTo(7));
    }

    [Test]
    public async Task AnAwaiterGoesOnInItsSynchronizationContextIfItHasOne([Values] bool late, [Values] bool wantsIt)
    {
        var context = new RecordingContext();
        TaskCompletionSource<SynchronizationContext?> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ValueTask<int> task = _source.Use();
        if (late)
        {
            _source.Complete(_scheduler, 1);
            AwaitIdle();
        }
        SynchronizationContext? before = SynchronizationContext.Current;
        SynchronizationContext.SetSynchronizationContext(context);
        task.ConfigureAwait(wantsIt).GetAwaiter().UnsafeOnCompleted(() => seen.SetResult(SynchronizationContext.Current));
        SynchronizationContext.SetSynchronizationContext(before);
        if (!late)
            _source.Complete(_scheduler, 1);

        Assert.That(await seen.Task.WaitAsync(s_bound, TimeProvider.System), wantsIt ? Is.SameAs(context) : Is.Null);
    }

    [Test]
    public async Task AnAwaiterGoesOnOnItsTaskSchedulerIfItHasOne([Values] bool late)
    {
        TaskScheduler exclusive = new ConcurrentExclusiveSchedulerPair().ExclusiveScheduler;
        TaskCompletionSource<TaskScheduler> seen = new(TaskCreationOptions.RunContinuationsAsynchronously);
        ValueTask<int> task = _source.Use();
        if (late)
        {
            _source.Complete(_scheduler, 1);
            AwaitIdle();
        }
        await Task.Factory.StartNew(() => task.GetAwaiter().UnsafeOnCompleted(() => seen.SetResult(TaskScheduler.Current)), CancellationToken.None, TaskCreationOptions.None, exclusive);
        if (!late)
            _source.Complete(_scheduler, 1);

        Assert.That(await seen.Task.WaitAsync(s_bound, TimeProvider.System), Is.SameAs(exclusive));
    }

    [Test]
    public void AValueTaskOfAnEarlierUseIsToldSo()
    {
        ValueTask<int> task = _source.Use();
        _source.Use();

        Assert.That(() => task.IsCompleted, Throws.InvalidOperationException);
        Assert.That(() => task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() => { }), Throws.InvalidOperationException);
    }

    [Test]
    public void ASecondAwaiterIsRefusedAndSoIsAResultBeforeTheCompletion()
    {
        ValueTask<int> task = _source.Use();
        Assert.That(() => task.GetAwaiter().GetResult(), Throws.InvalidOperationException);
        task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() => { });

        Assert.That(() => task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() => { }), Throws.InvalidOperationException);
    }

    private void AwaitIdle()
    {
        long deadline = TimeProvider.System.GetTimestamp() + (long)(s_bound.TotalSeconds * TimeProvider.System.TimestampFrequency);
        while (_scheduler.Outstanding != 0)
        {
            Thread.Yield();
            Assert.That(TimeProvider.System.GetTimestamp(), Is.LessThan(deadline), $"{_scheduler.Outstanding} works are still outstanding.");
        }
    }

    private sealed class Source : WorkItem, IValueTaskSource<int>
    {
        private Completion<int> _completion;
        private int _result;
        private Exception? _error;

        public ValueTask<int> Use()
        {
            _completion.Reset();
            return new ValueTask<int>(this, _completion.Version);
        }

        public void Complete(WorkScheduler scheduler, int result)
        {
            _result = result;
            scheduler.Schedule(this);
        }

        public void Fail(WorkScheduler scheduler, Exception error)
        {
            _error = error;
            scheduler.Schedule(this);
        }

        protected override void Run()
        {
            if (_error is null)
                _completion.SetResult(_result);
            else
                _completion.SetException(_error);
        }

        int IValueTaskSource<int>.GetResult(short token) => _completion.GetResult(token);

        ValueTaskSourceStatus IValueTaskSource<int>.GetStatus(short token) => _completion.GetStatus(token);

        void IValueTaskSource<int>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
            _completion.OnCompleted(continuation, state, token, flags, this);
    }

    // Awaits a value task and looks at the count as the first thing of the continuation.
    private sealed class Probe(ValueTask<int> task, WorkScheduler scheduler) : System.Runtime.CompilerServices.ICriticalNotifyCompletion
    {
        private long _outstanding;

        public bool HasRegistered { get; private set; }

        public bool IsCompleted => task.IsCompleted;

        public Probe GetAwaiter() => this;

        public (int Result, long Outstanding) GetResult() => (task.Result, _outstanding);

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation)
        {
            HasRegistered = true;
            task.ConfigureAwait(false).GetAwaiter().UnsafeOnCompleted(() =>
            {
                _outstanding = scheduler.Outstanding;
                continuation();
            });
        }
    }

    private sealed class RecordingContext : SynchronizationContext
    {
        public override void Post(SendOrPostCallback d, object? state) => ThreadPool.QueueUserWorkItem(_ =>
        {
            SetSynchronizationContext(this);
            d(state);
            SetSynchronizationContext(null);
        });
    }
}
