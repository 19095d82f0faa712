namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Written)]
[TestFixture(Durability.Flushed)]
public class Sending(Durability durability) : Journey(durability)
{
    [Test]
    public async Task TheReceiptTellsOutcomeSequenceAndTheDurabilityReached()
    {
        MessageQueue queue = await Declare();

        SendReceipt first = await Soon(queue.SendAsync(Text("a")));
        SendReceipt second = await Soon(queue.TrySendAsync(Text("b")));

        Assert.Multiple(() =>
        {
            Assert.That(first.Outcome, Is.EqualTo(SendOutcome.Accepted));
            Assert.That(second.Outcome, Is.EqualTo(SendOutcome.Accepted));
            Assert.That(first.Durability, Is.EqualTo(Durability));
            Assert.That(second.Durability, Is.EqualTo(Durability));
            Assert.That(first.Sequence, Is.Positive);
            Assert.That(second.Sequence, Is.GreaterThan(first.Sequence));
        });
        Assert.That((await Receive(queue)).Sequence, Is.EqualTo(first.Sequence));
        Assert.That((await Receive(queue)).Sequence, Is.EqualTo(second.Sequence));
    }

    [Test]
    public async Task MessagesAreHandedOutInTheOrderInWhichTheyWereAdmitted()
    {
        MessageQueue queue = await Declare();
        string[] sent = [.. Enumerable.Range(0, 300).Select(i => $"{i}")];

        await Send(queue, sent);

        Assert.That(await Drain(queue), Is.EqualTo(sent));
    }

    [Test]
    public async Task HigherPrioritiesGoFirst()
    {
        MessageQueue queue = await Declare();
        foreach ((string body, byte priority) in new (string, byte)[] { ("low 1", 0), ("high 1", 9), ("middle", 4), ("low 2", 0), ("high 2", 9) })
            await Soon(queue.SendAsync(new Message(Text(body).Body) { Priority = priority }));

        Assert.That(await Drain(queue), Is.EqualTo(["high 1", "high 2", "middle", "low 1", "low 2"]));
    }

    [Test]
    public async Task WhatIsSaidOfMessagesChangesTheirOrderOnlyIfItIsTheirPriority()
    {
        MessageQueue queue = await Declare();
        for (int i = 0; i < 100; i++)
            await Soon(queue.SendAsync(i % 3 == 0 ? Text($"{i}") : new Message(Text($"{i}").Body) { Type = "number", Priority = (byte)(i == 70 ? 1 : 0) }));

        QueueSnapshot full = queue.GetSnapshot();

        string[] sent = [.. Enumerable.Range(0, 100).Select(i => $"{i}")];
        Assert.That(full.Bytes, Is.EqualTo(sent.Sum(text => text.Length) + Enumerable.Range(0, 100).Count(i => i % 3 != 0) * "number".Length));
        Assert.That(await Drain(queue), Is.EqualTo(sent.Where(text => text != "70").Prepend("70")));
        Assert.That(queue.GetSnapshot().Bytes, Is.Zero);
    }

    [Test]
    public async Task EverythingSaidOfAMessageArrivesWithIt()
    {
        MessageQueue queue = await Declare();
        Message sent = Letter();

        await Soon(queue.SendAsync(sent));

        AssertSame((await Receive(queue)).Message, sent);
    }

    [Test]
    public async Task ABatchIsSentWholeAndItsMessagesFollowEachOther()
    {
        MessageQueue queue = await Declare();
        await Send(queue, "before");

        SendReceipt receipt = await Soon(queue.SendBatchAsync(new[] { Text("a"), Text("b"), Text("c") }));
        await Send(queue, "after");

        Assert.That(receipt.Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(receipt.Durability, Is.EqualTo(Durability));
        IReadOnlyList<Delivery> received = await queue.ReceiveBatchAsync(10, TimeSpan.Zero);
        Assert.That(received.Select(Text), Is.EqualTo(["before", "a", "b", "c", "after"]));
        Assert.That(received.Skip(1).Take(3).Select(delivery => delivery.Sequence), Is.EqualTo([receipt.Sequence, receipt.Sequence + 1, receipt.Sequence + 2]));
    }

    [Test]
    public async Task TheMemoryOfABatchMayBeReusedWhenTheSendHasReturnedItsTask()
    {
        MessageQueue queue = await DeclareFull(2);
        Message[] batch = [Text("a"), Text("b")];

        Task<SendReceipt> sending = queue.SendBatchAsync(batch).AsTask();
        batch[0] = batch[1] = Text("overwritten");
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(2, TimeSpan.Zero))
            delivery.Ack();

        await Soon(sending);
        Assert.That(await Drain(queue), Is.EqualTo(["a", "b"]));
    }

    [Test]
    public async Task AnEmptyBatchIsAcceptedAndIsNothing()
    {
        MessageQueue queue = await Declare();

        SendReceipt receipt = await Soon(queue.SendBatchAsync(default));

        Assert.That(receipt.Outcome, Is.EqualTo(SendOutcome.Accepted));
        Assert.That(queue.GetSnapshot().Counts.Accepted, Is.Zero);
    }

    [Test]
    public async Task ABatchWithAHoleIsRefusedAndTheHoleIsNamed()
    {
        MessageQueue queue = await Declare();

        Assert.That(() => queue.SendBatchAsync(new[] { Text("a"), null!, Text("c") }), Throws.ArgumentException.With.Message.Contains("Element 1"));

        Assert.That(await IsQuiet(queue));
    }

    [Test]
    public async Task TheSameMessageCanBeSentAnyNumberOfTimesAndToAnyQueue()
    {
        MessageQueue queue = await Declare();
        MessageQueue other = await Declare("other");
        Message message = Letter();

        await Soon(queue.SendAsync(message));
        await Soon(queue.SendBatchAsync(new[] { message, message }));
        await Soon(other.SendAsync(message));

        Assert.That(queue.GetSnapshot().Ready.Messages, Is.EqualTo(3));
        foreach (Delivery delivery in await queue.ReceiveBatchAsync(3, TimeSpan.Zero))
            AssertSame(delivery.Message, message);
        AssertSame((await Receive(other)).Message, message);
    }

    [Test]
    public async Task ASendWhoseTokenIsCancelledBeforehandSendsNothing()
    {
        MessageQueue queue = await Declare();
        var cancelled = new CancellationToken(canceled: true);

        Assert.That(async () => await queue.SendAsync(Text("a"), cancelled), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await queue.TrySendAsync(Text("a"), cancelled), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await queue.SendBatchAsync(new[] { Text("a") }, cancelled), Throws.InstanceOf<OperationCanceledException>());

        Assert.That(await IsQuiet(queue));
        Assert.That(queue.GetSnapshot().Counts.Accepted, Is.Zero);
    }

    [Test]
    public async Task ManyProducersAtOnceLoseNothingAndEachKeepsItsOwnOrder()
    {
        const int Producers = 8, Each = 200;
        MessageQueue queue = await Declare(new QueueOptions { MaxMessages = null });

        await Soon(Task.WhenAll(Enumerable.Range(0, Producers).Select(producer => Task.Run(async () =>
        {
            for (int i = 0; i < Each; i++)
                await queue.SendAsync(Text($"{producer}:{i:000}"));
        }))));

        string[] received = await Drain(queue);
        Assert.That(received, Has.Length.EqualTo(Producers * Each).And.Unique);
        foreach (IGrouping<string, string> producer in received.GroupBy(body => body.Split(':')[0]))
            Assert.That(producer, Is.Ordered);
    }

    [Test]
    public async Task AReplyFindsItsWayByReplyToAndCorrelationId()
    {
        MessageQueue requests = await Declare("requests");
        MessageQueue replies = await Declare("replies");
        await Soon(requests.SendAsync(new Message(Text("6 x 7").Body) { ReplyTo = replies.Name, CorrelationId = "question 1" }));

        Delivery request = await Receive(requests);
        MessageQueue to = Broker.GetQueue(request.Message.ReplyTo!);
        await Soon(to.SendAsync(new Message(Text("42").Body) { CorrelationId = request.Message.CorrelationId }));
        request.Ack();

        Delivery reply = await Receive(replies);
        Assert.That((Text(reply), reply.Message.CorrelationId), Is.EqualTo(("42", "question 1")));
    }

    internal static Message Letter() => new(Text("hello").Body)
    {
        MessageId = "id-1",
        CorrelationId = "correlation-ü",
        ReplyTo = "replies",
        ContentType = "text/plain",
        Type = "greeting",
        Priority = 7,
        Headers = new MessageHeaders
        {
            { "string", "grüß dich" },
            { "empty", "" },
            { "true", true },
            { "false", false },
            { "long", long.MinValue },
            { "double", double.NegativeInfinity },
            { "nan", double.NaN },
            { "guid", new Guid("0d95aca0-6a3f-4a0c-8b3f-3c1d7a0c9d11") },
            { "time", new DateTimeOffset(2026, 2, 28, 23, 59, 59, TimeSpan.FromHours(-9.5)).AddTicks(1) },
            { "bytes", new byte[] { 0, 255, 1, 254 } },
            { "no bytes", Array.Empty<byte>() },
        },
    };

    internal static void AssertSame(Message actual, Message expected) => Assert.Multiple(() =>
    {
        Assert.That(actual.Body.ToArray(), Is.EqualTo(expected.Body.ToArray()));
        Assert.That(actual.MessageId, Is.EqualTo(expected.MessageId));
        Assert.That(actual.CorrelationId, Is.EqualTo(expected.CorrelationId));
        Assert.That(actual.ReplyTo, Is.EqualTo(expected.ReplyTo));
        Assert.That(actual.ContentType, Is.EqualTo(expected.ContentType));
        Assert.That(actual.Type, Is.EqualTo(expected.Type));
        Assert.That(actual.Priority, Is.EqualTo(expected.Priority));
        Assert.That(actual.Size, Is.EqualTo(expected.Size));
        Assert.That(actual.Headers.Select(header => header.Key), Is.EqualTo(expected.Headers.Select(header => header.Key)));
        foreach ((string name, HeaderValue value) in expected.Headers)
            Assert.That(actual.Headers[name], Is.EqualTo(value), name);
    });
}
