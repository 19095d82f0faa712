using QueueKit.Sqlite;
using QueueKit.Sqlite.Engine;

namespace QueueKit.Throughput.Scenarios;

/// <summary>A group commit over SQLite with the store's settings and calls: one transaction, a prepared statement for each row, a table with one number as its key. Checkpoints are SQLite's own, inside the commits.</summary>
internal sealed unsafe class BareSqlite : BareCommits
{
    private readonly Database _database;
    private readonly Statement _begin, _commit, _insert, _delete;
    private bool _isOpen;

    public BareSqlite(string folder)
    {
        string path = Path.Combine(folder, "bare.db");
        using (new Database(path, create: true)) { }
        _database = StoreOpening.OpenAnother(path, TimeSpan.Zero, new SqliteStoreOptions().CacheBytes);
        _database.Execute("CREATE TABLE records(number INTEGER PRIMARY KEY, body BLOB)");
        // As many pages as the store's log may hold; it replaces the hook of the store's connections.
        _database.Execute($"PRAGMA wal_autocheckpoint = {new SqliteStoreOptions().LogBytes / StoreSchema.PageBytes}");
        _begin = _database.Prepare("BEGIN IMMEDIATE");
        _commit = _database.Prepare("COMMIT");
        _insert = _database.Prepare("INSERT INTO records VALUES(?, ?)");
        _delete = _database.Prepare("DELETE FROM records WHERE number = ?");
    }

    protected override void Insert(long number, byte[] body)
    {
        Begin();
        _insert.Bind(1, number);
        fixed (byte* pinned = body)
        {
            _insert.Bind(2, pinned, body.Length);
            _insert.Run();
        }
    }

    protected override void Delete(long number)
    {
        Begin();
        _delete.Bind(1, number);
        _delete.Run();
    }

    protected override void Commit()
    {
        _commit.Run();
        _isOpen = false;
    }

    protected override void Close() => _database.Dispose();

    private void Begin()
    {
        if (_isOpen)
            return;
        _begin.Run();
        _isOpen = true;
    }
}
