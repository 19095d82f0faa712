using System.Globalization;

namespace QueueKit.RocksDB.Engine;

/// <summary>How a database is to be opened.</summary>
internal enum RocksMode
{
    /// <summary>For reading and writing; it must exist.</summary>
    ReadWrite = 0,
    /// <summary>For reading and writing; it must not exist.</summary>
    Create,
    /// <summary>For reading alone: no file changes. Its log is replayed in memory.</summary>
    ReadOnly,
    /// <summary>For reading whatever can be read, beyond damage; no file changes.</summary>
    Salvage,
}

/// <summary>RocksDB's options, as its own text form, with the reasons.</summary>
internal static unsafe class RocksSettings
{
    // Of a table's entries: where so many of so many in a row are deletions, RocksDB compacts it at once, and whoever seeks need not walk over them.
    private const int DeletionWindow = 16_384, DeletionTrigger = 8_192;
    private const double DeletionRatio = 0.5;

    /// <summary>Makes options; the caller frees them.</summary>
    public static nint Create(RocksMode mode, RocksDBStoreOptions options)
    {
        nint defaults = RocksNative.rocksdb_options_create(), result = RocksNative.rocksdb_options_create();
        try
        {
            byte* error = null;
            RocksNative.rocksdb_get_options_from_string(defaults, Text(mode, options), result, &error);
            RocksException.ThrowIf(error);
        }
        catch
        {
            RocksNative.rocksdb_options_destroy(result);
            throw;
        }
        finally
        {
            RocksNative.rocksdb_options_destroy(defaults);
        }
        RocksNative.rocksdb_options_add_compact_on_deletion_collector_factory_del_ratio(result, DeletionWindow, DeletionTrigger, DeletionRatio);
        if (mode is RocksMode.ReadOnly or RocksMode.Salvage)
        {
            nint silent = RocksNative.CreateSilentLogger();
            RocksNative.rocksdb_options_set_info_log(result, silent);
            // The options share it.
            RocksNative.rocksdb_logger_destroy(silent);
        }
        return result;
    }

    private static string Text(RocksMode mode, RocksDBStoreOptions options) => string.Create(CultureInfo.InvariantCulture, $$"""
        create_if_missing={{(mode == RocksMode.Create ? "true" : "false")}};
        error_if_exists={{(mode == RocksMode.Create ? "true" : "false")}};
        {{Recovery(mode)}}
        {{Commits}}
        write_buffer_size={{options.WriteBufferBytes}};
        max_write_buffer_number=3;
        max_total_wal_size={{4 * options.WriteBufferBytes}};
        memtable_op_scan_flush_trigger=100000;
        compression=kLZ4Compression;
        target_file_size_base=33554432;
        level_compaction_dynamic_level_bytes=true;
        max_background_jobs=2;
        enable_blob_files=true;
        min_blob_size={{options.MinBlobBytes}};
        blob_file_size=33554432;
        blob_compression_type=kNoCompression;
        enable_blob_garbage_collection=true;
        blob_garbage_collection_age_cutoff=1.0;
        blob_garbage_collection_force_threshold=0.5;
        max_open_files=512;
        block_based_table_factory={block_cache={{options.CacheBytes}};cache_index_and_filter_blocks=true;pin_l0_filter_and_index_blocks_in_cache=true;block_size=16384;checksum=kXXH3;format_version=5;};
        info_log_level=WARN_LEVEL;
        max_log_file_size=1048576;
        keep_log_file_num=2;
        stats_dump_period_sec=0;
        stats_persist_period_sec=0;
        """).ReplaceLineEndings("");

    // What is replayed of the log ends where it is damaged, as a power cut may leave what was not flushed; the number of the last commit, and the witness, tell
    // whether that was confirmed. Nothing that has failed is tried again.
    private static string Recovery(RocksMode mode) => mode == RocksMode.Salvage
        ? "wal_recovery_mode=kSkipAnyCorruptedRecords;paranoid_checks=false;skip_checking_sst_file_sizes_on_db_open=true;"
        : "wal_recovery_mode=kPointInTimeRecovery;paranoid_checks=true;max_bgerror_resume_count=0;";

    // One commit at a time, so there is nothing to arrange between writers. A log is written over an old one of the same length: a flush that leaves the length
    // alone takes half as long. Files are deleted in the background, not by whoever commits or reads.
    private const string Commits = """
        allow_concurrent_memtable_write=false;
        enable_write_thread_adaptive_yield=false;
        recycle_log_file_num=1;
        avoid_unnecessary_blocking_io=true;
        """;
}
