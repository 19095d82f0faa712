using System.Runtime.InteropServices.Marshalling;
using System.Text;
using static QueueKit.Sqlite.Engine.NativeSqlite;

namespace QueueKit.Sqlite.Engine;

/// <summary>A compiled statement. Parameters are numbered from 1, columns from 0.</summary>
internal sealed unsafe class Statement(Database database, nint handle) : IDisposable
{
    // Where an empty blob lies: a null pointer would be NULL.
    private static readonly byte* s_nothing = (byte*)System.Runtime.InteropServices.NativeMemory.AllocZeroed(1);

    private const nint NeverFreed = 0, Copied = -1;
    private const int IntegerType = 1, TextType = 3, BlobType = 4, NullType = 5;

    private nint _handle = handle;

    public void Bind(int index, long value) => database.Check(sqlite3_bind_int64(_handle, index, value));

    /// <summary>Binds memory that stays as and where it is until the statement is reset and another value is bound.</summary>
    public void Bind(int index, byte* value, int length) => database.Check(sqlite3_bind_blob(_handle, index, length == 0 ? s_nothing : value, length, NeverFreed));

    /// <summary>Binds a text.</summary>
    public void Bind(int index, string value)
    {
        byte* utf8 = Utf8StringMarshaller.ConvertToUnmanaged(value);
        try
        {
            database.Check(sqlite3_bind_text(_handle, index, utf8, Encoding.UTF8.GetByteCount(value), Copied));
        }
        finally
        {
            Utf8StringMarshaller.Free(utf8);
        }
    }

    public void BindNull(int index) => database.Check(sqlite3_bind_null(_handle, index));

    /// <summary>Goes on to the next row; false at the end.</summary>
    public bool Step()
    {
        int code = sqlite3_step(_handle);
        if (code == Row)
            return true;
        if (code == Done)
            return false;
        SqliteError error = database.Error(code);
        Reset();
        throw error;
    }

    /// <summary>Runs the statement to its end and makes it ready for the next time.</summary>
    public void Run()
    {
        while (Step()) { }
        Reset();
    }

    // Its result is the error of the step before, which has been told already.
    public void Reset() => _ = sqlite3_reset(_handle);

    public bool IsBlob(int column) => sqlite3_column_type(_handle, column) == BlobType;

    public bool IsText(int column) => sqlite3_column_type(_handle, column) == TextType;

    public bool IsInteger(int column) => sqlite3_column_type(_handle, column) == IntegerType;

    public bool IsNull(int column) => sqlite3_column_type(_handle, column) == NullType;

    public long GetInt64(int column) => sqlite3_column_int64(_handle, column);

    /// <summary>The bytes of a blob: good until the next step.</summary>
    public ReadOnlySpan<byte> GetBlob(int column)
    {
        byte* bytes = sqlite3_column_blob(_handle, column);
        return new ReadOnlySpan<byte>(bytes, bytes == null ? 0 : sqlite3_column_bytes(_handle, column));
    }

    /// <summary>The bytes of a text in UTF-8: good until the next step.</summary>
    public ReadOnlySpan<byte> GetUtf8(int column)
    {
        byte* bytes = sqlite3_column_text(_handle, column);
        return new ReadOnlySpan<byte>(bytes, bytes == null ? 0 : sqlite3_column_bytes(_handle, column));
    }

    public string GetText(int column) => Utf8StringMarshaller.ConvertToManaged(sqlite3_column_text(_handle, column)) ?? "";

    public void Dispose()
    {
        _ = sqlite3_finalize(_handle);
        _handle = 0;
    }
}
