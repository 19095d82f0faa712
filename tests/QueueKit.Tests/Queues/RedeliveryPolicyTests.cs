using CsCheck;
using QueueKit.Queues;

namespace QueueKit.Tests.Queues;

public class RedeliveryPolicyTests
{
    private static readonly TimeSpan s_second = TimeSpan.FromSeconds(1);

    private static readonly RedeliveryDecision s_atOnce = new(Fate.Redeliver);

    private readonly QueueOptions _options = new() { MaxAttempts = 3, RetryDelay = RetryDelay.List(s_second, 2 * s_second) };

    [TestCase(1, 1)]
    [TestCase(2, 2)]
    public void AFailedMessageComesBackAfterTheQueuesDelay(int attempts, int seconds) =>
        Assert.That(Decide(DeliveryEnd.Failed, attempts), Is.EqualTo(new RedeliveryDecision(Fate.Redeliver, seconds * s_second)));

    [Test]
    public void ADelayThatTheConsumerAskedForGoesBeforeTheQueues([Values(0, 60)] int seconds) =>
        Assert.That(Decide(DeliveryEnd.Failed, 1, delay: seconds * s_second), Is.EqualTo(new RedeliveryDecision(Fate.Redeliver, seconds * s_second)));

    [Test]
    public void AMessageWhoseLeaseTimedOutComesBackAtOnce() => Assert.That(Decide(DeliveryEnd.TimedOut, 1), Is.EqualTo(s_atOnce));

    [Test]
    public void TheLastAttemptThatFailsMakesItADeadLetter([Values(DeliveryEnd.Failed, DeliveryEnd.TimedOut)] object end, [Values(3, 4)] int attempts) =>
        Assert.That(Decide((DeliveryEnd)end, attempts, delay: s_second), Is.EqualTo(new RedeliveryDecision(Fate.DeadLetter, default, DeadLetterReasons.AttemptsExhausted)));

    [Test]
    public void WithoutALimitThereIsNoLastAttempt()
    {
        _options.MaxAttempts = null;

        Assert.That(Decide(DeliveryEnd.Failed, int.MaxValue).Fate, Is.EqualTo(Fate.Redeliver));
    }

    [Test]
    public void ARejectedMessageIsADeadLetterAtOnce() =>
        Assert.That(Decide(DeliveryEnd.Rejected, 0), Is.EqualTo(new RedeliveryDecision(Fate.DeadLetter, default, DeadLetterReasons.Rejected)));

    [TestCase(DeliveryEnd.Rejected, DeadLetterReasons.AttemptsExhausted | DeadLetterReasons.Overflow, DeadLetterReasons.Rejected)]
    [TestCase(DeliveryEnd.Failed, DeadLetterReasons.Rejected | DeadLetterReasons.Overflow, DeadLetterReasons.AttemptsExhausted)]
    [TestCase(DeliveryEnd.TimedOut, DeadLetterReasons.None, DeadLetterReasons.AttemptsExhausted)]
    public void WhatTheQueueDoesNotKeepIsDiscarded(object end, DeadLetterReasons kept, DeadLetterReasons reason)
    {
        _options.DeadLetterOn = kept;

        Assert.That(Decide((DeliveryEnd)end, 3), Is.EqualTo(new RedeliveryDecision(Fate.Discard, default, reason)));
    }

    [Test]
    public void TheFirstReleaseIsFreeAndTheNextOnesPause()
    {
        Assert.That(Decide(DeliveryEnd.Released, 0, releases: 1), Is.EqualTo(s_atOnce));
        Assert.That(Decide(DeliveryEnd.Released, 0, releases: 2), Is.EqualTo(new RedeliveryDecision(Fate.Redeliver, RedeliveryPolicy.ReleasePause)));
        Assert.That(Decide(DeliveryEnd.Released, 0, releases: 1000), Is.EqualTo(new RedeliveryDecision(Fate.Redeliver, RedeliveryPolicy.ReleasePause)));
    }

    [Test]
    public void AReleaseIsNoAttempt() => Assert.That(Decide(DeliveryEnd.Released, 3, releases: 1), Is.EqualTo(s_atOnce));

    [Test]
    public void WhatIsTakenBackComesBackAtOnceHoweverOften() => Assert.That(Decide(DeliveryEnd.TakenBack, 3, releases: 1000), Is.EqualTo(s_atOnce));

    [Test]
    public void ADeadLetterQueueGivesNothingUp() => Gen.Select(Gen.Enum<DeliveryEnd>(), Gen.Int[1, 100], Gen.Int[0, 100]).Sample((end, attempts, releases) =>
        Decide(end, attempts, releases, isDeadLetterQueue: true).Fate == Fate.Redeliver);

    [Test]
    public void AMessageRejectedInADeadLetterQueueComesBackAfterADelay() =>
        Assert.That(Decide(DeliveryEnd.Rejected, 0, releases: 1, isDeadLetterQueue: true), Is.EqualTo(new RedeliveryDecision(Fate.Redeliver, s_second)));

    [Test]
    public void TheSameHistoryGivesTheSameDecision() =>
        Gen.Select(Gen.Enum<DeliveryEnd>(), Gen.Int[1, 10], Gen.Int[0, 10], Gen.Long, Gen.Bool).Sample((end, attempts, releases, sequence, isDeadLetterQueue) =>
        {
            var options = new QueueOptions { RetryDelay = RetryDelay.Exponential(s_second, jitter: 1) };
            RedeliveryDecision Decide() => RedeliveryPolicy.Decide(
                options, isDeadLetterQueue, end, null, new MessageHistory { FailedAttempts = attempts, Releases = releases }, sequence);
            return Decide() == Decide();
        });

    private RedeliveryDecision Decide(DeliveryEnd end, int attempts, int releases = 0, TimeSpan? delay = null, bool isDeadLetterQueue = false) =>
        RedeliveryPolicy.Decide(_options, isDeadLetterQueue, end, delay, new MessageHistory { FailedAttempts = attempts, Releases = releases }, sequence: 1);
}
