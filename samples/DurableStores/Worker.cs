using System.Globalization;
using System.Text;
using QueueKit;

namespace DurableStores;

/// <summary>The process that is killed: it sends what is left to send and handles what is there, and tells its parent of every step before it takes the next.</summary>
internal static class Worker
{
    public const int BatchMessages = 10;
    public const int BodyBytes = 200;

    /// <summary>Sends the messages from <paramref name="first"/> to <paramref name="last"/>, handles everything, and ends when the queue is empty.</summary>
    public static async Task<int> RunAsync(StoreKind store, string folder, int first, int last)
    {
        using var told = TextWriter.Synchronized(new StreamWriter(Console.OpenStandardOutput()) { AutoFlush = true });
        await using MessageBroker broker = await MessageBroker.OpenAsync(Options(store, folder));
        MessageQueue orders = await broker.DeclareQueueAsync("orders", new QueueOptions { MaxMessages = null, MaxBytes = null });
        await using MessageConsumer consumer = orders.Consume((delivery, _) =>
        {
            // The work, before the ack: killed in between, it is done a second time.
            told.WriteLine($"handled {Number(delivery.Message)} {(delivery.IsRedelivered ? 1 : 0)}");
            return ValueTask.CompletedTask;
        }, new ConsumeOptions { Concurrency = 4 });

        for (int next = first; next <= last; next += BatchMessages)
        {
            int end = Math.Min(last, next + BatchMessages - 1);
            told.WriteLine($"sending {next} {end}");
            await orders.SendBatchAsync(Enumerable.Range(next, end - next + 1).Select(Message).ToArray());
            told.WriteLine($"confirmed {next} {end}");
        }
        while (orders.GetSnapshot().Messages > 0)
            await Task.Delay(10);
        return 0;
    }

    // <stores>
    private static MessageBrokerOptions Options(StoreKind store, string folder) => store switch
    {
        StoreKind.LiteDB => new MessageBrokerOptions().UseLiteDB(Path.Combine(folder, "queue.db")),
        StoreKind.RocksDB => new MessageBrokerOptions().UseRocksDB(Path.Combine(folder, "queue")),
        _ => new MessageBrokerOptions().UseSqlite(Path.Combine(folder, "queue.sqlite")),
    };
    // </stores>

    private static Message Message(int number)
    {
        byte[] body = new byte[BodyBytes];
        Encoding.ASCII.GetBytes(number.ToString(CultureInfo.InvariantCulture), body);
        return new Message(body);
    }

    private static int Number(Message message) => int.Parse(message.Body.Span[..message.Body.Span.IndexOf((byte)0)], CultureInfo.InvariantCulture);
}
