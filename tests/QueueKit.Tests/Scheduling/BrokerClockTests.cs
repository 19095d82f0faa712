using QueueKit.Scheduling;

namespace QueueKit.Tests.Scheduling;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
public class BrokerClockTests
{
    private static readonly TimeSpan s_hour = TimeSpan.FromHours(1);

    private readonly VirtualClock _time = new();
    private readonly BrokerClock _clock;

    public BrokerClockTests() => _clock = new BrokerClock(_time);

    [Test]
    public void MonotonicTimeIsInTicksOf100Nanoseconds()
    {
        long start = _clock.Now;

        _time.Advance(TimeSpan.FromTicks(12_345_678));

        Assert.That(_clock.Now - start, Is.EqualTo(12_345_678));
    }

    [Test]
    public void MonotonicTimeDoesNotJumpWithTheWallClock()
    {
        long before = _clock.Now;

        _time.JumpWallClock(s_hour);
        _time.JumpWallClock(-2 * s_hour);

        Assert.That(_clock.Now, Is.EqualTo(before));
    }

    [Test]
    public void ATimerOfAnotherFrequencyIsConverted()
    {
        var clock = new BrokerClock(new Milliseconds());

        Assert.That(clock.Now, Is.EqualTo(5 * TimeSpan.TicksPerMillisecond));
    }

    [Test]
    public void TheSystemsOwnClockGoesForward()
    {
        var clock = new BrokerClock(TimeProvider.System);
        long now = clock.Now;

        Assert.That(clock.Now, Is.GreaterThanOrEqualTo(now));
        Assert.That(clock.ToUtc(now), Is.EqualTo(TimeProvider.System.GetUtcNow()).Within(TimeSpan.FromMinutes(1)));
    }

    [Test]
    public void AMonotonicTimeIsTheWallTimeThen()
    {
        DateTimeOffset then = _time.GetUtcNow();
        long monotonic = _clock.Now;

        _time.Advance(s_hour);

        Assert.Multiple(() =>
        {
            Assert.That(_clock.ToUtc(monotonic), Is.EqualTo(then));
            Assert.That(_clock.ToUtc(_clock.Now), Is.EqualTo(then + s_hour));
        });
    }

    [TestCase(1)]
    [TestCase(-1)]
    public void AfterAJumpOfTheWallClockTheNewTimeIsShownWithinASecondAndATick(int hours)
    {
        _clock.ToUtc(_clock.Now);
        _time.JumpWallClock(hours * s_hour);

        _time.Advance(TimeSpan.FromSeconds(1) + TimeSpan.FromTicks(1));

        Assert.That(_clock.ToUtc(_clock.Now), Is.EqualTo(_time.GetUtcNow()));
    }

    [Test]
    public void WhoeverReadsTheWallClockIsNotToldAnotherTimeAMomentLater([Values(-1, 1)] int hours)
    {
        _clock.ToUtc(_clock.Now);
        _time.JumpWallClock(hours * s_hour);

        DateTimeOffset read = _clock.ReadWallClock();

        Assert.That((read, _clock.ToUtc(_clock.Now)), Is.EqualTo((_time.GetUtcNow(), _time.GetUtcNow())));
    }

    [Test]
    public void ATimeFromBeforeTheCalendarIsItsFirstDay() =>
        Assert.That(_clock.ToUtc(long.MinValue / 2), Is.EqualTo(DateTimeOffset.MinValue));

    [Test]
    public void AWallTimeOfThePastLiesBeforeNow()
    {
        long now = _clock.Now;

        Assert.That(_clock.ToMonotonic(_time.GetUtcNow() - s_hour, now), Is.EqualTo(now - s_hour.Ticks));
    }

    [Test]
    public void AWallTimeComesBackFromItsMonotonicTime([Values(-48, 0, 48)] int hours)
    {
        // From before the machine was started, too; or from the future, if the wall clock has been set back since.
        DateTimeOffset wall = _time.GetUtcNow() + hours * s_hour;

        Assert.That(_clock.ToUtc(_clock.ToMonotonic(wall, _clock.Now)), Is.EqualTo(wall));
    }

    private sealed class Milliseconds : TimeProvider
    {
        public override long TimestampFrequency => 1000;

        public override long GetTimestamp() => 5;
    }
}
