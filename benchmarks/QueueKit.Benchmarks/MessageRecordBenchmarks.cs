using BenchmarkDotNet.Attributes;
using QueueKit.Stores;

namespace QueueKit.Benchmarks;

/// <summary>What is done to encode a durable message, most of it on the sender's thread, and what opening a store does for each.</summary>
[MemoryDiagnoser]
public class MessageRecordBenchmarks
{
    private static readonly StoreKey s_key = new(StoreKind.Message, 1, 0, 0, 0, 1);

    private Message _message = null!;
    private StoreRecord _record;

    [Params(100, 4_096)]
    public int BodyBytes { get; set; }

    [Params(false, true)]
    public bool Properties { get; set; }

    [GlobalSetup]
    public void SetUp()
    {
        byte[] body = new byte[BodyBytes];
        _message = !Properties
            ? new Message(body)
            : new Message(body)
            {
                MessageId = "5f0c1b9e-4d43-4d2a-9a0e-7a2f4b1c6d21",
                ContentType = "application/json",
                Type = "order.created",
                Headers = new MessageHeaders { ["tenant"] = "north", ["retry"] = 3L, ["urgent"] = true },
            };
        EncodedMessage encoded = EncodeStamp();
        _record = new StoreRecord(s_key, encoded.Head, encoded.Body);
    }

    [Benchmark]
    public object Encode() => EncodeStamp().Head;

    [Benchmark]
    public Message Decode() => MessageRecord.Decode(_record).Message;

    private EncodedMessage EncodeStamp()
    {
        EncodedMessage encoded = MessageRecord.Encode(_message);
        MessageRecord.Stamp(ref encoded, DateTimeOffset.UnixEpoch);
        MessageRecord.Seal(encoded, s_key);
        return encoded;
    }
}
