using QueueKit.RocksDB;
using QueueKit.RocksDB.Engine;
using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Records in a RocksDB database with the settings of the RocksDB store: one write batch with a flush of the log a commit.</summary>
internal sealed class BareRocksDB : BareCommits
{
    private readonly RocksEngine _engine;
    private byte[] _batch = new byte[1 << 20];
    private int _length = HeaderBytes;
    private int _count;

    // A write batch in RocksDB's own form, as BatchWriter draws it.
    private const int HeaderBytes = 12, RecordBytes = 2 + StoreKey.ByteLength, LongestLength = 5;

    public BareRocksDB(string folder) => _engine = RocksEngine.Open(Path.Combine(folder, "bare"), RocksMode.Create, new RocksDBStoreOptions());

    protected override void Insert(long number, byte[] body)
    {
        Add(1, number, RecordBytes + LongestLength + body.Length);
        // Seven bits a byte, the lowest first.
        uint rest = (uint)body.Length;
        for (; rest >= 0x80; rest >>= 7)
            _batch[_length++] = (byte)(rest | 0x80);
        _batch[_length++] = (byte)rest;
        body.CopyTo(_batch, _length);
        _length += body.Length;
    }

    protected override void Delete(long number) => Add(0, number, RecordBytes);

    protected override void Commit()
    {
        BitConverter.TryWriteBytes(_batch.AsSpan(8), _count);
        _engine.Write(_batch.AsSpan(0, _length), isFlushed: true);
        _length = HeaderBytes;
        _count = 0;
    }

    protected override void Close() => _engine.Dispose();

    private void Add(byte tag, long number, int bytes)
    {
        if (_batch.Length - _length < bytes)
            Array.Resize(ref _batch, _batch.Length * 2);
        _batch[_length] = tag;
        _batch[_length + 1] = StoreKey.ByteLength;
        // As long as a store's own keys.
        new StoreKey(StoreKind.Message, 1, 9, 0, 0, number).WriteTo(_batch.AsSpan(_length + 2));
        _length += RecordBytes;
        _count++;
    }
}
