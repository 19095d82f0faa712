using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace QueueKit.Stores;

/// <summary>How a message stands in a store: a head that QueueKit writes, beside the application's body, under one checksum with the key.</summary>
/// <remarks>
/// Encoded on the sender's own thread; the time of admission, which is not known before, is stamped in when the queue admits the message,
/// and the key, whose number is not known before, is sealed in when its batch is built.
/// A due time is in the key (<see cref="StoreKey.Order"/>), not here.
/// </remarks>
internal static class MessageRecord
{
    private const byte Version = 1;
    private const int FixedLength = 14;
    private const int EnqueuedOffset = 2;
    private const int ChecksumLength = RecordChecksum.Length;

    // The head, version 1, little-endian:
    //
    //  0         1       2                     10 …                                    n-4       n
    //  | version | flags | enqueued, UTC ticks | sections as the flags say, in order … | checksum |
    //
    //  flag 1   message id      text          A text is its length in bytes as a 7-bit varint, then UTF-8.
    //  flag 2   correlation id  text          The checksum is CRC-32C over the body, the head up to here, and the key.
    //  flag 4   reply-to        text
    //  flag 8   content type    text
    //  flag 16  type            text
    //  flag 32  priority        1 byte
    //  flag 64  headers         count varint, then name text, kind byte, value
    //  flag 128 dead letter     source, reason i64, description, details?, attempts i64, error?, sequence i64, at i64
    //
    //  A value by its kind: 1 text; 2 one byte; 3 i64; 4 the bits of a double, i64; 5 sixteen bytes; 6 ticks i64, offset in minutes i64; 7 length varint, bytes.
    //  What may be missing (details?, error?) has a byte before it, 0 or 1.

    [Flags]
    private enum Sections : byte
    {
        None = 0,
        MessageId = 1,
        CorrelationId = 2,
        ReplyTo = 4,
        ContentType = 8,
        Type = 16,
        Priority = 32,
        Headers = 64,
        DeadLetter = 128,
    }

    /// <summary>Encodes what is known before admission. The result is good only after <see cref="Stamp"/> and <see cref="Seal"/>.</summary>
    public static EncodedMessage Encode(Message message, DeadLetterInfo? deadLetter = null)
    {
        uint bodyChecksum = RecordChecksum.Add(0, message.Body.Span);
        if (!message.HasProperties && deadLetter is null)
        {
            byte[] plain = new byte[FixedLength];
            plain[0] = Version;
            return new EncodedMessage(plain, message.Body, bodyChecksum);
        }

        var writer = new ArrayBufferWriter<byte>(256);
        Span<byte> start = writer.GetSpan(EnqueuedOffset + 8);
        start[..(EnqueuedOffset + 8)].Clear();
        start[0] = Version;
        Sections sections = SectionsOf(message, deadLetter);
        start[1] = (byte)sections;
        writer.Advance(EnqueuedOffset + 8);
        WriteTextIf(writer, message.MessageId);
        WriteTextIf(writer, message.CorrelationId);
        WriteTextIf(writer, message.ReplyTo);
        WriteTextIf(writer, message.ContentType);
        WriteTextIf(writer, message.Type);
        if (message.Priority != 0)
            writer.Write([message.Priority]);
        if (message.Headers.Count > 0)
            WriteHeaders(writer, message.Headers);
        if (deadLetter is not null)
            WriteDeadLetter(writer, deadLetter);
        writer.Write(stackalloc byte[ChecksumLength]);
        return new EncodedMessage(writer.WrittenSpan.ToArray(), message.Body, bodyChecksum);
    }

    /// <summary>Writes the time of admission.</summary>
    public static void Stamp(ref EncodedMessage encoded, DateTimeOffset enqueuedAt)
    {
        Span<byte> head = encoded.Head;
        BinaryPrimitives.WriteInt64LittleEndian(head[EnqueuedOffset..], enqueuedAt.UtcTicks);
        encoded = encoded with { ContentChecksum = RecordChecksum.Add(encoded.BodyChecksum, head[..^ChecksumLength]) };
    }

    /// <summary>Writes the checksum, for the key that the message gets. After a refusal it may get another one, and is sealed again.</summary>
    public static void Seal(in EncodedMessage encoded, in StoreKey key) =>
        BinaryPrimitives.WriteUInt32LittleEndian(encoded.Head.AsSpan(encoded.Head.Length - ChecksumLength), RecordChecksum.Add(encoded.ContentChecksum, key));

    /// <summary>Whether a stored message is what was written under its key.</summary>
    public static bool IsRight(in StoreRecord record)
    {
        ReadOnlySpan<byte> head = record.Head.Span;
        return head.Length >= FixedLength
            && BinaryPrimitives.ReadUInt32LittleEndian(head[^ChecksumLength..]) == RecordChecksum.Add(RecordChecksum.Add(RecordChecksum.Add(0, record.Body.Span), head[..^ChecksumLength]), record.Key);
    }

    /// <summary>Reads a stored message.</summary>
    /// <exception cref="StoreException"><see cref="StoreFault.Unreadable"/>: the checksum is wrong, the version is newer than this one, or the content makes no sense.</exception>
    public static DecodedMessage Decode(in StoreRecord record)
    {
        ReadOnlySpan<byte> head = record.Head.Span;
        if (head.Length < FixedLength)
            throw Damaged(record.Key, $"its head has only {head.Length} bytes");
        if (!IsRight(record))
            throw Damaged(record.Key, "its checksum does not match its content and key");
        if (head[0] != Version)
        {
            throw new StoreException(StoreFault.Unreadable,
                $"The stored message {record.Key.Sequence} has format {head[0]}; this version of QueueKit reads format {Version}. Open the store with a newer version.");
        }
        try
        {
            return Read(record);
        }
        catch (ArgumentException error)
        {
            throw new StoreException(StoreFault.Unreadable,
                $"The stored message {record.Key.Sequence} of queue {record.Key.Queue} has a value that QueueKit never writes ({error.Message}). It is not delivered; restore the store from a backup, or repair it.", innerException: error);
        }
    }

    private static DecodedMessage Read(in StoreRecord record)
    {
        ReadOnlySpan<byte> head = record.Head.Span;
        var enqueuedAt = new DateTimeOffset(BinaryPrimitives.ReadInt64LittleEndian(head[EnqueuedOffset..]), TimeSpan.Zero);
        var sections = (Sections)head[1];
        if (sections == Sections.None && head.Length == FixedLength)
            return new DecodedMessage(Scheduled(new Message(record.Body), record.Key), enqueuedAt, null);

        var reader = new HeadReader(head[(EnqueuedOffset + 8)..^ChecksumLength]);
        var message = new Message(record.Body)
        {
            MessageId = sections.HasFlag(Sections.MessageId) ? reader.ReadText() : null,
            CorrelationId = sections.HasFlag(Sections.CorrelationId) ? reader.ReadText() : null,
            ReplyTo = sections.HasFlag(Sections.ReplyTo) ? reader.ReadText() : null,
            ContentType = sections.HasFlag(Sections.ContentType) ? reader.ReadText() : null,
            Type = sections.HasFlag(Sections.Type) ? reader.ReadText() : null,
            Priority = sections.HasFlag(Sections.Priority) ? reader.ReadByte() : (byte)0,
            Headers = sections.HasFlag(Sections.Headers) ? ReadHeaders(ref reader) : MessageHeaders.Empty,
            DueTime = DueTimeOf(record.Key),
        };
        DeadLetterInfo? deadLetter = sections.HasFlag(Sections.DeadLetter) ? ReadDeadLetter(ref reader) : null;
        reader.RefuseRest();
        return new DecodedMessage(message, enqueuedAt, deadLetter);
    }

    private static Message Scheduled(Message plain, in StoreKey key) =>
        key.Kind == StoreKind.Parked ? new Message(plain.Body) { DueTime = DueTimeOf(key) } : plain;

    private static DateTimeOffset? DueTimeOf(in StoreKey key) =>
        key.Kind == StoreKind.Parked ? new DateTimeOffset(key.Order, TimeSpan.Zero) : null;

    private static Sections SectionsOf(Message message, DeadLetterInfo? deadLetter) =>
        (message.MessageId is null ? 0 : Sections.MessageId)
        | (message.CorrelationId is null ? 0 : Sections.CorrelationId)
        | (message.ReplyTo is null ? 0 : Sections.ReplyTo)
        | (message.ContentType is null ? 0 : Sections.ContentType)
        | (message.Type is null ? 0 : Sections.Type)
        | (message.Priority == 0 ? 0 : Sections.Priority)
        | (message.Headers.Count == 0 ? 0 : Sections.Headers)
        | (deadLetter is null ? 0 : Sections.DeadLetter);

    private static void WriteHeaders(ArrayBufferWriter<byte> writer, MessageHeaders headers)
    {
        WriteLength(writer, headers.Count);
        foreach ((string name, HeaderValue value) in headers)
        {
            WriteText(writer, name);
            writer.Write([(byte)value.Kind]);
            switch (value.Kind)
            {
                case HeaderKind.String:
                    WriteText(writer, (string)value);
                    break;
                case HeaderKind.Boolean:
                    writer.Write([(bool)value ? (byte)1 : (byte)0]);
                    break;
                case HeaderKind.Int64:
                    WriteInt64(writer, (long)value);
                    break;
                case HeaderKind.Double:
                    WriteInt64(writer, BitConverter.DoubleToInt64Bits((double)value));
                    break;
                case HeaderKind.Guid:
                    ((Guid)value).TryWriteBytes(writer.GetSpan(16));
                    writer.Advance(16);
                    break;
                case HeaderKind.DateTimeOffset:
                    var time = (DateTimeOffset)value;
                    WriteInt64(writer, time.Ticks);
                    WriteInt64(writer, (long)time.Offset.TotalMinutes);
                    break;
                default:
                    ReadOnlySpan<byte> bytes = ((ReadOnlyMemory<byte>)value).Span;
                    WriteLength(writer, bytes.Length);
                    writer.Write(bytes);
                    break;
            }
        }
    }

    private static MessageHeaders ReadHeaders(ref HeadReader reader)
    {
        var headers = new MessageHeaders();
        for (int count = reader.ReadLength(); count > 0; count--)
        {
            string name = reader.ReadText();
            headers[name] = (HeaderKind)reader.ReadByte() switch
            {
                HeaderKind.String => reader.ReadText(),
                HeaderKind.Boolean => reader.ReadByte() != 0,
                HeaderKind.Int64 => reader.ReadInt64(),
                HeaderKind.Double => BitConverter.Int64BitsToDouble(reader.ReadInt64()),
                HeaderKind.Guid => new Guid(reader.Read(16)),
                HeaderKind.DateTimeOffset => new DateTimeOffset(reader.ReadInt64(), TimeSpan.FromMinutes(reader.ReadInt64())),
                HeaderKind.Bytes => reader.Read(reader.ReadLength()).ToArray(),
                var kind => throw new StoreException(StoreFault.Unreadable, $"The stored header '{name}' has the unknown type {(int)kind}. Open the store with a newer version of QueueKit."),
            };
        }
        return headers;
    }

    private static void WriteDeadLetter(ArrayBufferWriter<byte> writer, DeadLetterInfo info)
    {
        WriteText(writer, info.Source);
        WriteInt64(writer, (long)info.Reason);
        WriteText(writer, info.Description);
        WriteOptionalText(writer, info.Details);
        WriteInt64(writer, info.Attempts);
        WriteOptionalText(writer, info.LastError);
        WriteInt64(writer, info.SourceSequence);
        WriteInt64(writer, info.DeadLetteredAt.UtcTicks);
    }

    private static DeadLetterInfo ReadDeadLetter(ref HeadReader reader) => new(
        Source: reader.ReadText(),
        Reason: (DeadLetterReasons)reader.ReadInt64(),
        Description: reader.ReadText(),
        Details: reader.ReadOptionalText(),
        Attempts: (int)reader.ReadInt64(),
        LastError: reader.ReadOptionalText(),
        SourceSequence: reader.ReadInt64(),
        DeadLetteredAt: new DateTimeOffset(reader.ReadInt64(), TimeSpan.Zero));

    private static void WriteTextIf(ArrayBufferWriter<byte> writer, string? text)
    {
        if (text is not null)
            WriteText(writer, text);
    }

    private static void WriteOptionalText(ArrayBufferWriter<byte> writer, string? text)
    {
        writer.Write([text is null ? (byte)0 : (byte)1]);
        WriteTextIf(writer, text);
    }

    private static void WriteText(ArrayBufferWriter<byte> writer, string text)
    {
        int length = Encoding.UTF8.GetByteCount(text);
        WriteLength(writer, length);
        Encoding.UTF8.GetBytes(text, writer.GetSpan(length + 1));
        writer.Advance(length);
    }

    private static void WriteLength(ArrayBufferWriter<byte> writer, int length)
    {
        for (uint rest = (uint)length; ; rest >>= 7)
        {
            if (rest < 0x80)
            {
                writer.Write([(byte)rest]);
                return;
            }
            writer.Write([(byte)(rest | 0x80)]);
        }
    }

    private static void WriteInt64(ArrayBufferWriter<byte> writer, long value)
    {
        BinaryPrimitives.WriteInt64LittleEndian(writer.GetSpan(8), value);
        writer.Advance(8);
    }

    private static StoreException Damaged(in StoreKey key, string what) => new(StoreFault.Unreadable,
        $"The stored message {key.Sequence} of queue {key.Queue} is damaged: {what}. It is not delivered; restore the store from a backup, or repair it.") { IsRepairable = true };

    private ref struct HeadReader(ReadOnlySpan<byte> rest)
    {
        private ReadOnlySpan<byte> _rest = rest;

        public ReadOnlySpan<byte> Read(int length)
        {
            if (length < 0 || length > _rest.Length)
                throw Foreign("ends early");
            ReadOnlySpan<byte> taken = _rest[..length];
            _rest = _rest[length..];
            return taken;
        }

        public readonly void RefuseRest()
        {
            if (!_rest.IsEmpty)
                throw Foreign("goes on behind its end");
        }

        public byte ReadByte() => Read(1)[0];

        public long ReadInt64() => BinaryPrimitives.ReadInt64LittleEndian(Read(8));

        public string ReadText() => Encoding.UTF8.GetString(Read(ReadLength()));

        public string? ReadOptionalText() => ReadByte() == 0 ? null : ReadText();

        public int ReadLength()
        {
            uint length = 0;
            for (int shift = 0; shift < 35; shift += 7)
            {
                byte next = ReadByte();
                length |= (uint)(next & 0x7F) << shift;
                if (next < 0x80)
                    break;
            }
            return (int)length;
        }

        private static StoreException Foreign(string what) =>
            new(StoreFault.Unreadable, $"A stored message's head {what} although its checksum is right: it was written by something else than QueueKit.");
    }
}

/// <summary>A message on its way into a store.</summary>
/// <param name="Head">What QueueKit writes.</param>
/// <param name="Body">The application's bytes.</param>
/// <param name="BodyChecksum">The body's share of the checksum.</param>
/// <param name="ContentChecksum">The body's and the head's; all but the key's.</param>
internal readonly record struct EncodedMessage(byte[] Head, ReadOnlyMemory<byte> Body, uint BodyChecksum, uint ContentChecksum = 0);

/// <summary>A message as it comes out of a store.</summary>
internal readonly record struct DecodedMessage(Message Message, DateTimeOffset EnqueuedAt, DeadLetterInfo? DeadLetter);
