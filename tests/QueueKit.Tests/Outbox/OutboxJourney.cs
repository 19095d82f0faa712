using System.Collections.Concurrent;
using System.Text;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using QueueKit.Sqlite;
using QueueKit.Stores;
using QueueKit.Tests.Stores;

namespace QueueKit.Tests.Outbox;

/// <summary>An application with a database of its own, and a broker with an outbox in it.</summary>
internal sealed class OutboxJourney : ILoggerFactory, ILogger, IAsyncDisposable
{
    private readonly TestFolder _folder = new();
    private readonly List<SqliteConnection> _connections = [];
    private readonly ConcurrentQueue<string> _log = new();

    /// <summary>Stands still: what needs time does not happen by itself.</summary>
    public VirtualClock Clock { get; } = new();

    /// <summary>The store that is used where no other is named.</summary>
    public InMemoryMessageStore Memory { get; } = new();

    public string Database => _folder.File("app.db");

    public MessageBroker Broker { get; private set; } = null!;

    public SqliteOutbox Outbox { get; private set; } = null!;

    public IReadOnlyCollection<string> Log => _log;

    public string File(string name) => _folder.File(name);

    public static async Task<OutboxJourney> BeginAsync(string store = "memory")
    {
        var journey = new OutboxJourney();
        await journey.OpenAsync(store);
        return journey;
    }

    public MessageBrokerOptions Options(string store = "memory") => Use(store, new MessageBrokerOptions { LoggerFactory = this, TimeProvider = Clock });

    public async Task OpenAsync(string store = "memory")
    {
        Broker = await MessageBroker.OpenAsync(Options(store).UseSqliteOutbox(Database));
        Outbox = Broker.GetSqliteOutbox();
    }

    public async Task ReopenAsync(string store = "memory")
    {
        await Broker.DisposeAsync();
        await OpenAsync(store);
    }

    /// <summary>A connection of the application's.</summary>
    public SqliteConnection Connect(string? file = null, string more = "Pooling=False")
    {
        var connection = new SqliteConnection($"Data Source={file ?? Database};{more}");
        connection.Open();
        _connections.Add(connection);
        return connection;
    }

    /// <summary>Sends texts in a transaction of their own.</summary>
    public async Task SendAsync(MessageQueue queue, params string[] texts)
    {
        using SqliteConnection connection = Connect();
        using SqliteTransaction transaction = connection.BeginTransaction();
        foreach (string text in texts)
            await Outbox.SendAsync(queue, MessageOf(text), transaction);
        transaction.Commit();
    }

    /// <summary>What another tool does.</summary>
    public void Execute(string sql, string? file = null)
    {
        using SqliteConnection connection = Connect(file);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }

    public List<string> Query(string sql, string? file = null)
    {
        using SqliteConnection connection = Connect(file);
        using SqliteCommand command = connection.CreateCommand();
        command.CommandText = sql;
        using SqliteDataReader reader = command.ExecuteReader();
        var rows = new List<string>();
        while (reader.Read())
            rows.Add(reader.IsDBNull(0) ? "NULL" : reader.GetString(0));
        return rows;
    }

    public long Rows => long.Parse(Query("SELECT count(*) FROM queuekit_outbox")[0], System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Takes everything that a queue has, in order, and acks it.</summary>
    public static async Task<List<string>> TakeAllAsync(MessageQueue queue)
    {
        var texts = new List<string>();
        while (await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
        {
            texts.Add(TextOf(delivery));
            await delivery.AckAsync();
        }
        return texts;
    }

    public static Message MessageOf(string text) => new(Encoding.UTF8.GetBytes(text));

    public static string TextOf(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    public async ValueTask DisposeAsync()
    {
        if (Broker is not null)
            await Broker.DisposeAsync();
        foreach (SqliteConnection connection in _connections)
            connection.Dispose();
        SqliteConnection.ClearAllPools();
        _folder.Delete();
    }

    ILogger ILoggerFactory.CreateLogger(string categoryName) => this;

    void ILoggerFactory.AddProvider(ILoggerProvider provider) { }

    IDisposable? ILogger.BeginScope<TState>(TState state) => null;

    bool ILogger.IsEnabled(LogLevel logLevel) => true;

    void ILogger.Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        _log.Enqueue($"{logLevel}: {formatter(state, exception)}");

    void IDisposable.Dispose() { }

    private MessageBrokerOptions Use(string store, MessageBrokerOptions options)
    {
        switch (store)
        {
            case "litedb":
                return options.UseLiteDB(_folder.File("queue.litedb"));
            case "rocksdb":
                return options.UseRocksDB(_folder.File("queue.rocksdb"));
            case "sqlite":
                return options.UseSqlite(_folder.File("queue.sqlite"));
            default:
                options.Store = Memory;
                return options;
        }
    }
}
