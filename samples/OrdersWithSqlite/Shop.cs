using Microsoft.Data.Sqlite;
using QueueKit;
using QueueKit.Sqlite;

namespace OrdersWithSqlite;

/// <summary>A shop with a database of its own: takes orders, and books each out of the stock. The queue between the two lies in another store, of another kind.</summary>
internal sealed class Shop(string folder, Mishaps mishaps)
{
    public static readonly string[] Products = ["espresso", "latte", "mocha", "tea"];

    // The latest redeliveries are minutes old; a day is ample.
    private readonly SqliteInbox _inbox = new(new SqliteInboxOptions { Retention = TimeSpan.FromDays(1) });
    private readonly Database _database = new(Path.Combine(folder, "shop.db"));

    /// <summary>Goes on until so many orders are placed and booked.</summary>
    public async Task RunAsync(int orders, Random random)
    {
        _database.Create(Products);
        // <open>
        var options = new MessageBrokerOptions()
            .UseLiteDB(Path.Combine(folder, "queue.db"))           // the queues: a store of any kind
            .UseSqliteOutbox(Path.Combine(folder, "shop.db"));     // the application's own database
        await using MessageBroker broker = await MessageBroker.OpenAsync(options);
        MessageQueue placed = await broker.DeclareQueueAsync("orders placed", new QueueOptions { MaxAttempts = null }); // no order is to blame for a crash
        SqliteOutbox outbox = broker.GetSqliteOutbox();
        // </open>

        await using MessageConsumer stock = placed.Consume(async (delivery, ct) => await BookAsync(delivery));
        while (_database.CountOrders() < orders)
        {
            await PlaceAsync(outbox, placed, Products[random.Next(Products.Length)], pieces: random.Next(1, 5), changesMind: random.Next(10) == 0);
            await Task.Delay(1); // until the next customer
        }

        // What is committed is in its queue; then until nothing is left in that.
        await outbox.DrainAsync();
        while (placed.GetSnapshot().Messages > 0)
            await Task.Delay(5);
    }

    private async Task PlaceAsync(SqliteOutbox outbox, MessageQueue placed, string product, int pieces, bool changesMind)
    {
        // <send>
        await using SqliteConnection connection = await _database.OpenAsync();
        await using SqliteTransaction transaction = connection.BeginTransaction();
        long order = Database.AddOrder(transaction, product, pieces);
        await outbox.SendAsync(placed, OrderPlaced.Format.Write(new OrderPlaced(order, product, pieces)), transaction);
        mishaps.MayHappen("an order and its message are written, and not committed");
        if (changesMind)
            return; // rolled back: neither the order nor the message was ever there
        transaction.Commit();
        mishaps.MayHappen("an order is committed, and its message not yet in the queue");
        // </send>
    }

    private async Task BookAsync(Delivery delivery)
    {
        if (!OrderPlaced.Format.TryRead(delivery.Message, out OrderPlaced? order, out Settlement rejection))
        {
            delivery.Settle(rejection);
            return;
        }
        // <inbox>
        await using SqliteConnection connection = await _database.OpenAsync();
        await using SqliteTransaction transaction = connection.BeginTransaction();
        if (await _inbox.TryBeginAsync(delivery, transaction))
        {
            Database.Book(transaction, order.Product, order.Pieces);
            transaction.Commit();
            mishaps.MayHappen("an order is booked, and its message not yet acknowledged");
        }
        else
        {
            Console.WriteLine("repeat: the order was booked before, and is not booked again");
        }
        await delivery.AckAsync();
        // </inbox>
    }
}
