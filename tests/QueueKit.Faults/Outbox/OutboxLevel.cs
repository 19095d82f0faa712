using Microsoft.Data.Sqlite;
using QueueKit.Faults.Kill;

namespace QueueKit.Faults.Outbox;

/// <summary>Kills a process that sends in transactions of an application's database, again and again, and compares that database with what came: every order in it has its message, and no message is without its order.</summary>
internal static class OutboxLevel
{
    public static Task<FaultReport> RunAsync(FaultOptions options) => KillLevel.RunAsync(options, "outbox-child", (folder, truth) => truth.CheckAgainst(ReadTaken(OutboxChild.DatabaseIn(folder))));

    private static HashSet<string> ReadTaken(string database)
    {
        using var connection = new SqliteConnection($"Data Source={database};Pooling=False");
        connection.Open();
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = "SELECT id FROM taken";
        using SqliteDataReader reader = command.ExecuteReader();
        var ids = new HashSet<string>();
        while (reader.Read())
            ids.Add(reader.GetString(0));
        return ids;
    }
}
