using LiteDB;
using LiteDB.Engine;
using QueueKit.LiteDB.Files;

namespace QueueKit.LiteDB;

/// <summary>How LiteDB is opened, and how a new store is made.</summary>
internal static class LiteEngines
{
    /// <summary>The collection of the records.</summary>
    public const string Records = "records";
    // For people who open the file with LiteDB's tools.
    private const string About = "about";

    public static LiteEngine Open(Stream data, Stream log) => new(new EngineSettings
    {
        DataStream = data,
        LogStream = log,
        // For sorting, which no query of ours needs: it must not find its way to a temporary file.
        TempStream = new MemoryStream(),
        Collation = Collation.Binary,
    });

    /// <summary>Makes an empty store under a name of its own and renames it when it is complete: a store is there or not.</summary>
    public static void Create(IStoreFileSystem files, StorePaths paths)
    {
        var state = new StoreState(Guid.NewGuid(), 1, StorePhase.Closed);
        using (var data = new DataFile(paths.New, files.Create(paths.New), state) { IsWritable = true })
            InlineScheduler.Run(() => Fill(data, state.StoreId));
        files.Rename(paths.New, paths.Data);
        files.SyncDirectory(paths.Data);
    }

    private static bool Fill(DataFile data, Guid storeId)
    {
        using var log = new MemoryStream();
        using LiteEngine engine = Open(data, log);
        // Off: a checkpoint of LiteDB's own would stand in the midst of somebody's commit.
        engine.Pragma("CHECKPOINT", 0);
        engine.Pragma("USER_VERSION", (int)PageFormat.Version);
        engine.Insert(About, [new BsonDocument
        {
            ["_id"] = "QueueKit",
            ["text"] = "Message queues, see https://www.nuget.org/packages/QueueKit.LiteDB. Every page has a checksum of QueueKit's: what another program writes here makes the store unreadable.",
            ["format"] = (int)PageFormat.Version,
            ["store"] = storeId,
        }], BsonAutoId.ObjectId);
        // The collection is made here, so that nothing but the first sector of the header page changes ever after.
        var first = new BsonValue(new byte[1]);
        engine.Insert(Records, [new BsonDocument { ["_id"] = first }], BsonAutoId.ObjectId);
        engine.Delete(Records, [first]);
        engine.Checkpoint();
        return true;
    }
}
