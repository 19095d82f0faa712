using System.Text;
using Microsoft.Data.Sqlite;
using QueueKit.Faults.Kill;
using QueueKit.Sqlite;
using static QueueKit.Faults.Kill.KillChild;

namespace QueueKit.Faults.Outbox;

/// <summary>The process that is killed: writers that take orders in an application's database, with a message in the same transaction, and a consumer that takes the messages.</summary>
/// <remarks>
/// What it tells, in lines, before or after it is done: <c>s ID</c> about to be committed, <c>c ID</c> committed, <c>d ID redelivered attempt</c> delivered,
/// <c>k ID</c> about to be acked, <c>a ID</c> ack confirmed, <c>o MESSAGES</c> opened, <c>e</c> empty, <c>x TEXT</c> something that must not be.
/// What is rolled back is never told: should it come, it was never sent.
/// </remarks>
internal static class OutboxChild
{
    public static string DatabaseIn(string folder) => Path.Combine(folder, "app.db");

    public static async Task<int> RunAsync(ChildOptions options)
    {
        string database = DatabaseIn(options.Folder);
        await using MessageBroker broker = await MessageBroker.OpenAsync(Stores.Open(options.Store, options.Folder).UseSqliteOutbox(database));
        // One with room for everything, and one in which rows mostly wait.
        MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { Overflow = OverflowPolicy.Buffer, MaxAttempts = null, RetryDelay = RetryDelay.None });
        MessageQueue mails = await broker.DeclareQueueAsync("mails", new QueueOptions { MaxMessages = 8, MaxAttempts = null, RetryDelay = RetryDelay.None });
        SqliteOutbox outbox = broker.GetSqliteOutbox();
        using (SqliteConnection connection = Connect(database))
            Execute(connection, null, "CREATE TABLE IF NOT EXISTS taken(id TEXT PRIMARY KEY) WITHOUT ROWID");
        Tell($"o {orders.GetSnapshot().Messages + mails.GetSnapshot().Messages}");
        Task consuming = Task.WhenAll(ConsumeAsync(orders, options), ConsumeAsync(mails, options));
        if (!options.Drain)
            await Task.WhenAll(Enumerable.Range(0, 2).Select(writer => Task.Run(() => WriteAsync(outbox, [orders, mails], database, options, writer))));
        await consuming;
        await outbox.DrainAsync();
        Tell(orders.GetSnapshot().Messages + mails.GetSnapshot().Messages + outbox.GetSnapshot().Held.Count == 0 ? "e" : "x the queues are not empty and deliver nothing");
        return 0;
    }

    private static async Task WriteAsync(SqliteOutbox outbox, MessageQueue[] queues, string database, ChildOptions options, int writer)
    {
        var random = new Random(options.Seed * 31 + writer);
        using SqliteConnection connection = Connect(database);
        for (int number = 0; ; number++)
        {
            using SqliteTransaction transaction = connection.BeginTransaction();
            var ids = new List<string>();
            for (int part = random.Next(4); part < 4; part++)
            {
                // The order of what one writer sends to one queue is checked.
                int queue = random.Next(4) == 0 ? 1 : 0;
                string id = $"{writer * 2 + queue}.{options.Life}.{number * 4 + part}";
                transaction.Save("point");
                Execute(connection, transaction, $"INSERT INTO taken VALUES ('{id}')");
                await outbox.SendAsync(queues[queue], new Message(Encoding.ASCII.GetBytes(id.PadRight(random.Next(4) == 0 ? 5_000 : 40))), transaction);
                if (random.Next(8) == 0)
                    transaction.Rollback("point");
                else
                    ids.Add(id);
            }
            if (random.Next(8) == 0)
            {
                transaction.Rollback();
                continue;
            }
            ids.ForEach(static id => Tell($"s {id}"));
            transaction.Commit();
            ids.ForEach(static id => Tell($"c {id}"));
        }
    }

    private static async Task ConsumeAsync(MessageQueue queue, ChildOptions options)
    {
        var random = new Random(options.Seed);
        // What waits in the outbox for room comes as soon as there is some.
        while ((options.Drain ? await queue.ReceiveAsync(TimeSpan.FromSeconds(2)) : await queue.ReceiveAsync()) is { } delivery)
        {
            for (int pause = random.Next(4); pause > 0; pause--)
                await Task.Yield();
            await TakeAsync(delivery);
        }
    }

    private static async Task TakeAsync(Delivery delivery)
    {
        string id = Encoding.ASCII.GetString(delivery.Message.Body.Span).TrimEnd();
        Tell($"d {id} {(delivery.IsRedelivered ? 1 : 0)} {delivery.Attempt}");
        Tell($"k {id}");
        if (await delivery.AckAsync() != SettleResult.Settled)
            Tell($"x the ack of {id} was not accepted");
        Tell($"a {id}");
    }

    private static SqliteConnection Connect(string database)
    {
        var connection = new SqliteConnection($"Data Source={database};Pooling=False");
        connection.Open();
        return connection;
    }

    private static void Execute(SqliteConnection connection, SqliteTransaction? transaction, string sql)
    {
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        command.ExecuteNonQuery();
    }
}
