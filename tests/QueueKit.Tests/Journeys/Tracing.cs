using System.Diagnostics;
using QueueKit.Stores;
using QueueKit.Tests.Diagnostics;

namespace QueueKit.Tests.Journeys;

[TestFixture(Durability.Transient)]
[TestFixture(Durability.Flushed)]
public sealed class Tracing(Durability durability) : Journey(durability), IDisposable
{
    private const string Foreign = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    private ActivityRecorder? _recorder;

    private ActivityRecorder Recorder => _recorder ??= new ActivityRecorder();

    public void Dispose() => _recorder?.Dispose();

    [Test]
    public async Task ASendAReceiveAndASettleAreLinkedByTheMessagesHeaders()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        var sent = new Message(Text("1").Body) { MessageId = "id 1", CorrelationId = "conversation 1", Headers = new MessageHeaders { { "line", 7L } } };
        await Soon(queue.SendAsync(sent));
        Delivery delivery = await Receive(queue);
        await Soon(delivery.AckAsync());

        Activity send = recorder["send orders"], receive = recorder["receive orders"], ack = recorder["ack orders"];
        const string common = "messaging.destination.name=orders messaging.message.conversation_id=conversation 1 messaging.message.id=id 1";
        Assert.Multiple(() =>
        {
            Assert.That(recorder.All, Has.Length.EqualTo(3));
            Assert.That((send.Kind, receive.Kind, ack.Kind), Is.EqualTo((ActivityKind.Producer, ActivityKind.Client, ActivityKind.Client)));
            Assert.That(ActivityRecorder.Tags(send), Is.EqualTo($"{common} messaging.operation.name=send messaging.operation.type=send messaging.system=queuekit"));
            Assert.That(ActivityRecorder.Tags(receive), Is.EqualTo($"{common} messaging.operation.name=receive messaging.operation.type=receive messaging.system=queuekit"));
            Assert.That(ActivityRecorder.Tags(ack), Is.EqualTo($"{common} messaging.operation.name=ack messaging.operation.type=settle messaging.system=queuekit"));
            Assert.That((string)delivery.Message.Headers["traceparent"], Is.EqualTo(send.Id));
            Assert.That((long)delivery.Message.Headers["line"], Is.EqualTo(7));
            Assert.That(sent.Headers.Select(header => header.Key), Is.EqualTo((string[])["line"]), "the caller's message is left as it is");
            Assert.That(delivery.Message.Size, Is.EqualTo(sent.Size + 66));
            Assert.That(LinkOf(receive), Is.EqualTo(send.SpanId));
            Assert.That(LinkOf(ack), Is.EqualTo(send.SpanId));
            Assert.That(receive.ParentId, Is.Null);
        });
    }

    [Test]
    public async Task AHandlerAtWorkIsLinkedToTheSendAndItsSettleIsAPartOfIt()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare(new QueueOptions { RetryDelay = RetryDelay.None });
        await Send(queue, "1");
        var seen = new List<string?>();
        await using (queue.Consume((delivery, _) =>
        {
            seen.Add(Activity.Current?.DisplayName);
            return delivery.Attempt == 1 ? throw new FormatException() : default;
        }))
        {
            await Until(() => queue.GetSnapshot().Counts.Acked == 1);
            await Idle(queue);
        }

        Activity send = recorder["send orders"], nack = recorder["nack orders"], ack = recorder["ack orders"];
        Activity[] processes = [.. recorder.All.Where(activity => activity.DisplayName == "process orders")];
        Assert.Multiple(() =>
        {
            Assert.That(recorder.All, Has.Length.EqualTo(5));
            Assert.That(processes.Select(process => process.Kind), Is.All.EqualTo(ActivityKind.Consumer));
            Assert.That(processes.Select(LinkOf), Is.All.EqualTo(send.SpanId));
            Assert.That(processes.Select(process => process.Parent), Is.All.Null);
            Assert.That(processes.Select(process => process.TraceId), Is.Unique.And.Not.Contains(send.TraceId));
            Assert.That((nack.ParentSpanId, ack.ParentSpanId), Is.EqualTo((processes[0].SpanId, processes[1].SpanId)));
            Assert.That((processes[0].Status, processes[0].GetTagItem("error.type")), Is.EqualTo((ActivityStatusCode.Error, "System.FormatException")));
            Assert.That((processes[1].Status, processes[1].GetTagItem("error.type")), Is.EqualTo((ActivityStatusCode.Unset, (object?)null)));
            Assert.That(seen, Is.EqualTo((string[])["process orders", "process orders"]));
        });
    }

    [Test]
    public async Task AHandlerMayContinueTheTraceOfTheSend()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        await using (queue.Consume((_, _) => default, new ConsumeOptions { ContinueTrace = true }))
        {
            await Until(() => queue.GetSnapshot().Counts.Acked == 1);
            await Idle(queue);
        }

        Activity process = recorder["process orders"];
        Assert.That((process.TraceId, process.ParentSpanId), Is.EqualTo((recorder["send orders"].TraceId, recorder["send orders"].SpanId)));
        Assert.That(process.Links, Is.Empty);
    }

    [Test]
    public async Task AfterARestartADeliveryIsStillLinkedToItsSend()
    {
        Assume.That(IsDurable);
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        await Send(queue, "1", "2");
        await Receive(queue);
        Activity[] sends = recorder.All.Where(activity => activity.DisplayName == "send orders").ToArray();

        queue = await Reopen();
        foreach (Activity send in sends)
            Assert.That((string)(await Receive(queue)).Message.Headers["traceparent"], Is.EqualTo(send.Id));
        queue = await CrashAndReopen();
        await Soon(queue.ReceiveBatchAsync(2, TimeSpan.Zero));

        Activity batch = recorder.All[^1];
        Assert.That(batch.Links.Select(link => link.Context.SpanId), Is.EquivalentTo(sends.Select(send => send.SpanId)));
        Assert.That(batch.Links.Select(link => link.Context.IsRemote), Is.All.True);
        Assert.That(batch.GetTagItem("messaging.batch.message_count"), Is.EqualTo(2));
    }

    [Test]
    public async Task ADeadLetterKeepsTheContextOfItsSend()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        await Send(queue, "1");
        (await Receive(queue)).Reject("unreadable");

        await DeadLettersOf(queue);

        Assert.That(LinkOf(recorder["receive orders.dead"]), Is.EqualTo(recorder["send orders"].SpanId));
        Assert.That(recorder["reject orders"].GetTagItem("messaging.operation.type"), Is.EqualTo("settle"));
    }

    [Test]
    public async Task AContextThatTheSenderHasGivenIsNotOverwritten()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        var sent = new Message(Text("1").Body) { Headers = new MessageHeaders { { "traceparent", Foreign }, { "tracestate", "a=b" } } };
        await Soon(queue.SendAsync(sent));

        Delivery delivery = await Receive(queue);

        Assert.That((string)delivery.Message.Headers["traceparent"], Is.EqualTo(Foreign));
        Assert.That(recorder["send orders"].Kind, Is.EqualTo(ActivityKind.Client), "it creates nothing");
        Assert.That(LinkOf(recorder["send orders"])?.ToString(), Is.EqualTo("b7ad6b7169203331"));
        Assert.That(recorder["receive orders"].Links.Single().Context.TraceState, Is.EqualTo("a=b"));
    }

    [Test]
    public async Task ASendBelongsToTheTraceOfItsCallerAndTakesItsStateAlong()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        using var request = new Activity("request");
        request.TraceStateString = "a=b";
        request.Start();
        await Send(queue, "1");
        Assert.That(Activity.Current, Is.SameAs(request));
        request.Stop();

        Delivery delivery = await Receive(queue);

        Assert.That(recorder["send orders"].ParentSpanId, Is.EqualTo(request.SpanId));
        Assert.That((string)delivery.Message.Headers["tracestate"], Is.EqualTo("a=b"));
    }

    [Test]
    public async Task WhereTheSendIsNotWantedItsCallersContextGoesOn()
    {
        _recorder = new ActivityRecorder(ActivitySamplingResult.None);
        MessageQueue queue = await Declare();
        using var request = new Activity("request");
        request.Start();
        await Send(queue, "1");
        request.Stop();

        Assert.That((string)(await Receive(queue)).Message.Headers["traceparent"], Is.EqualTo(request.Id));
    }

    [Test]
    public async Task AMessageThatWouldBecomeTooLargeGoesWithout()
    {
        await OpenAnew(options => options.MaxMessageBytes = 100);
        _ = Recorder;
        MessageQueue queue = await Declare(new QueueOptions { MaxBytes = 200 });
        await Soon(queue.SendAsync(new Message(new byte[35])));
        await Soon((await Receive(queue)).AckAsync());
        await Soon(queue.SendBatchAsync((Message[])[new(new byte[20]), new(new byte[20]), new(new byte[20])]));

        Assert.That((await ReceiveWhatIsThere(queue)).Select(delivery => delivery.Message.Headers.Count), Is.EqualTo((int[])[0, 0, 0]));
    }

    [Test]
    public async Task EachMessageOfABatchIsCreatedAndTheBatchIsOneSendLinkedToThem()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        using var request = new Activity("request").Start();
        await Soon(queue.SendBatchAsync((Message[])[new Message(Text("1").Body) { MessageId = "id 1" }, Text("2")]));
        Assert.That(Activity.Current, Is.SameAs(request));
        request.Stop();

        Activity send = recorder["send orders"];
        Activity[] creates = [.. recorder.All.Where(activity => activity.DisplayName == "create orders")];
        Assert.Multiple(() =>
        {
            Assert.That(creates.Select(ActivityRecorder.Tags), Is.EqualTo((string[])[
                "messaging.destination.name=orders messaging.message.id=id 1 messaging.operation.name=create messaging.operation.type=create messaging.system=queuekit",
                "messaging.destination.name=orders messaging.operation.name=create messaging.operation.type=create messaging.system=queuekit"]));
            Assert.That(creates.Select(create => create.Kind), Is.All.EqualTo(ActivityKind.Producer));
            Assert.That(recorder.All.Select(activity => activity.ParentSpanId), Is.All.EqualTo(request.SpanId));
            Assert.That(send.Kind, Is.EqualTo(ActivityKind.Client));
            Assert.That(send.Links.Select(link => link.Context.SpanId), Is.EqualTo(creates.Select(create => create.SpanId)));
        });
        Assert.That((await ReceiveWhatIsThere(queue)).Select(delivery => (string)delivery.Message.Headers["traceparent"]), Is.EqualTo(creates.Select(create => create.Id)));
    }

    [Test]
    public async Task ABatchIsOneSendWhereItsMessagesAreNotTraced()
    {
        ActivityRecorder recorder = Recorder;
        await OpenAnew(options => options.TraceBatchedMessages = false);
        MessageQueue queue = await Declare();
        await Soon(queue.SendBatchAsync((Message[])[Text("1"), Text("2")]));

        Activity send = recorder["send orders"];
        Assert.That(ActivityRecorder.Tags(send), Is.EqualTo("messaging.batch.message_count=2 messaging.destination.name=orders messaging.operation.name=send messaging.operation.type=send messaging.system=queuekit"));
        foreach (Delivery delivery in await ReceiveWhatIsThere(queue))
            Assert.That((string)delivery.Message.Headers["traceparent"], Is.EqualTo(send.Id));
    }

    [Test]
    public async Task AReceiverTracesEachMessageAsItIsTakenAndNothingWhereNothingIs()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        for (int i = 0; i < 16; i++)
            await Send(queue, $"{i}");
        await using MessageReceiver receiver = queue.OpenReceiver();
        await Soon(receiver.WaitToReceiveAsync());

        for (int taken = 1; receiver.TryReceive(out Delivery? delivery); taken++)
        {
            Assert.That(recorder.Names.Count(name => name == "receive orders"), Is.EqualTo(taken), "what is set aside has not been received");
            await Soon(delivery.AckAsync());
        }
        Assert.That(await Soon(queue.ReceiveAsync(TimeSpan.Zero)), Is.Null);
        Assert.That(recorder.Names.Count(name => name == "receive orders"), Is.EqualTo(16));
    }

    [Test]
    public async Task ATransactionIsASendAndASettleOfEachQueueAndKind()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await Declare();
        MessageQueue next = await Declare("next");
        await Send(queue, "1", "2", "3");
        Delivery[] deliveries = [await Receive(queue), await Receive(queue), await Receive(queue)];
        int before = recorder.All.Length;
        using (var request = new Activity("request").Start())
        {
            await using BrokerTransaction transaction = Broker.BeginTransaction();
            transaction.Settle(deliveries[0], Settlement.Ack);
            transaction.Settle(deliveries[1], Settlement.Ack);
            transaction.Settle(deliveries[2], Settlement.Release);
            transaction.Send(next, Text("4"));
            await Soon(transaction.CommitAsync());
            Assert.That(recorder.All[before..].Select(activity => activity.Parent), Is.All.SameAs(request));
        }

        Assert.That(recorder.All[before..].Select(activity => activity.DisplayName), Is.EqualTo((string[])["send next", "ack orders", "release orders"]));
        Assert.That(recorder["ack orders"].Links.Count(), Is.EqualTo(2));
        Assert.That((string)(await Receive(next)).Message.Headers["traceparent"], Is.EqualTo(recorder["send next"].Id));
    }

    [Test]
    public async Task WhatFailsSaysWhy()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await DeclareFull(1, new QueueOptions { Overflow = OverflowPolicy.Reject });
        await Assert.ThrowsAsync<QueueFullException>(() => Soon(queue.SendAsync(Text("2"))));
        await Soon(queue.TrySendAsync(Text("3")));
        Delivery lost = await Receive(queue);
        await Advance(queue, queue.Options.LeaseDuration);
        lost.Ack();
        lost.Ack();

        Assert.That(recorder.All.Where(activity => activity.Status == ActivityStatusCode.Error).Select(activity => $"{activity.DisplayName}: {activity.GetTagItem("error.type")}"),
            Is.EqualTo((string[])["send orders: refused", "send orders: refused", "ack orders: lease_lost", "ack orders: lease_lost"]));
    }

    [Test]
    public async Task ActivitiesTakeTheTimeOfTheBrokersClock()
    {
        ActivityRecorder recorder = Recorder;
        MessageQueue queue = await DeclareFull(1);
        DateTimeOffset start = Clock.GetUtcNow();
        Task<SendReceipt> waiting = queue.SendAsync(Text("2")).AsTask();
        await Advance(queue, Minute);
        (await Receive(queue)).Ack();
        await Soon(waiting);

        Activity send = recorder.All.Last(activity => activity.DisplayName == "send orders");
        Assert.That((send.StartTimeUtc, send.Duration), Is.EqualTo((start.UtcDateTime, Minute)));
    }

    private static ActivitySpanId? LinkOf(Activity activity) => activity.Links.Single().Context.SpanId;
}
