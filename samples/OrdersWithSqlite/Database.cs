using Microsoft.Data.Sqlite;

namespace OrdersWithSqlite;

/// <summary>The shop's database: orders, and how much of each product has been booked for them.</summary>
internal sealed class Database(string path)
{
    private readonly string _connection = $"Data Source={path}";

    public async ValueTask<SqliteConnection> OpenAsync()
    {
        var connection = new SqliteConnection(_connection);
        await connection.OpenAsync();
        return connection;
    }

    public void Create(IEnumerable<string> products)
    {
        Execute("CREATE TABLE IF NOT EXISTS orders(id INTEGER PRIMARY KEY, product TEXT NOT NULL, pieces INTEGER NOT NULL)");
        Execute("CREATE TABLE IF NOT EXISTS stock(product TEXT PRIMARY KEY, bookings INTEGER NOT NULL DEFAULT 0, pieces INTEGER NOT NULL DEFAULT 0)");
        foreach (string product in products)
            Execute("INSERT OR IGNORE INTO stock(product) VALUES ($0)", product);
    }

    public long CountOrders() => (long)Scalar("SELECT count(*) FROM orders")!;

    public static long AddOrder(SqliteTransaction transaction, string product, int pieces)
    {
        using SqliteCommand command = Command(transaction.Connection!, "INSERT INTO orders(product, pieces) VALUES ($0, $1) RETURNING id", product, pieces);
        command.Transaction = transaction;
        return (long)command.ExecuteScalar()!;
    }

    public static void Book(SqliteTransaction transaction, string product, int pieces)
    {
        using SqliteCommand command = Command(transaction.Connection!, "UPDATE stock SET bookings = bookings + 1, pieces = pieces + $1 WHERE product = $0", product, pieces);
        command.Transaction = transaction;
        command.ExecuteNonQuery();
    }

    /// <summary>What has been ordered of each product, beside what has been booked.</summary>
    public IReadOnlyList<Line> Compare()
    {
        using var connection = new SqliteConnection(_connection);
        connection.Open();
        using SqliteCommand command = Command(connection, """
            SELECT product, count(orders.id), coalesce(sum(orders.pieces), 0), stock.bookings, stock.pieces
            FROM stock LEFT JOIN orders USING (product) GROUP BY product ORDER BY product
            """);
        using SqliteDataReader reader = command.ExecuteReader();
        var lines = new List<Line>();
        while (reader.Read())
            lines.Add(new Line(reader.GetString(0), reader.GetInt64(1), reader.GetInt64(2), reader.GetInt64(3), reader.GetInt64(4)));
        return lines;
    }

    public long CountOutbox() => (long)Scalar("SELECT count(*) FROM queuekit_outbox")!;

    private void Execute(string sql, params object[] values) => Scalar(sql, values);

    private object? Scalar(string sql, params object[] values)
    {
        using var connection = new SqliteConnection(_connection);
        connection.Open();
        using SqliteCommand command = Command(connection, sql, values);
        return command.ExecuteScalar();
    }

    private static SqliteCommand Command(SqliteConnection connection, string sql, params object[] values)
    {
        SqliteCommand command = connection.CreateCommand();
#pragma warning disable CA2100 // No text of a user's: values are parameters.
        command.CommandText = sql;
#pragma warning restore CA2100
        for (int i = 0; i < values.Length; i++)
            command.Parameters.AddWithValue($"${i}", values[i]);
        return command;
    }
}

/// <summary>One product: what was ordered, and what was booked for that.</summary>
internal sealed record Line(string Product, long Orders, long OrderedPieces, long Bookings, long BookedPieces)
{
    public bool IsRight => Orders == Bookings && OrderedPieces == BookedPieces;
}
