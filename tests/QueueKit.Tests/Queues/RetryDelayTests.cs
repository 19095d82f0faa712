using CsCheck;

namespace QueueKit.Tests.Queues;

public class RetryDelayTests
{
    private static readonly TimeSpan s_second = TimeSpan.FromSeconds(1);

    [Test]
    public void NoneIsNoDelayEver() => Assert.That(After(RetryDelay.None, 1, 2, 1000), Is.All.EqualTo(TimeSpan.Zero));

    [Test]
    public void ConstantIsTheSameEachTime() => Assert.That(After(RetryDelay.Constant(s_second), 1, 2, 1000), Is.All.EqualTo(s_second));

    [Test]
    public void ExponentialDoublesUpToItsLongest() => Assert.That(
        After(RetryDelay.Exponential(s_second, TimeSpan.FromSeconds(10), jitter: 0), 1, 2, 3, 4, 5, 6, 1000),
        Is.EqualTo(new[] { 1, 2, 4, 8, 10, 10, 10 }.Select(seconds => TimeSpan.FromSeconds(seconds))));

    [Test]
    public void ExponentialEndsAtFiveMinutesUnlessToldOtherwise()
    {
        Assert.That(RetryDelay.Exponential(s_second).Max, Is.EqualTo(TimeSpan.FromMinutes(5)));
        Assert.That(RetryDelay.Exponential(TimeSpan.FromHours(1)).Max, Is.EqualTo(TimeSpan.FromHours(1)));
    }

    [Test]
    public void AListIsFollowedAndItsLastEntryRepeats() => Assert.That(
        After(RetryDelay.List(s_second, TimeSpan.Zero, TimeSpan.FromHours(1)), 1, 2, 3, 4, 1000),
        Is.EqualTo([s_second, TimeSpan.Zero, TimeSpan.FromHours(1), TimeSpan.FromHours(1), TimeSpan.FromHours(1)]));

    [Test]
    public void AListIsCopied()
    {
        TimeSpan[] delays = [s_second];
        RetryDelay delay = RetryDelay.List(delays);

        delays[0] = TimeSpan.FromDays(1);

        Assert.That(delay.After(1, 1), Is.EqualTo(s_second));
    }

    [Test]
    public void JitterShortensByItsShareAtMostAndNeverLengthens() =>
        Gen.Select(Gen.Long[1, TimeSpan.TicksPerDay], Gen.Double[0, 1], Gen.Int[1, 100], Gen.Long).Sample((first, jitter, attempt, sequence) =>
        {
            TimeSpan full = RetryDelay.Exponential(TimeSpan.FromTicks(first), TimeSpan.FromDays(2), jitter: 0).After(attempt, sequence);
            TimeSpan jittered = RetryDelay.Exponential(TimeSpan.FromTicks(first), TimeSpan.FromDays(2), jitter).After(attempt, sequence);
            // A tick for the rounding.
            return jittered <= full && jittered.Ticks >= full.Ticks * (1 - jitter) - 1;
        });

    [Test]
    public void JitterIsTheSameForTheSameMessageAndAttempt() => Gen.Select(Gen.Int[1, 100], Gen.Long).Sample((attempt, sequence) =>
        RetryDelay.Exponential(s_second, jitter: 1).After(attempt, sequence) == RetryDelay.Exponential(s_second, jitter: 1).After(attempt, sequence));

    [Test]
    public void WhatFailedTogetherDoesNotReturnTogether()
    {
        RetryDelay delay = RetryDelay.Exponential(s_second, jitter: 0.5);
        double[] delays = [.. Enumerable.Range(1, 1000).Select(sequence => delay.After(1, sequence).TotalMilliseconds)];

        Assert.Multiple(() =>
        {
            Assert.That(delays.Distinct().Count(), Is.GreaterThan(990));
            Assert.That(delays.Average(), Is.EqualTo(750).Within(25), "spread evenly");
            Assert.That(delays.Min(), Is.LessThan(520));
            Assert.That(delays.Max(), Is.GreaterThan(980));
        });
    }

    [Test]
    public void NoAttemptIsTooManyAndNoDelayTooLongToReckonWith() =>
        Gen.Select(Gen.Long[1, long.MaxValue], Gen.Int[1, int.MaxValue], Gen.Long, Gen.Double[0, 1]).Sample((first, attempt, sequence, jitter) =>
            RetryDelay.Exponential(TimeSpan.FromTicks(first), TimeSpan.MaxValue, jitter).After(attempt, sequence) >= TimeSpan.Zero);

    [Test]
    public void TwoThatGiveTheSameDelaysAreEqual()
    {
        RetryDelay List() => RetryDelay.List(s_second, TimeSpan.Zero);
        Assert.Multiple(() =>
        {
            Assert.That(List(), Is.EqualTo(RetryDelay.List(s_second, TimeSpan.Zero)));
            Assert.That(List().GetHashCode(), Is.EqualTo(RetryDelay.List(s_second, TimeSpan.Zero).GetHashCode()));
            Assert.That(RetryDelay.Exponential(s_second), Is.EqualTo(RetryDelay.Exponential(s_second, TimeSpan.FromMinutes(5), 0.2)));
            Assert.That(RetryDelay.Exponential(s_second), Is.Not.EqualTo(RetryDelay.Exponential(s_second, jitter: 0.3)));
            Assert.That(RetryDelay.Constant(s_second), Is.Not.EqualTo(RetryDelay.List(s_second)));
            Assert.That(RetryDelay.List(s_second), Is.Not.EqualTo(RetryDelay.List(s_second, s_second)));
        });
    }

    [Test]
    public void ItTellsWhatItIs()
    {
        Assert.Multiple(() =>
        {
            Assert.That(RetryDelay.None.ToString(), Is.EqualTo("none"));
            Assert.That(RetryDelay.Constant(s_second).ToString(), Is.EqualTo("constant 00:00:01"));
            Assert.That(RetryDelay.Exponential(s_second).ToString(), Is.EqualTo("exponential from 00:00:01 to 00:05:00, jitter 0.2"));
            Assert.That(RetryDelay.List(s_second, TimeSpan.Zero).ToString(), Is.EqualTo("list 00:00:01, 00:00:00"));
        });
    }

    [Test]
    public void WhatCannotBeADelayIsRefusedUnderItsName()
    {
        TimeSpan negative = TimeSpan.FromTicks(-1);
        Assert.Multiple(() =>
        {
            Assert.That(() => RetryDelay.Constant(negative), Refused("delay"));
            Assert.That(() => RetryDelay.Exponential(TimeSpan.Zero), Refused("first"));
            Assert.That(() => RetryDelay.Exponential(negative), Refused("first"));
            Assert.That(() => RetryDelay.Exponential(s_second, s_second / 2), Refused("max"));
            Assert.That(() => RetryDelay.Exponential(s_second, jitter: -0.1), Refused("jitter"));
            Assert.That(() => RetryDelay.Exponential(s_second, jitter: 1.1), Refused("jitter"));
            Assert.That(() => RetryDelay.Exponential(s_second, jitter: double.NaN), Refused("jitter"));
            Assert.That(() => RetryDelay.List(), Refused("delays"));
            Assert.That(() => RetryDelay.List(null!), Refused("delays"));
            Assert.That(() => RetryDelay.List(s_second, negative), Refused("delays"));
        });
    }

    private static NUnit.Framework.Constraints.EqualStringConstraint Refused(string name) =>
        Throws.InstanceOf<ArgumentException>().With.Property(nameof(ArgumentException.ParamName)).EqualTo(name);

    private static TimeSpan[] After(RetryDelay delay, params int[] attempts) => [.. attempts.Select(attempt => delay.After(attempt, sequence: 7))];
}
