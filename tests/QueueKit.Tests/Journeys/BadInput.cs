namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public class BadInput(Durability durability) : Journey(durability)
{
    [TestCase("")]
    [TestCase(" orders")]
    [TestCase("orders\t")]
    [TestCase("or\nders")]
    [TestCase("or\u007fders")]
    public void AnInvalidNameIsRefusedWithTheReason(string name) =>
        Assert.That(async () => await Declare(name), Throws.ArgumentException.With.Message.Contains("name").IgnoreCase);

    [Test]
    public void HalfASurrogatePairIsNoName() =>
        Assert.That(async () => await Declare("half \ud800 a pair"), Throws.ArgumentException.With.Message.Contains("surrogate"));

    [Test]
    public async Task ANameMayHave255BytesAndNotOneMore()
    {
        Assert.That((await Declare(new string('ü', 127) + "x")).Name, Has.Length.EqualTo(128));
        Assert.That(async () => await Declare(new string('ü', 128)), Throws.ArgumentException.With.Message.Contains("255"));
    }

    [Test]
    public void AbsentArgumentsAreRefused() => Assert.Multiple(() =>
    {
        Assert.That(async () => await Broker.DeclareQueueAsync(null!), Throws.ArgumentNullException);
        Assert.That(() => Broker.GetQueue(null!), Throws.ArgumentNullException);
        Assert.That(() => Broker.TryGetQueue(null!, out _), Throws.ArgumentNullException);
        Assert.That(async () => await Broker.DeleteQueueAsync(null!), Throws.ArgumentNullException);
    });

    [Test]
    public async Task EachMethodOfAQueueNamesWhatIsWrong()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "a");
        Delivery delivery = await Receive(queue);
        BrokerTransaction transaction = Broker.BeginTransaction();
        await using MessageReceiver receiver = queue.OpenReceiver();
        Assert.Multiple(() =>
        {
            Assert.That(async () => await queue.SendAsync(null!), Throws.ArgumentNullException);
            Assert.That(async () => await queue.TrySendAsync(null!), Throws.ArgumentNullException);
            Assert.That(async () => await queue.ReceiveAsync(-Tick), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(async () => await queue.ReceiveBatchAsync(0, TimeSpan.Zero), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(async () => await queue.ReceiveBatchAsync(1, -Tick), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => queue.OpenReceiver(new ReceiveOptions { Credit = 0 }), Throws.ArgumentException.With.Message.Contains("Credit"));
            Assert.That(() => queue.OpenReceiver(new ReceiveOptions { LeaseDuration = TimeSpan.Zero }), Throws.ArgumentException.With.Message.Contains("LeaseDuration"));
            Assert.That(() => receiver.SetCredit(0), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => queue.Consume(null!), Throws.ArgumentNullException);
            Assert.That(() => queue.Consume((_, _) => default, new ConsumeOptions { Concurrency = 0 }), Throws.ArgumentException.With.Message.Contains("Concurrency"));
            Assert.That(() => queue.Consume((_, _) => default, new ConsumeOptions { Concurrency = 10_001 }), Throws.ArgumentException);
            Assert.That(() => queue.Consume((_, _) => default, new ConsumeOptions { LeaseDuration = TimeSpan.FromDays(50) }), Throws.ArgumentException);
            Assert.That(() => queue.Pause((QueueFlow)8), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => delivery.ExtendLease(TimeSpan.Zero), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => delivery.Nack(-Tick), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => delivery.Reject(""), Throws.ArgumentException);
            Assert.That(() => delivery.Reject(null!), Throws.ArgumentNullException);
            Assert.That(() => delivery.Reject(new string('x', Settlement.MaxTextLength + 1)), Throws.ArgumentException.With.Message.Contains("4096"));
            Assert.That(() => delivery.Reject("bad", new string('x', Settlement.MaxTextLength + 1)), Throws.ArgumentException);
            Assert.That(() => transaction.Send(null!, Text("a")), Throws.ArgumentNullException);
            Assert.That(() => transaction.Send(queue, null!), Throws.ArgumentNullException);
            Assert.That(() => transaction.Settle((Delivery)null!, Settlement.Ack), Throws.ArgumentNullException);
        });
        Assert.That(delivery.Ack(), Is.EqualTo(SettleResult.Settled), "nothing has happened to it");
    }

    [Test]
    public void OptionsOutOfRangeAreRefusedByNameAndNothingIsDeclared()
    {
        (QueueOptions Options, string Name)[] bad =
        [
            (new() { Durability = (Durability)9 }, "Durability"),
            (new() { Overflow = (OverflowPolicy)9 }, "Overflow"),
            (new() { MaxMessages = 0 }, "MaxMessages"),
            (new() { MaxBytes = 0 }, "MaxBytes"),
            (new() { BackpressureTimeout = TimeSpan.Zero }, "BackpressureTimeout"),
            (new() { LeaseDuration = TimeSpan.FromTicks(9_999) }, "LeaseDuration"),
            (new() { LeaseDuration = TimeSpan.FromDays(49) + Tick, MaxLeaseDuration = TimeSpan.FromDays(50) }, "LeaseDuration"),
            (new() { MaxLeaseDuration = 29 * Second }, "MaxLeaseDuration"),
            (new() { MaxAttempts = 0 }, "MaxAttempts"),
            (new() { RetryDelay = null! }, "RetryDelay"),
            (new() { DeadLetterOn = (DeadLetterReasons)64 }, "DeadLetterOn"),
            (new() { DeadLetterQueue = "" }, "DeadLetterQueue"),
        ];
        foreach ((QueueOptions options, string name) in bad)
            Assert.That(async () => await Broker.DeclareQueueAsync("orders", options), Throws.ArgumentException.With.Message.Contains(name).And.Message.Contains("orders"), name);

        Assert.That(Broker.Queues, Is.Empty);
    }

    [Test]
    public void BrokerOptionsOutOfRangeAreRefusedByName()
    {
        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { MaxMessageBytes = 0 }), Throws.ArgumentException.With.Message.Contains("MaxMessageBytes"));
        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { DrainTimeout = -Tick }), Throws.ArgumentException.With.Message.Contains("DrainTimeout"));
        Assert.That(async () => await MessageBroker.OpenAsync(new MessageBrokerOptions { TimeProvider = null! }), Throws.ArgumentException.With.Message.Contains("TimeProvider"));
    }

    [Test]
    public async Task AMessageLargerThanTheBrokerAllowsIsRefusedAndNothingIsSent()
    {
        await OpenAnew(options => options.MaxMessageBytes = 100);
        MessageQueue queue = await Declare();
        var justRight = new Message(new byte[90]) { MessageId = "0123456789" };
        var tooLarge = new Message(new byte[91]) { MessageId = "0123456789" };

        await Soon(queue.SendAsync(justRight));
        Assert.That(async () => await queue.SendAsync(tooLarge),
            Throws.InstanceOf<MessageTooLargeException>().With.Property(nameof(MessageTooLargeException.Size)).EqualTo(101).And.Property(nameof(MessageTooLargeException.Limit)).EqualTo(100).And.Message.Contains("MaxMessageBytes"));
        Assert.That(async () => await queue.SendBatchAsync(new[] { justRight, tooLarge }), Throws.InstanceOf<MessageTooLargeException>());
        BrokerTransaction transaction = Broker.BeginTransaction();
        Assert.That(() => transaction.Send(queue, tooLarge), Throws.InstanceOf<MessageTooLargeException>());

        Assert.That(queue.GetSnapshot().Messages, Is.EqualTo(1));
    }

    [Test]
    public void PropertiesAndHeadersHaveLimitsAndMistakesAreNamed() => Assert.Multiple(() =>
    {
        string tooLong = new('x', Message.MaxPropertyBytes + 1);
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { MessageId = tooLong }, Throws.ArgumentException.With.Message.Contains("MessageId"));
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { CorrelationId = tooLong }, Throws.ArgumentException.With.Message.Contains("CorrelationId"));
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { ReplyTo = tooLong }, Throws.ArgumentException.With.Message.Contains("ReplyTo"));
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { ContentType = tooLong }, Throws.ArgumentException.With.Message.Contains("ContentType"));
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { Type = tooLong }, Throws.ArgumentException.With.Message.Contains("Type"));
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { Priority = 10 }, Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { Delay = -Tick }, Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { Delay = Minute, DueTime = default(DateTimeOffset) }, Throws.ArgumentException);
        Assert.That(() => new Message(ReadOnlyMemory<byte>.Empty) { Headers = null! }, Throws.ArgumentNullException);
        Assert.That(() => new MessageHeaders { { "", 1L } }, Throws.ArgumentException);
        Assert.That(() => new MessageHeaders { { "x", default } }, Throws.ArgumentException.With.Message.Contains("x"));
        Assert.That(() => new MessageHeaders { { new string('x', 256), 1L } }, Throws.ArgumentException.With.Message.Contains("255"));
        Assert.That(() => new MessageHeaders { { "x", new byte[MessageHeaders.MaxTotalBytes] } }, Throws.ArgumentException.With.Message.Contains("65536"));
        var headers = new MessageHeaders();
        for (int i = 0; i < MessageHeaders.MaxCount; i++)
            headers[$"{i}"] = true;
        Assert.That(() => headers["one more"] = true, Throws.ArgumentException.With.Message.Contains("256"));
        headers["0"] = "can still be replaced";
        var message = new Message(ReadOnlyMemory<byte>.Empty) { Headers = headers };
        Assert.That(() => headers["0"] = "too late", Throws.InvalidOperationException);
        Assert.That((string)message.Headers["0"], Is.EqualTo("can still be replaced"));
        Assert.That(() => (long)message.Headers["0"], Throws.InstanceOf<InvalidCastException>());
        Assert.That(() => message.Headers["absent"], Throws.InstanceOf<KeyNotFoundException>());
    });

    // ---- A ValueTask is awaited once

    [Test]
    public async Task ASecondAwaitOfAnOperationFailsAndHurtsNobodyElse()
    {
        MessageQueue queue = await DeclareFull(1), other = await Declare("other", new QueueOptions { MaxMessages = 1 });
        await Send(other, "x");
#pragma warning disable CA2012 // The misuse is what this is about.
        ValueTask<SendReceipt> sending = queue.SendAsync(Text("2"));
        ValueTask<Delivery?> nothing = (await Declare("empty")).ReceiveAsync(Second);
        ValueTask<Delivery> receiving = Broker.GetQueue("empty").ReceiveAsync();
        Assert.That(() => sending.GetAwaiter().GetResult(), Throws.InvalidOperationException, "asked before it is complete");
        Assert.That(() => receiving.GetAwaiter().GetResult(), Throws.InvalidOperationException, "asked before it is complete");
        await Drain(queue);
        Advance(Second);
        await Idle(queue);
        await Send(Broker.GetQueue("empty"), "m");
        await Idle(queue);
        Assert.That((await sending).Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(await nothing, Is.Null);
        Assert.That(Text(await receiving), Is.EqualTo("m"));

        // Others use the pooled objects by now.
        Task<SendReceipt> innocentSend = other.SendAsync(Text("y")).AsTask();
        Task<Delivery> innocentReceive = queue.ReceiveAsync().AsTask();
        Assert.That(async () => await sending, Throws.InvalidOperationException);
        Assert.That(async () => await nothing, Throws.InvalidOperationException);
        Assert.That(async () => await receiving, Throws.InvalidOperationException);
#pragma warning restore CA2012

        await Drain(other);
        await Soon(innocentSend);
        await Send(queue, "z");
        Assert.That(Text(await Soon(innocentReceive)), Is.EqualTo("z"));
    }

    [Test]
    public async Task ASecondAwaitOfAReceiversWaitDoesNotBringASettledMessageBack()
    {
        MessageQueue queue = await Declare();
        await using MessageReceiver receiver = queue.OpenReceiver();
#pragma warning disable CA2012 // The misuse is what this is about.
        ValueTask<bool> waiting = receiver.WaitToReceiveAsync();
        await Send(queue, "a");
        Assert.That(await waiting);
        Assert.That(receiver.TryReceive(out Delivery? delivery));
        delivery!.Ack();
        Assert.That(async () => await waiting, Throws.InvalidOperationException);
#pragma warning restore CA2012

        Assert.That(receiver.TryReceive(out _), Is.False);
    }
}
