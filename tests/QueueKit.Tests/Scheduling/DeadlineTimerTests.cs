using CsCheck;
using QueueKit.Scheduling;

namespace QueueKit.Tests.Scheduling;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public sealed class DeadlineTimerTests : IDisposable
{
    private readonly VirtualClock _time = new();
    private readonly BrokerClock _clock;
    private readonly DeadlineTimer _timer;

    public DeadlineTimerTests()
    {
        _clock = new BrokerClock(_time);
        _timer = new DeadlineTimer(_clock);
    }

    public void Dispose() => _timer.Dispose();

    [Test]
    public void ATargetIsCalledAtItsDeadlineAndNotBefore()
    {
        Target target = Armed(Ms(30_000));

        _time.Advance(TimeSpan.FromMilliseconds(29_999));
        Assert.That(target.Calls, Is.Empty);

        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.That(target.Calls, Is.EqualTo([Ms(30_000)]));
    }

    [Test]
    public void ATargetIsCalledOnce()
    {
        Target target = Armed(Ms(10));

        _time.Advance(TimeSpan.FromDays(3));

        Assert.That(target.Calls, Has.Count.EqualTo(1));
        Assert.That(target.ArmedAt, Is.EqualTo(long.MaxValue));
    }

    [Test]
    public void ADeadlineBetweenTwoMillisecondsIsMetToTheTick()
    {
        Target target = Armed(Ms(10) + 1);

        _time.Advance(TimeSpan.FromMilliseconds(11));

        Assert.That(target.Calls, Is.EqualTo([Ms(10) + 1]));
    }

    [Test]
    public void ADeadlineThatHasPassedIsDueAtOnce()
    {
        _time.Advance(TimeSpan.FromSeconds(5));
        Target target = Armed(Ms(1000));

        _time.Advance(TimeSpan.Zero);

        Assert.That(target.Calls, Has.Count.EqualTo(1));
    }

    [Test]
    public void AnEarlierDeadlineGoesBeforeTheOneArmedBefore()
    {
        Target target = Armed(Ms(1000), Ms(400));

        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(target.Calls, Is.EqualTo([Ms(400)]));
    }

    [Test]
    public void ALaterDeadlineChangesNothing()
    {
        Target target = Armed(Ms(400), Ms(1000));

        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(target.Calls, Is.EqualTo([Ms(400)]));
    }

    [Test]
    public void ATargetMayArmAgainInItsCall()
    {
        Target target = Armed(Ms(100));
        target.OnCall = () =>
        {
            if (target.Calls.Count < 3)
                _timer.Arm(target, _clock.Now + Ms(50));
        };

        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(target.Calls, Is.EqualTo([Ms(100), Ms(150), Ms(200)]));
    }

    [Test]
    public void ATargetThatStillHasALaterDeadlineIsCalledForItToo()
    {
        Target target = Armed(Ms(1000), Ms(400));
        target.OnCall = () =>
        {
            if (target.Calls.Count == 1)
                _timer.Arm(target, Ms(1000));
        };

        _time.Advance(TimeSpan.FromSeconds(2));

        Assert.That(target.Calls, Is.EqualTo([Ms(400), Ms(1000)]));
    }

    [Test]
    public void TargetsAreCalledInTheOrderOfTheirDeadlines()
    {
        var calls = new List<string>();
        foreach ((string name, long deadline) in new[] { ("c", Ms(300)), ("a", Ms(100)), ("d", Ms(300) + 1), ("b", Ms(200)) })
        {
            Target target = Armed(deadline);
            target.OnCall = () => calls.Add(name);
        }

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(calls, Is.EqualTo(["a", "b", "c", "d"]));
    }

    [Test]
    public void ManyTargetsShareOneTimer()
    {
        for (int i = 1; i <= 100; i++)
            Armed(Ms(i));

        Assert.That(_time.ArmedTimers, Is.EqualTo(1));
    }

    [Test]
    public void WithNothingToWaitForTheTimerRests()
    {
        Armed(Ms(10));

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(_time.ArmedTimers, Is.Zero);
    }

    [Test]
    public void ADeadlineBeyondWhatSystemTimersTakeIsKept()
    {
        long deadline = TimeSpan.FromDays(100).Ticks;
        Target target = Armed(deadline);

        _time.Advance(TimeSpan.FromDays(99));
        Assert.That(target.Calls, Is.Empty);

        _time.Advance(TimeSpan.FromDays(2));
        Assert.That(target.Calls, Is.EqualTo([deadline]));
    }

    [Test]
    public void NoDeadlineIsNone()
    {
        Armed(long.MaxValue);

        Assert.That(_time.ArmedTimers, Is.Zero);
    }

    [Test]
    public void ATargetThatIsDisarmedIsNotCalled()
    {
        Target gone = Armed(Ms(10)), other = Armed(Ms(10));

        Assert.That(_timer.Disarm(gone), Is.True);
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That((gone.Calls.Count, other.Calls.Count), Is.EqualTo((0, 1)));
    }

    [Test]
    public void WhoeverIsCalledOrNeverArmedCannotBeDisarmed()
    {
        Target never = new(), called = Armed(Ms(10));
        bool? disarmed = null;
        called.OnCall = () => disarmed = _timer.Disarm(called);

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That((disarmed, _timer.Disarm(called), _timer.Disarm(never)), Is.EqualTo(((bool?)false, false, false)));
    }

    [Test]
    public void ADisarmedTargetMayBeArmedAgainForTheSameTime()
    {
        Target target = Armed(Ms(10));
        _timer.Disarm(target);
        _timer.Arm(target, Ms(10));

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(target.Calls, Is.EqualTo([Ms(10)]));
    }

    [Test]
    public void ManyThatAreDisarmedAreNotHeldUntilTheirDeadlines()
    {
        Target awaited = Armed(Ms(50));
        WeakReference[] gone = ArmAndDisarm(10_000);

        GC.Collect();

        Assert.That(gone.Count(target => target.IsAlive), Is.LessThan(200));
        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.That(awaited.Calls, Is.EqualTo([Ms(50)]));
    }

    // In a method of its own, so that no local keeps a target alive.
    [System.Runtime.CompilerServices.MethodImpl(System.Runtime.CompilerServices.MethodImplOptions.NoInlining)]
    private WeakReference[] ArmAndDisarm(int count)
    {
        var targets = new WeakReference[count];
        for (int i = 0; i < count; i++)
        {
            Target target = Armed(TimeSpan.TicksPerDay + i);
            targets[i] = new WeakReference(target);
            _timer.Disarm(target);
        }
        return targets;
    }

    [Test]
    public void AfterItsDisposalNobodyIsCalled()
    {
        Target target = Armed(Ms(10));

        _timer.Dispose();
        _timer.Arm(target, Ms(5));
        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(target.Calls, Is.Empty);
    }

    [Test]
    public void ItMayBeDisposedTwiceAndFromACall()
    {
        Target first = Armed(Ms(10)), second = Armed(Ms(10));
        first.OnCall = second.OnCall = _timer.Dispose;

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.That(first.Calls.Count + second.Calls.Count, Is.EqualTo(1));
        _timer.Dispose();
    }

    [Test]
    public void TheOpenersContextIsNotCarriedOn()
    {
        var probe = new ContextProbe();
        using var timer = new DeadlineTimer(new BrokerClock(probe));

        Assert.That(probe.WasSuppressed, Is.True);
        Assert.That(ExecutionContext.IsFlowSuppressed(), Is.False);
    }

    // Whoever is armed for the same or an earlier time is called by then; and nobody is called unless armed.
    [Test]
    public void EveryTargetIsCalledByItsEarliestDeadline() => Gen.Select(Gen.Int[0, 3], Gen.Int[-20, 500], Gen.Int[0, 60]).Array[0, 250].Sample(steps =>
    {
        var time = new VirtualClock();
        var clock = new BrokerClock(time);
        using var timer = new DeadlineTimer(clock);
        Target[] targets = [new(), new(), new(), new()];
        long?[] earliest = new long?[targets.Length];
        foreach ((int which, int after, int advance) in steps)
        {
            if (after < 0)
            {
                Assert.That(timer.Disarm(targets[which]), Is.EqualTo(earliest[which] is not null));
                earliest[which] = null;
            }
            else
            {
                long deadline = clock.Now + Ms(after);
                timer.Arm(targets[which], deadline);
                earliest[which] = Math.Min(earliest[which] ?? long.MaxValue, deadline);
            }

            int[] calls = [.. targets.Select(target => target.Calls.Count)];
            time.Advance(TimeSpan.FromMilliseconds(advance));
            for (int i = 0; i < targets.Length; i++)
            {
                bool isDue = earliest[i] <= clock.Now;
                Assert.That(targets[i].Calls, Has.Count.EqualTo(calls[i] + (isDue ? 1 : 0)));
                if (isDue)
                {
                    Assert.That(targets[i].Calls[^1], Is.EqualTo(earliest[i]));
                    earliest[i] = null;
                }
            }
        }
    }, iter: 300);

    private Target Armed(params long[] deadlines)
    {
        var target = new Target();
        foreach (long deadline in deadlines)
            _timer.Arm(target, deadline);
        return target;
    }

    private static long Ms(int milliseconds) => milliseconds * TimeSpan.TicksPerMillisecond;

    private sealed class Target : IDeadlineTarget
    {
        public long ArmedAt { get; set; } = long.MaxValue;

        /// <summary>When it was called.</summary>
        public List<long> Calls { get; } = [];

        public Action? OnCall { get; set; }

        public void OnDeadline(long now)
        {
            Calls.Add(now);
            OnCall?.Invoke();
        }
    }

    // Looks whether timers are made without a context to carry.
    private sealed class ContextProbe : TimeProvider
    {
        public bool WasSuppressed { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            WasSuppressed = ExecutionContext.IsFlowSuppressed();
            return base.CreateTimer(callback, state, dueTime, period);
        }
    }
}
