using BenchmarkDotNet.Attributes;
using QueueKit.Stores;

namespace QueueKit.Benchmarks;

/// <summary>What a sender's thread does for a durable message, and what opening a store does for each.</summary>
[MemoryDiagnoser]
public class MessageRecordBenchmarks
{
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
        _record = new StoreRecord(new StoreKey(StoreKind.Message, 1, 0, 0, 0, 1), encoded.Head, encoded.Body);
    }

    [Benchmark]
    public object Encode() => EncodeStamp().Head;

    [Benchmark]
    public Message Decode() => MessageRecord.Decode(_record).Message;

    private EncodedMessage EncodeStamp()
    {
        EncodedMessage encoded = MessageRecord.Encode(_message);
        MessageRecord.Stamp(encoded, DateTimeOffset.UnixEpoch);
        return encoded;
    }
}
