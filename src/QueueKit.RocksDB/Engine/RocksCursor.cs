namespace QueueKit.RocksDB.Engine;

/// <summary>Goes through a range of keys in ascending order.</summary>
internal readonly unsafe ref struct RocksCursor(nint iterator, nint options)
{
    /// <summary>Whether it stands on a record.</summary>
    public bool IsValid => RocksNative.rocksdb_iter_valid(iterator) != 0;

    /// <summary>The key; valid until the cursor moves.</summary>
    public ReadOnlySpan<byte> Key
    {
        get
        {
            nuint length;
            byte* key = RocksNative.rocksdb_iter_key(iterator, &length);
            return new(key, checked((int)length));
        }
    }

    /// <summary>The value; valid until the cursor moves.</summary>
    public ReadOnlySpan<byte> Value
    {
        get
        {
            nuint length;
            byte* value = RocksNative.rocksdb_iter_value(iterator, &length);
            return new(value, checked((int)length));
        }
    }

    public void First() => RocksNative.rocksdb_iter_seek_to_first(iterator);

    /// <summary>Goes to the first key that is not before this one.</summary>
    public void Seek(ReadOnlySpan<byte> key)
    {
        fixed (byte* bytes = key)
            RocksNative.rocksdb_iter_seek(iterator, bytes, (nuint)key.Length);
    }

    public void Next() => RocksNative.rocksdb_iter_next(iterator);

    /// <summary>Called where it stands on no record any more: throws if that is not the end.</summary>
    /// <exception cref="RocksException">What comes next cannot be read.</exception>
    public void ThrowIfFailed()
    {
        byte* error = null;
        RocksNative.rocksdb_iter_get_error(iterator, &error);
        RocksException.ThrowIf(error);
    }

    public void Dispose()
    {
        RocksNative.rocksdb_iter_destroy(iterator);
        RocksNative.rocksdb_readoptions_destroy(options);
    }
}
