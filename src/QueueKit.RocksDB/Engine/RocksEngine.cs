using System.Runtime.CompilerServices;

namespace QueueKit.RocksDB.Engine;

/// <summary>An open RocksDB database. Calls may run beside each other, but <see cref="Dispose"/> only when no other is under way.</summary>
internal sealed unsafe class RocksEngine : IDisposable
{
    private readonly nint _options;
    private readonly nint _written = RocksNative.rocksdb_writeoptions_create();
    private readonly nint _flushed = RocksNative.rocksdb_writeoptions_create();
    private nint _db;

    private RocksEngine(nint options, nint db)
    {
        _options = options;
        _db = db;
        RocksNative.rocksdb_writeoptions_set_sync(_flushed, 1);
    }

    /// <summary>Whether it was opened for writing.</summary>
    public bool IsWritable { get; private init; }

    /// <exception cref="RocksException">It cannot be opened.</exception>
    public static RocksEngine Open(string folder, RocksMode mode, RocksDBStoreOptions options)
    {
        nint rocksOptions = RocksSettings.Create(mode, options);
        try
        {
            byte* error = null;
            bool isWritable = mode is RocksMode.ReadWrite or RocksMode.Create;
            nint db = isWritable ? RocksNative.rocksdb_open(rocksOptions, folder, &error) : RocksNative.rocksdb_open_for_read_only(rocksOptions, folder, 0, &error);
            RocksException.ThrowIf(error);
            return new RocksEngine(rocksOptions, db) { IsWritable = isWritable };
        }
        catch
        {
            RocksNative.rocksdb_options_destroy(rocksOptions);
            throw;
        }
    }

    /// <summary>Has RocksDB make a database that opens of the tables and logs that it finds in a folder.</summary>
    public static void Repair(string folder)
    {
        nint options = RocksSettings.Create(RocksMode.Salvage, new RocksDBStoreOptions());
        try
        {
            byte* error = null;
            RocksNative.rocksdb_repair_db(options, folder, &error);
            RocksException.ThrowIf(error);
        }
        finally
        {
            RocksNative.rocksdb_options_destroy(options);
        }
    }

    /// <summary>Applies a batch in RocksDB's own form, all of it or nothing.</summary>
    public void Write(ReadOnlySpan<byte> batch, bool isFlushed)
    {
        nint native;
        fixed (byte* bytes = batch)
            native = RocksNative.rocksdb_writebatch_create_from(bytes, (nuint)batch.Length);
        byte* error = null;
        RocksNative.rocksdb_write(_db, isFlushed ? _flushed : _written, native, &error);
        RocksNative.rocksdb_writebatch_destroy(native);
        RocksException.ThrowIf(error);
    }

    /// <summary>Flushes the log.</summary>
    public void SyncLog()
    {
        byte* error = null;
        RocksNative.rocksdb_flush_wal(_db, 1, &error);
        RocksException.ThrowIf(error);
    }

    /// <summary>Writes everything that is in memory into tables and flushes them.</summary>
    public void Flush()
    {
        nint options = RocksNative.rocksdb_flushoptions_create();
        byte* error = null;
        RocksNative.rocksdb_flush(_db, options, &error);
        RocksNative.rocksdb_flushoptions_destroy(options);
        RocksException.ThrowIf(error);
    }

    /// <summary>Rewrites whatever there is without what is deleted. Ends early after <see cref="CancelCompaction"/>.</summary>
    public void Compact()
    {
        const byte ForceOptimized = 3; // What it has rewritten by itself just now it leaves alone.
        const int CollectGarbage = 0;
        nint options = RocksNative.rocksdb_compactoptions_create();
        RocksNative.rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
        RocksNative.rocksdb_compactoptions_set_bottommost_level_compaction(options, ForceOptimized);
        RocksNative.rocksdb_compactoptions_set_blob_garbage_collection_policy(options, CollectGarbage);
        RocksNative.rocksdb_compactoptions_set_blob_garbage_collection_age_cutoff(options, 1);
        RocksNative.rocksdb_compact_range_opt(_db, options, null, 0, null, 0);
        RocksNative.rocksdb_compactoptions_destroy(options);
    }

    /// <summary>Ends a <see cref="Compact"/> that is under way, and lets no other begin.</summary>
    public void CancelCompaction()
    {
        if (_db != 0)
            RocksNative.rocksdb_disable_manual_compaction(_db);
    }

    /// <summary>What is in memory and will be written into tables, in bytes.</summary>
    public long BufferedBytes => Property("rocksdb.size-all-mem-tables"u8);

    /// <summary>How many deletions are in memory.</summary>
    public long BufferedDeletions => Property("rocksdb.num-deletes-active-mem-table"u8) + Property("rocksdb.num-deletes-imm-mem-tables"u8);

    /// <summary>How many entries the tables have, and how many of them are deletions.</summary>
    public (long Entries, long Deletions) CountEntries()
    {
        nint files = RocksNative.rocksdb_livefiles(_db);
        long entries = 0, deletions = 0;
        for (int i = 0; i < RocksNative.rocksdb_livefiles_count(files); i++)
        {
            entries += (long)RocksNative.rocksdb_livefiles_entries(files, i);
            deletions += (long)RocksNative.rocksdb_livefiles_deletions(files, i);
        }
        RocksNative.rocksdb_livefiles_destroy(files);
        return (entries, deletions);
    }

    /// <summary>The value of a key; null if there is none.</summary>
    public byte[]? Get(ReadOnlySpan<byte> key)
    {
        nint options = RocksNative.rocksdb_readoptions_create();
        byte* error = null;
        nint slice;
        fixed (byte* bytes = key)
            slice = RocksNative.rocksdb_get_pinned(_db, options, bytes, (nuint)key.Length, &error);
        RocksNative.rocksdb_readoptions_destroy(options);
        RocksException.ThrowIf(error);
        if (slice == 0)
            return null;
        nuint length;
        byte* value = RocksNative.rocksdb_pinnableslice_value(slice, &length);
        byte[] copy = new ReadOnlySpan<byte>(value, (int)length).ToArray();
        RocksNative.rocksdb_pinnableslice_destroy(slice);
        return copy;
    }

    /// <summary>Copies the database as it is at this moment into a folder that is not there yet.</summary>
    public void Checkpoint(string folder)
    {
        byte* error = null;
        nint checkpoint = RocksNative.rocksdb_checkpoint_object_create(_db, &error);
        RocksException.ThrowIf(error);
        RocksNative.rocksdb_checkpoint_create(checkpoint, folder, 0, &error);
        RocksNative.rocksdb_checkpoint_object_destroy(checkpoint);
        RocksException.ThrowIf(error);
    }

    /// <summary>Begins to read: the state of this moment. The bounds must stay where they are until the cursor is disposed.</summary>
    /// <param name="from">The first key.</param>
    /// <param name="to">The key before which to stop.</param>
    /// <param name="keysAlone">Whether files of large values are left alone, and no value is asked for.</param>
    public RocksCursor Read(ReadOnlySpan<byte> from, ReadOnlySpan<byte> to, bool keysAlone = false)
    {
        nint options = RocksNative.rocksdb_readoptions_create();
        RocksNative.rocksdb_readoptions_set_allow_unprepared_value(options, keysAlone ? (byte)1 : (byte)0);
        RocksNative.rocksdb_readoptions_set_iterate_lower_bound(options, (byte*)Unsafe.AsPointer(ref Unsafe.AsRef(in from[0])), (nuint)from.Length);
        RocksNative.rocksdb_readoptions_set_iterate_upper_bound(options, (byte*)Unsafe.AsPointer(ref Unsafe.AsRef(in to[0])), (nuint)to.Length);
        return new RocksCursor(RocksNative.rocksdb_create_iterator(_db, options), options);
    }

    // A literal ends with a zero.
    private long Property(ReadOnlySpan<byte> name)
    {
        ulong value = 0;
        fixed (byte* text = name)
            return RocksNative.rocksdb_property_int(_db, text, &value) == 0 ? (long)value : 0;
    }

    public void Dispose()
    {
        if (_db == 0)
            return;
        RocksNative.rocksdb_close(_db);
        _db = 0;
        RocksNative.rocksdb_options_destroy(_options);
        RocksNative.rocksdb_writeoptions_destroy(_written);
        RocksNative.rocksdb_writeoptions_destroy(_flushed);
    }
}
