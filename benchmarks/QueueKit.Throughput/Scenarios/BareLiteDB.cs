using LiteDB;
using LiteDB.Engine;
using QueueKit.LiteDB;
using QueueKit.LiteDB.Files;
using QueueKit.Stores;

namespace QueueKit.Throughput.Scenarios;

/// <summary>Documents over the files of the LiteDB store: one LiteDB transaction and one flush a commit.</summary>
internal sealed class BareLiteDB : BareCommits
{
    private readonly List<BsonDocument> _documents = [];
    private readonly List<BsonValue> _deleted = [];
    private readonly IDisposable _lock;
    private readonly StoreFiles _files;
    private readonly LiteEngine _engine;

    public BareLiteDB(string folder)
    {
        var paths = new StorePaths(Path.Combine(folder, "bare.db"));
        DiskFileSystem disk = DiskFileSystem.Instance;
        _lock = StoreOpening.Lock(disk, paths);
        _files = StoreOpening.Open(disk, paths, new LiteDBStoreOptions());
        _engine = LiteEngines.Open(_files.Data, _files.Log);
    }

    protected override void Insert(long number, byte[] body) => _documents.Add(new BsonDocument { ["_id"] = KeyOf(number), ["b"] = body });

    protected override void Delete(long number) => _deleted.Add(KeyOf(number));

    protected override void Commit()
    {
        // As the store does: LiteDB would otherwise hand each group to a thread of its own and back.
        InlineScheduler.Run(Apply);
        _files.Log.WaitForTransaction();
        _files.Log.Publish();
        _files.Log.Sync();
        _documents.Clear();
        _deleted.Clear();
    }

    protected override void Close()
    {
        _engine.Dispose();
        _files.Dispose();
        _lock.Dispose();
    }

    private bool Apply()
    {
        _engine.BeginTrans();
        if (_documents.Count > 0)
            _engine.Insert(LiteEngines.Records, _documents, BsonAutoId.ObjectId);
        if (_deleted.Count > 0)
            _engine.Delete(LiteEngines.Records, _deleted);
        return _engine.Commit();
    }

    // As long as a store's own keys.
    private static BsonValue KeyOf(long number)
    {
        byte[] key = new byte[StoreKey.ByteLength];
        new StoreKey(StoreKind.Message, 1, 9, 0, 0, number).WriteTo(key);
        return new BsonValue(key);
    }
}
