using System.Runtime.CompilerServices;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace QueueKit.Sqlite.Outbox;

/// <summary>What is compiled once for a connection of the application's, and lasts as long as the connection has the same handle. Used by whoever uses the connection.</summary>
/// <remarks>A connection that is closed and opened again may have another handle, and somebody else the one it had: statements compiled for that would run there.</remarks>
internal sealed class PerConnection<T>(Func<SqliteConnection, T> compile) where T : class, IDisposable
{
    private readonly ConditionalWeakTable<SqliteConnection, Compiled> _compiled = [];

    public T For(SqliteConnection connection)
    {
        sqlite3 handle = connection.Handle!;
        if (_compiled.TryGetValue(connection, out Compiled? known))
        {
            if (ReferenceEquals(known.Handle, handle))
                return known.Value;
            known.Value.Dispose();
        }
        var compiled = new Compiled(handle, compile(connection));
        _compiled.AddOrUpdate(connection, compiled);
        return compiled.Value;
    }

    private sealed record Compiled(sqlite3 Handle, T Value);
}
