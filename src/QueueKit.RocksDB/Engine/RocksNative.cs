using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace QueueKit.RocksDB.Engine;

/// <summary>The functions of RocksDB's C interface (<c>rocksdb/c.h</c>) that the store uses, by their own names.</summary>
/// <remarks>
/// Where a function takes <c>error</c> it leaves a text there, to be freed with <see cref="rocksdb_free"/>, if it fails; see <see cref="RocksException.ThrowIf"/>.
/// A bound that is set in read options is not copied: it must stay where it is as long as iterators use them.
/// </remarks>
internal static unsafe partial class RocksNative
{
    private const string Library = "rocksdb";

    static RocksNative() => NativeLibrary.SetDllImportResolver(typeof(RocksNative).Assembly, Load);

    // The package has a library for musl beside the one for glibc, under a name of its own.
    private static nint Load(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != Library)
            return 0;
        if (NativeLibrary.TryLoad(name, assembly, path, out nint library) || NativeLibrary.TryLoad("rocksdb-musl", assembly, path, out library))
            return library;
        return 0;
    }

    [LibraryImport(Library)]
    public static partial nint rocksdb_options_create();

    [LibraryImport(Library)]
    public static partial void rocksdb_options_destroy(nint options);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial void rocksdb_get_options_from_string(nint from, string text, nint options, byte** error);

    [LibraryImport(Library)]
    public static partial void rocksdb_options_add_compact_on_deletion_collector_factory_del_ratio(nint options, nuint window, nuint deletions, double ratio);

    [LibraryImport(Library)]
    public static partial void rocksdb_options_set_info_log(nint options, nint logger);

    [LibraryImport(Library)]
    public static partial nint rocksdb_logger_create_callback_logger(int level, delegate* unmanaged[Cdecl]<void*, uint, byte*, nuint, void> callback, void* state);

    [LibraryImport(Library)]
    public static partial void rocksdb_logger_destroy(nint logger);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint rocksdb_open(nint options, string path, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial nint rocksdb_open_for_read_only(nint options, string path, byte failIfLogExists, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial void rocksdb_repair_db(nint options, string path, byte** error);

    [LibraryImport(Library)]
    public static partial void rocksdb_close(nint db);

    [LibraryImport(Library)]
    public static partial void rocksdb_disable_manual_compaction(nint db);

    [LibraryImport(Library)]
    public static partial nint rocksdb_writeoptions_create();

    [LibraryImport(Library)]
    public static partial void rocksdb_writeoptions_destroy(nint options);

    [LibraryImport(Library)]
    public static partial void rocksdb_writeoptions_set_sync(nint options, byte value);

    [LibraryImport(Library)]
    public static partial nint rocksdb_writebatch_create_from(byte* bytes, nuint length);

    [LibraryImport(Library)]
    public static partial void rocksdb_writebatch_destroy(nint batch);

    [LibraryImport(Library)]
    public static partial void rocksdb_write(nint db, nint options, nint batch, byte** error);

    [LibraryImport(Library)]
    public static partial void rocksdb_flush_wal(nint db, byte sync, byte** error);

    [LibraryImport(Library)]
    public static partial nint rocksdb_flushoptions_create();

    [LibraryImport(Library)]
    public static partial void rocksdb_flushoptions_destroy(nint options);

    [LibraryImport(Library)]
    public static partial void rocksdb_flush(nint db, nint options, byte** error);

    [LibraryImport(Library)]
    public static partial nint rocksdb_compactoptions_create();

    [LibraryImport(Library)]
    public static partial void rocksdb_compactoptions_destroy(nint options);

    [LibraryImport(Library)]
    public static partial void rocksdb_compactoptions_set_exclusive_manual_compaction(nint options, byte value);

    [LibraryImport(Library)]
    public static partial void rocksdb_compactoptions_set_bottommost_level_compaction(nint options, byte value);

    [LibraryImport(Library)]
    public static partial void rocksdb_compactoptions_set_blob_garbage_collection_policy(nint options, int value);

    [LibraryImport(Library)]
    public static partial void rocksdb_compactoptions_set_blob_garbage_collection_age_cutoff(nint options, double value);

    [LibraryImport(Library)]
    public static partial void rocksdb_compact_range_opt(nint db, nint options, byte* from, nuint fromLength, byte* to, nuint toLength);

    [LibraryImport(Library)]
    public static partial nint rocksdb_readoptions_create();

    [LibraryImport(Library)]
    public static partial void rocksdb_readoptions_destroy(nint options);

    [LibraryImport(Library)]
    public static partial void rocksdb_readoptions_set_iterate_lower_bound(nint options, byte* key, nuint length);

    [LibraryImport(Library)]
    public static partial void rocksdb_readoptions_set_iterate_upper_bound(nint options, byte* key, nuint length);

    [LibraryImport(Library)]
    public static partial void rocksdb_readoptions_set_allow_unprepared_value(nint options, byte value);

    [LibraryImport(Library)]
    public static partial nint rocksdb_get_pinned(nint db, nint options, byte* key, nuint length, byte** error);

    [LibraryImport(Library)]
    public static partial byte* rocksdb_pinnableslice_value(nint slice, nuint* length);

    [LibraryImport(Library)]
    public static partial void rocksdb_pinnableslice_destroy(nint slice);

    [LibraryImport(Library)]
    public static partial nint rocksdb_create_iterator(nint db, nint options);

    [LibraryImport(Library)]
    public static partial void rocksdb_iter_destroy(nint iterator);

    [LibraryImport(Library)]
    public static partial void rocksdb_iter_seek_to_first(nint iterator);

    [LibraryImport(Library)]
    public static partial void rocksdb_iter_seek(nint iterator, byte* key, nuint length);

    [LibraryImport(Library)]
    public static partial void rocksdb_iter_next(nint iterator);

    [SuppressGCTransition]
    [LibraryImport(Library)]
    public static partial byte rocksdb_iter_valid(nint iterator);

    [SuppressGCTransition]
    [LibraryImport(Library)]
    public static partial byte* rocksdb_iter_key(nint iterator, nuint* length);

    [SuppressGCTransition]
    [LibraryImport(Library)]
    public static partial byte* rocksdb_iter_value(nint iterator, nuint* length);

    [LibraryImport(Library)]
    public static partial void rocksdb_iter_get_error(nint iterator, byte** error);

    [LibraryImport(Library)]
    public static partial int rocksdb_property_int(nint db, byte* name, ulong* value);

    [LibraryImport(Library)]
    public static partial nint rocksdb_livefiles(nint db);

    [LibraryImport(Library)]
    public static partial int rocksdb_livefiles_count(nint files);

    [LibraryImport(Library)]
    public static partial ulong rocksdb_livefiles_entries(nint files, int index);

    [LibraryImport(Library)]
    public static partial ulong rocksdb_livefiles_deletions(nint files, int index);

    [LibraryImport(Library)]
    public static partial void rocksdb_livefiles_destroy(nint files);

    [LibraryImport(Library)]
    public static partial nint rocksdb_checkpoint_object_create(nint db, byte** error);

    [LibraryImport(Library, StringMarshalling = StringMarshalling.Utf8)]
    public static partial void rocksdb_checkpoint_create(nint checkpoint, string path, ulong logBytesForFlush, byte** error);

    [LibraryImport(Library)]
    public static partial void rocksdb_checkpoint_object_destroy(nint checkpoint);

    [LibraryImport(Library)]
    public static partial void rocksdb_free(void* memory);

    /// <summary>A logger that says nothing: RocksDB would otherwise begin a log in the folder of a store that is only looked at.</summary>
    public static nint CreateSilentLogger() => rocksdb_logger_create_callback_logger(5, &Ignore, null);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Ignore(void* state, uint level, byte* text, nuint length)
    {
    }
}
