using CsCheck;
using QueueKit.Stores;

namespace QueueKit.Tests.Messages;

public class MessageRecordTests
{
    private static readonly ReadOnlyMemory<byte> s_noBody = Array.Empty<byte>();

    private static readonly DateTimeOffset s_noon = new(2026, 11, 23, 12, 0, 0, TimeSpan.Zero);

    private static readonly StoreKey s_key = new(StoreKind.Message, 7, 9, 0, 0, 42);

    [Test]
    public void AMessageComesBackAsItWasSent() => MessageGen.Message.Sample(message =>
        MessageGen.Describe(MessageRecord.Decode(Stored(message)).Message) == MessageGen.Describe(message), iter: 3000);

    [Test]
    public void TheTimeOfAdmissionComesBack() => Gen.Select(MessageGen.Message, MessageGen.Utc).Sample((message, enqueuedAt) =>
        MessageRecord.Decode(Stored(message, enqueuedAt: enqueuedAt)).EnqueuedAt == enqueuedAt, iter: 1000);

    [Test]
    public void WhyAMessageIsADeadLetterComesBack() => Gen.Select(MessageGen.Message, Gen.Null(MessageGen.DeadLetter)).Sample((message, deadLetter) =>
    {
        DecodedMessage decoded = MessageRecord.Decode(Stored(message, deadLetter));
        return decoded.DeadLetter == deadLetter && MessageGen.Describe(decoded.Message) == MessageGen.Describe(message);
    }, iter: 1000);

    [Test]
    public void ABodyAloneCostsAHeadOf14Bytes() => Assert.That(Stored(new Message("hello"u8.ToArray())).Head.Length, Is.EqualTo(14));

    [Test]
    public void TheBodyIsNotCopied()
    {
        byte[] body = [1, 2, 3];

        EncodedMessage encoded = MessageRecord.Encode(new Message(body));

        Assert.That(encoded.Body.Span == body, Is.True);
    }

    [TestCase(false)]
    [TestCase(true)]
    public void AnEncodedMessageMayBeStampedAgain(bool hasProperties)
    {
        // After a refusal, the same send may be admitted a second time.
        EncodedMessage encoded = MessageRecord.Encode(new Message(new byte[3]) { MessageId = hasProperties ? "id" : null });
        MessageRecord.Stamp(ref encoded, s_noon);
        MessageRecord.Stamp(ref encoded, s_noon.AddHours(1));
        MessageRecord.Seal(encoded, s_key);

        Assert.That(MessageRecord.Decode(new StoreRecord(s_key, encoded.Head, encoded.Body)).EnqueuedAt, Is.EqualTo(s_noon.AddHours(1)));
    }

    [Test]
    public void AStampedMessageMayBeSealedAgainUnderAnotherNumber() => MessageGen.Message.Sample(message =>
    {
        EncodedMessage encoded = MessageRecord.Encode(message);
        MessageRecord.Stamp(ref encoded, s_noon);
        MessageRecord.Seal(encoded, s_key);
        StoreKey next = s_key with { Sequence = s_key.Sequence + 1 };
        MessageRecord.Seal(encoded, next);

        Assert.That(() => MessageRecord.Decode(new StoreRecord(next, encoded.Head, encoded.Body)), Throws.Nothing);
        AssertUnreadable(new StoreRecord(s_key, encoded.Head, encoded.Body));
    }, iter: 100);

    [Test]
    public void AScheduleIsInTheKeyAndComesBackAsADueTime([Values] bool hasProperties, [Values] bool asDelay)
    {
        var message = new Message(new byte[3])
        {
            MessageId = hasProperties ? "id" : null,
            Delay = asDelay ? TimeSpan.FromHours(1) : null,
            DueTime = asDelay ? null : s_noon.AddHours(1),
        };
        StoreRecord stored = Stored(message, key: new StoreKey(StoreKind.Parked, 7, 9, 0, s_noon.AddHours(1).UtcTicks, 42));

        Message decoded = MessageRecord.Decode(stored).Message;

        Assert.That((decoded.DueTime, decoded.Delay, decoded.MessageId, decoded.Body.Length), Is.EqualTo((s_noon.AddHours(1), (TimeSpan?)null, message.MessageId, 3)));
    }

    // Damage

    [Test]
    public void EverySingleFlippedBitIsDetected() => Gen.Select(MessageGen.Message, Gen.Null(MessageGen.DeadLetter)).Sample((message, deadLetter) =>
    {
        StoreRecord stored = Stored(message, deadLetter);
        byte[] head = stored.Head.ToArray(), body = stored.Body.ToArray();
        foreach (byte[] part in new[] { head, body })
        {
            for (int bit = 0; bit < part.Length * 8; bit++)
            {
                part[bit / 8] ^= (byte)(1 << bit % 8);
                AssertUnreadable(new StoreRecord(s_key, head, body));
                part[bit / 8] ^= (byte)(1 << bit % 8);
            }
        }
        Assert.That(() => MessageRecord.Decode(new StoreRecord(s_key, head, body)), Throws.Nothing);
    }, iter: 30);

    [Test]
    public void AMessageUnderTheKeyOfAnotherIsDetected() => MessageGen.Message.Sample(message =>
    {
        StoreRecord stored = Stored(message);
        foreach (StoreKey other in new[]
        {
            s_key with { Kind = StoreKind.Parked }, s_key with { Queue = 8 }, s_key with { Band = 8 }, s_key with { Group = 1 }, s_key with { Order = 1 }, s_key with { Sequence = 43 },
            s_key with { Sequence = 42L << 32 }, s_key with { Order = 42, Sequence = 0 }, s_key with { Queue = 9, Band = 7 },
        })
            AssertUnreadable(stored with { Key = other });
    }, iter: 30);

    [Test]
    public void ABodyThatIsShorterLongerOrAnotherIsDetected() => MessageGen.Message.Sample(message =>
    {
        StoreRecord stored = Stored(message);
        AssertUnreadable(stored with { Body = (byte[])[.. message.Body.Span, 0] });
        if (message.Body.Length > 0)
            AssertUnreadable(stored with { Body = message.Body[..^1] });
        if (message.Body.Length > 0)
            AssertUnreadable(stored with { Body = default });
    }, iter: 300);

    [Test]
    public void ATruncatedHeadIsDetected() => Gen.Select(MessageGen.Message, Gen.Null(MessageGen.DeadLetter)).Sample((message, deadLetter) =>
    {
        StoreRecord stored = Stored(message, deadLetter);
        for (int length = 0; length < stored.Head.Length; length++)
            AssertUnreadable(stored with { Head = stored.Head[..length] });
    }, iter: 100);

    [Test]
    public void AHeadThatEndsEarlyIsDetectedEvenUnderARightChecksum() => Gen.Select(MessageGen.Message, Gen.Null(MessageGen.DeadLetter)).Sample((message, deadLetter) =>
    {
        EncodedMessage encoded = MessageRecord.Encode(message, deadLetter);
        for (int length = 14; length < encoded.Head.Length; length++)
            AssertUnreadable(Restamped(encoded with { Head = encoded.Head[..length] }));
    }, iter: 100);

    [Test]
    public void AHeadThatGoesOnIsDetectedEvenUnderARightChecksum() => Gen.Select(MessageGen.Message, Gen.Null(MessageGen.DeadLetter)).Sample((message, deadLetter) =>
    {
        EncodedMessage encoded = MessageRecord.Encode(message, deadLetter);
        AssertUnreadable(Restamped(encoded with { Head = [.. encoded.Head, 0] }));
    }, iter: 100);

    [Test]
    public void NonsenseUnderARightChecksumIsAMessageOrUnreadableAndNothingElse() => Gen.Select(Gen.Byte, Gen.Byte.Array[0, 80], Gen.Long).Sample((sections, bytes, enqueued) =>
    {
        EncodedMessage encoded = MessageRecord.Encode(new Message(s_noBody)) with { Head = [1, sections, 0, 0, 0, 0, 0, 0, 0, 0, .. bytes, 0, 0, 0, 0] };
        try
        {
            MessageRecord.Decode(Restamped(encoded));
        }
        catch (StoreException error)
        {
            Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable));
        }
    }, iter: 20_000);

    [Test]
    public void ADueTimeOutsideTheCalendarIsUnreadable([Values(-1L, long.MinValue, long.MaxValue)] long ticks, [Values] bool hasProperties)
    {
        AssertUnreadable(Stored(new Message(new byte[3]) { MessageId = hasProperties ? "id" : null }, key: new StoreKey(StoreKind.Parked, 7, 9, 0, ticks, 42)));
    }

    [Test]
    public void DamageIsReportedWithTheMessageTheQueueAndTheRemedy()
    {
        StoreRecord stored = Stored(new Message(new byte[3])) with { Body = new byte[4] };

        Assert.That(() => MessageRecord.Decode(stored), Throws.InstanceOf<StoreException>().With.Message.EqualTo(
            "The stored message 42 of queue 7 is damaged: its checksum does not match its content and key. It is not delivered; restore the store from a backup, or repair it."));
    }

    [Test]
    public void ANewerFormatIsNotTakenForDamage()
    {
        EncodedMessage encoded = MessageRecord.Encode(new Message(new byte[3]));
        encoded.Head[0] = 2;

        StoreRecord stored = Restamped(encoded);

        AssertUnreadable(stored);
        Assert.That(() => MessageRecord.Decode(stored), Throws.Exception.With.Message.Contains("format 2").And.Message.Contains("newer version"));
    }

    private static void AssertUnreadable(StoreRecord stored)
    {
        try
        {
            MessageRecord.Decode(stored);
        }
        catch (StoreException error)
        {
            if (error.Fault == StoreFault.Unreadable)
                return;
            throw;
        }
        Assert.Fail("It was read as a good message.");
    }

    private static StoreRecord Stored(Message message, DeadLetterInfo? deadLetter = null, DateTimeOffset? enqueuedAt = null, StoreKey? key = null) =>
        Restamped(MessageRecord.Encode(message, deadLetter), enqueuedAt, key);

    // With the checksum that belongs to whatever is in the head.
    private static StoreRecord Restamped(EncodedMessage encoded, DateTimeOffset? enqueuedAt = null, StoreKey? key = null)
    {
        MessageRecord.Stamp(ref encoded, enqueuedAt ?? s_noon);
        MessageRecord.Seal(encoded, key ?? s_key);
        return new StoreRecord(key ?? s_key, encoded.Head, encoded.Body);
    }
}
