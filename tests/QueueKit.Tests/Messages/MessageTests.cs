using System.Text;
using CsCheck;

namespace QueueKit.Tests.Messages;

public class MessageTests
{
    private static readonly ReadOnlyMemory<byte> s_noBody = Array.Empty<byte>();

    [Test]
    public void AMessageIsABodyAndNothingElseUntilToldOtherwise()
    {
        byte[] body = [1, 2, 3];
        var message = new Message(body);

        Assert.Multiple(() =>
        {
            Assert.That(message.Body.Span == body, Is.True, "not copied");
            Assert.That(message.Headers, Is.Empty);
            Assert.That(new[] { message.MessageId, message.CorrelationId, message.ReplyTo, message.ContentType, message.Type }, Is.All.Null);
            Assert.That((message.Priority, message.Delay, message.DueTime), Is.EqualTo(((byte)0, (TimeSpan?)null, (DateTimeOffset?)null)));
            Assert.That((message.Size, message.HasProperties, message.IsScheduled), Is.EqualTo((3L, false, false)));
        });
    }

    [Test]
    public void ACopyDoesNotChangeWithItsBuffer()
    {
        byte[] rented = [1, 2, 3];
        Message message = Message.CopyOf(rented);

        rented[0] = 9;

        Assert.That(message.Body.ToArray(), Is.EqualTo([1, 2, 3]));
    }

    [Test]
    public void PropertiesAreWhatTheyWereSetTo()
    {
        DateTimeOffset due = new(2026, 11, 23, 12, 0, 0, TimeSpan.FromHours(2));
        var message = new Message(s_noBody)
        {
            MessageId = "id",
            CorrelationId = "correlation",
            ReplyTo = "replies",
            ContentType = "text/plain",
            Type = "greeting",
            Priority = 9,
            DueTime = due,
            Headers = new MessageHeaders { { "a", 1 } },
        };

        Assert.Multiple(() =>
        {
            Assert.That((message.MessageId, message.CorrelationId, message.ReplyTo, message.ContentType, message.Type), Is.EqualTo(("id", "correlation", "replies", "text/plain", "greeting")));
            Assert.That((message.Priority, message.DueTime, message.IsScheduled), Is.EqualTo(((byte)9, due, true)));
            Assert.That((long)message.Headers["a"], Is.EqualTo(1));
        });
    }

    [Test]
    public void TheSizeIsBodyTextsAndHeaders() => MessageGen.Message.Sample(message =>
    {
        long texts = new[] { message.MessageId, message.CorrelationId, message.ReplyTo, message.ContentType, message.Type }.Sum(text => Encoding.UTF8.GetByteCount(text ?? ""));
        return message.Size == message.Body.Length + texts + message.Headers.Size;
    });

    [Test]
    public void EachTextPropertyTakes1024BytesAndNoMore()
    {
        // 341 × 3 + 1 bytes.
        string longest = new string('€', 341) + "x", tooLong = longest + "x";
        var tries = new Dictionary<string, Func<string, Message>>
        {
            [nameof(Message.MessageId)] = text => new Message(s_noBody) { MessageId = text },
            [nameof(Message.CorrelationId)] = text => new Message(s_noBody) { CorrelationId = text },
            [nameof(Message.ReplyTo)] = text => new Message(s_noBody) { ReplyTo = text },
            [nameof(Message.ContentType)] = text => new Message(s_noBody) { ContentType = text },
            [nameof(Message.Type)] = text => new Message(s_noBody) { Type = text },
        };
        Assert.Multiple(() =>
        {
            foreach ((string property, Func<string, Message> create) in tries)
            {
                Assert.That(create(longest).Size, Is.EqualTo(Message.MaxPropertyBytes));
                Assert.That(() => create(tooLong), Throws.ArgumentException.With.Message.Contains(property).And.Message.Contains("1025").And.Property("ParamName").EqualTo(property));
                Assert.That(() => create("half a pair \ud83d"), Throws.ArgumentException.With.Message.Contains(property), "it has no UTF-8 form: a store would change it");
            }
        });
    }

    [Test]
    public void NoTextIsNoProperty() => Assert.That(new Message(s_noBody) { MessageId = null, Type = null }.HasProperties, Is.False);

    [Test]
    public void APriorityAboveTheHighestIsRefused() =>
        Assert.That(() => new Message(s_noBody) { Priority = 10 }, Throws.InstanceOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("Priority"));

    [Test]
    public void ANegativeDelayIsRefused() =>
        Assert.That(() => new Message(s_noBody) { Delay = TimeSpan.FromTicks(-1) }, Throws.InstanceOf<ArgumentOutOfRangeException>().With.Property("ParamName").EqualTo("Delay"));

    [Test]
    public void NoDelayAndADelayOfZeroAreNoSchedule()
    {
        Assert.That(new Message(s_noBody) { Delay = null }.IsScheduled, Is.False);
        Assert.That(new Message(s_noBody) { Delay = TimeSpan.Zero }.IsScheduled, Is.False);
        Assert.That(new Message(s_noBody) { Delay = TimeSpan.FromTicks(1) }.IsScheduled, Is.True);
    }

    [Test]
    public void ADelayAndADueTimeTogetherAreRefusedInEitherOrder()
    {
        DateTimeOffset due = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

        Assert.That(() => new Message(s_noBody) { Delay = TimeSpan.FromHours(1), DueTime = due }, Throws.ArgumentException.With.Message.Contains("not both"));
        Assert.That(() => new Message(s_noBody) { DueTime = due, Delay = TimeSpan.FromHours(1) }, Throws.ArgumentException.With.Message.Contains("not both"));
    }

    [Test]
    public void NullHeadersAreRefused() => Assert.That(() => new Message(s_noBody) { Headers = null! }, Throws.ArgumentNullException);

    [Test]
    public void HeadersThatBelongToAMessageCannotChange()
    {
        var headers = new MessageHeaders { { "a", 1 } };
        _ = new Message(s_noBody) { Headers = headers };

        Assert.That(() => headers["a"] = 2, Throws.InvalidOperationException);
        Assert.That(() => headers.Add("b", 2), Throws.InvalidOperationException);
        Assert.That((long)headers["a"], Is.EqualTo(1));
    }

    [Test]
    public void EmptyHeadersDoNotFreeze()
    {
        var headers = new MessageHeaders();
        var message = new Message(s_noBody) { Headers = headers };

        headers["a"] = 1;

        Assert.That(message.Headers, Is.Empty);
    }

    [Test]
    public void TheEmptyHeadersOfAMessageCannotChange() => Assert.That(() => new Message(s_noBody).Headers["a"] = 1, Throws.InvalidOperationException);

    [Test]
    public void HeadersMayBelongToSeveralMessages()
    {
        var headers = new MessageHeaders { { "a", 1 } };

        Message first = new(s_noBody) { Headers = headers }, second = new(s_noBody) { Headers = headers };

        Assert.That((first.Size, second.Size), Is.EqualTo((9L, 9L)));
    }

    [Test]
    public void ADeadLetterIsTheSameMessageWithoutItsSchedule() => MessageGen.Message.Sample(message =>
        MessageGen.Describe(new Message(message)) == MessageGen.Describe(message));

    [Test]
    public void ADeadLetterIsNotDelayedAgain()
    {
        var delayed = new Message(new byte[3]) { Delay = TimeSpan.FromHours(1), Type = "t" };
        var due = new Message(new byte[3]) { DueTime = DateTimeOffset.MaxValue };

        var letters = new[] { new Message(delayed), new Message(due) };

        Assert.That(letters.Select(letter => letter.IsScheduled), Is.All.False);
        Assert.That((letters[0].Type, letters[0].Size, delayed.Delay), Is.EqualTo(("t", 4L, TimeSpan.FromHours(1))), "the original stays as it is");
    }
}
