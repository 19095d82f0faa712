namespace QueueKit.Tests.Queues;

public class QueueOptionsTests
{
    [Test]
    public void TheDefaultsAreGood()
    {
        var options = new QueueOptions();

        Assert.That(() => options.Validate("orders"), Throws.Nothing);
        Assert.Multiple(() =>
        {
            Assert.That((options.Overflow, options.MaxMessages, options.MaxBytes), Is.EqualTo((OverflowPolicy.Backpressure, 10_000L, 64L * 1024 * 1024)));
            Assert.That((options.LeaseDuration, options.MaxAttempts, options.Durability), Is.EqualTo((TimeSpan.FromSeconds(30), 5, Durability.Default)));
            Assert.That((options.RetryDelay.Kind, options.RetryDelay.Jitter > 0), Is.EqualTo((RetryDelayKind.Exponential, true)));
        });
    }

    [Test]
    public void TheOptionsForDeadLettersAreGoodForThem() => Assert.That(() => QueueOptions.ForDeadLetters().Validate("orders.dead"), Throws.Nothing);

    private static readonly (string Option, QueueOptions Options)[] s_outOfRange =
    [
        (nameof(QueueOptions.Durability), new() { Durability = (Durability)17 }),
        (nameof(QueueOptions.Overflow), new() { Overflow = (OverflowPolicy)17 }),
        (nameof(QueueOptions.MaxMessages), new() { MaxMessages = 0 }),
        (nameof(QueueOptions.MaxMessages), new() { MaxMessages = -1 }),
        (nameof(QueueOptions.MaxBytes), new() { MaxBytes = 0 }),
        (nameof(QueueOptions.BackpressureTimeout), new() { BackpressureTimeout = TimeSpan.Zero }),
        (nameof(QueueOptions.BackpressureTimeout), new() { BackpressureTimeout = TimeSpan.FromTicks(-1) }),
        (nameof(QueueOptions.LeaseDuration), new() { LeaseDuration = TimeSpan.Zero }),
        (nameof(QueueOptions.LeaseDuration), new() { LeaseDuration = TimeSpan.FromMilliseconds(1) - TimeSpan.FromTicks(1) }),
        (nameof(QueueOptions.LeaseDuration), new() { LeaseDuration = TimeSpan.FromDays(49) + TimeSpan.FromTicks(1), MaxLeaseDuration = TimeSpan.MaxValue }),
        (nameof(QueueOptions.MaxLeaseDuration), new() { LeaseDuration = TimeSpan.FromMinutes(5), MaxLeaseDuration = TimeSpan.FromMinutes(4) }),
        (nameof(QueueOptions.MaxAttempts), new() { MaxAttempts = 0 }),
        (nameof(QueueOptions.RetryDelay), new() { RetryDelay = null! }),
        (nameof(QueueOptions.DeadLetterQueue), new() { DeadLetterQueue = "" }),
        (nameof(QueueOptions.DeadLetterQueue), new() { DeadLetterQueue = " padded" }),
        (nameof(QueueOptions.DeadLetterOn), new() { DeadLetterOn = (DeadLetterReasons)8 }),
    ];

    [Test]
    public void AnOptionOutOfRangeIsNamedWithItsQueue([ValueSource(nameof(s_outOfRange))] (string Option, QueueOptions Options) wrong) =>
        Assert.That(() => wrong.Options.Validate("orders"), Throws.ArgumentException.With.Message.Contains("Queue 'orders'").And.Message.Contains(wrong.Option));

    private static readonly QueueOptions[] s_justWithinRange =
    [
        new() { MaxMessages = 1, MaxBytes = 1 },
        new() { MaxMessages = long.MaxValue, MaxBytes = long.MaxValue },
        new() { MaxMessages = null, MaxBytes = null, MaxAttempts = null },
        new() { BackpressureTimeout = TimeSpan.FromTicks(1) },
        new() { LeaseDuration = TimeSpan.FromMilliseconds(1), MaxLeaseDuration = TimeSpan.FromMilliseconds(1) },
        new() { LeaseDuration = TimeSpan.FromDays(49), MaxLeaseDuration = TimeSpan.FromDays(49) },
        new() { MaxAttempts = 1, RetryDelay = RetryDelay.None, DeadLetterOn = DeadLetterReasons.None },
        new() { DeadLetterOn = DeadLetterReasons.Rejected | DeadLetterReasons.AttemptsExhausted | DeadLetterReasons.Overflow, DeadLetterQueue = "letters" },
    ];

    [Test]
    public void TheEndsOfTheRangesAreGood([ValueSource(nameof(s_justWithinRange))] QueueOptions options) => Assert.That(() => options.Validate("orders"), Throws.Nothing);

    [Test]
    public void AQueueOfDeadLettersHasNoneOfItsOwn()
    {
        Assert.That(() => new QueueOptions().Validate("orders.dead"), Throws.ArgumentException.With.Message.Contains(".dead").And.Message.Contains("ForDeadLetters"));
        Assert.That(() => new QueueOptions { DeadLetterOn = DeadLetterReasons.None, DeadLetterQueue = "more" }.Validate("orders.dead"), Throws.ArgumentException.With.Message.Contains("DeadLetterQueue"));
    }

    [Test]
    public void OptionsWithEqualValuesAreEqual()
    {
        var options = new QueueOptions { RetryDelay = RetryDelay.List(TimeSpan.Zero), DeadLetterQueue = "letters" };

        Assert.That(options with { }, Is.EqualTo(options));
        Assert.That(options with { MaxAttempts = 6 }, Is.Not.EqualTo(options));
        Assert.That(options with { RetryDelay = RetryDelay.List(TimeSpan.Zero) }, Is.EqualTo(options));
    }

    private static readonly (string Option, MessageBrokerOptions Options)[] s_brokerOutOfRange =
    [
        (nameof(MessageBrokerOptions.TimeProvider), new() { TimeProvider = null! }),
        (nameof(MessageBrokerOptions.MaxMessageBytes), new() { MaxMessageBytes = 0 }),
        (nameof(MessageBrokerOptions.MaxMessageBytes), new() { MaxMessageBytes = (1 << 30) + 1 }),
        (nameof(MessageBrokerOptions.MaxLoadedBytes), new() { MaxLoadedBytes = 1024 * 1024 - 1 }),
        (nameof(MessageBrokerOptions.DrainTimeout), new() { DrainTimeout = TimeSpan.FromTicks(-1) }),
        (nameof(MessageBrokerOptions.DrainTimeout), new() { DrainTimeout = TimeSpan.FromDays(49) + TimeSpan.FromTicks(1) }),
    ];

    [Test]
    public void ABrokersOptionOutOfRangeIsNamed([ValueSource(nameof(s_brokerOutOfRange))] (string Option, MessageBrokerOptions Options) wrong) =>
        Assert.That(wrong.Options.Validate, Throws.ArgumentException.With.Message.Contains(wrong.Option));

    [Test]
    public void ABrokersDefaultsAndTheEndsOfItsRangesAreGood()
    {
        Assert.That(new MessageBrokerOptions().Validate, Throws.Nothing);
        Assert.That(new MessageBrokerOptions { MaxMessageBytes = 1, DrainTimeout = TimeSpan.Zero }.Validate, Throws.Nothing);
        Assert.That(new MessageBrokerOptions { MaxMessageBytes = 1 << 30, DrainTimeout = TimeSpan.FromDays(49) }.Validate, Throws.Nothing);
    }

    [TestCase(0, "Credit is 0")]
    [TestCase(-1, "Credit is -1")]
    public void AReceiversCreditIsAtLeastOne(int credit, string said) =>
        Assert.That(() => new ReceiveOptions { Credit = credit }.Validate("orders"), Throws.ArgumentException.With.Message.Contains(said).And.Message.Contains("'orders'"));

    [TestCase(0)]
    [TestCase(-1)]
    [TestCase(10_001)]
    public void AHandlersConcurrencyIsWithinItsRange(int concurrency) =>
        Assert.That(() => new ConsumeOptions { Concurrency = concurrency }.Validate("orders"), Throws.ArgumentException.With.Message.Contains($"Concurrency is {concurrency}").And.Message.Contains("'orders'"));

    [Test]
    public void AConsumersOwnLeaseIsWithinTheSameRangeAsTheQueues()
    {
        TimeSpan tooShort = TimeSpan.Zero;

        Assert.That(() => new ReceiveOptions { LeaseDuration = tooShort }.Validate("orders"), Throws.ArgumentException.With.Message.Contains("LeaseDuration"));
        Assert.That(() => new ConsumeOptions { LeaseDuration = tooShort }.Validate("orders"), Throws.ArgumentException.With.Message.Contains("LeaseDuration"));
        Assert.That(() => new ReceiveOptions { Credit = 1, LeaseDuration = TimeSpan.FromMilliseconds(1), AtMostOnce = true }.Validate("orders"), Throws.Nothing);
        Assert.That(() => new ConsumeOptions { Concurrency = 10_000, LeaseDuration = TimeSpan.FromDays(49) }.Validate("orders"), Throws.Nothing);
    }
}
