using System.Text;
using QueueKit.RocksDB;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores.RocksDB;

/// <summary>The files of a store whose process has ended, copies of them, and what must be in it: three queues with a backlog of which a part was acked; a part in tables, large ones in blob files, a part in the log.</summary>
internal sealed class CrashedStore
{
    private readonly TestFolder _folder;
    private readonly VirtualClock _clock = new();
    private int _copies;

    private CrashedStore(TestFolder folder) => _folder = folder;

    /// <summary>By number: what is to be delivered.</summary>
    public SortedDictionary<long, string> Expected { get; } = [];

    /// <summary>By number: whatever was sent.</summary>
    public Dictionary<long, string> Sent { get; } = [];

    /// <summary>The database's files, by name, without those that hold nothing of the store's.</summary>
    public SortedDictionary<string, byte[]> Files { get; private set; } = [];

    /// <summary>Its log.</summary>
    public string Log => Files.Keys.Where(static name => name.EndsWith(".log", StringComparison.Ordinal)).MaxBy(name => Files[name].Length)!;

    private byte[] Witnessed { get; set; } = [];

    public static async Task<CrashedStore> MakeAsync(TestFolder folder)
    {
        var store = new CrashedStore(folder);
        string path = folder.File("queue");
        MessageBroker broker = await store.OpenAsync(path);
        var random = new Random(7);
        for (int step = 0; step < 150; step++)
        {
            // What was committed is in tables when the store is closed.
            if (step is 50 or 100)
            {
                await broker.DisposeAsync();
                broker = await store.OpenAsync(path);
            }
            MessageQueue queue = await broker.DeclareQueueAsync($"{(char)('a' + random.Next(3))}");
            await store.SendAsync(queue, $"{queue.Name} {step} {new string('x', random.Next(10) == 0 ? random.Next(20_000) : random.Next(600))}");
            if (random.Next(6) == 0 && await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
            {
                await delivery.AckAsync();
                store.Expected.Remove(delivery.Sequence);
            }
        }
        store.Take(broker, path);
        await broker.DisposeAsync();
        return store;
    }

    /// <summary>Sends a message that counts.</summary>
    public async Task SendAsync(MessageQueue queue, string text)
    {
        SendReceipt receipt = await queue.SendAsync(Text(text));
        Sent.Add(receipt.Sequence, text);
        Expected.Add(receipt.Sequence, text);
    }

    /// <summary>Writes the files, or others, into a folder of their own.</summary>
    public string Write(IReadOnlyDictionary<string, byte[]>? files = null)
    {
        string path = Path.Combine(Directory.CreateDirectory(_folder.File($"copy {++_copies}")).FullName, "queue");
        Directory.CreateDirectory(path);
        foreach ((string name, byte[] content) in files ?? Files)
            File.WriteAllBytes(Path.Combine(path, name), content);
        File.WriteAllBytes(Witness.PathOf(path), Witnessed);
        return path;
    }

    /// <summary>The files with another content of one of them; null for a file that is missing.</summary>
    public SortedDictionary<string, byte[]> With(string name, byte[]? content)
    {
        SortedDictionary<string, byte[]> files = new(Files);
        if (content is null)
            files.Remove(name);
        else
            files[name] = content;
        return files;
    }

    public async Task<MessageBroker> OpenAsync(string path) => await MessageBroker.OpenAsync(new MessageBrokerOptions
    {
        Store = new RocksDBStore(path, new RocksDBStoreOptions { MinFreeBytes = 0 }, () => _clock),
        TimeProvider = _clock,
    });

    /// <summary>Everything that the queues deliver, by number; each queue's in its order.</summary>
    public static async Task<List<KeyValuePair<long, string>>> DrainAsync(MessageBroker broker)
    {
        var all = new List<KeyValuePair<long, string>>();
        foreach (MessageQueue queue in broker.Queues)
        {
            var delivered = new List<Delivery>();
            while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero) is { Count: > 0 } some)
                delivered.AddRange(some);
            Assert.That(delivered.Select(delivery => delivery.Sequence), Is.Ordered);
            all.AddRange(delivered.Select(delivery => KeyValuePair.Create(delivery.Sequence, Text(delivery))));
            foreach (Delivery delivery in delivered)
                delivery.Ack();
        }
        return all;
    }

    public static Message Text(string text) => new(Encoding.UTF8.GetBytes(text));

    public static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    /// <summary>Reads the files of a database.</summary>
    public static SortedDictionary<string, byte[]> Read(string path) => new(Directory.EnumerateFiles(path)
        .Where(static file => Path.GetFileName(file) is not "LOCK" && !Path.GetFileName(file).StartsWith("LOG", StringComparison.Ordinal))
        .ToDictionary(static file => Path.GetFileName(file), File.ReadAllBytes));

    // At rest, these are the files that a kill would leave.
    private void Take(MessageBroker broker, string path)
    {
        broker.Pipeline!.Witness!.Abandon();
        Files = Read(path);
        Witnessed = File.ReadAllBytes(Witness.PathOf(path));
    }
}
