using System.Text;
using QueueKit.Stores;

namespace QueueKit.Tests.Stores;

/// <summary>What is found of a store in a data file and a log after somebody has damaged them: nothing confirmed goes missing unsaid, nothing wrong is delivered, and a repair says what it could not save.</summary>
public abstract class DamagedFiles
{
    // For more: dotnet test --filter Damaged -- 'TestRunParameters.Parameter(name="DamageSeeds",value="2000")'
    protected static int Seeds { get; } = TestContext.Parameters.Get("DamageSeeds", 40);

    private protected VirtualClock Clock { get; } = new();
    private protected TestFolder Folder { get; } = new();
    private int _copies;

    // By number: what is to be delivered.
    protected SortedDictionary<long, string> Expected { get; } = [];
    // By number: whatever was sent.
    private readonly Dictionary<long, string> _sent = [];

    /// <summary>In what pieces the files are written.</summary>
    protected abstract int PageBytes { get; }

    [TearDown]
    public void DeleteTheFolder() => Folder.Delete();

    protected abstract Task<MessageBroker> Open(string path);

    /// <summary>Repairs a store; what the report finds.</summary>
    protected abstract Task<IReadOnlyList<string>> RepairAsync(string path);

    /// <summary>Where the log of a store is.</summary>
    protected abstract string LogOf(string path);

    // Opens a copy, and repairs and opens another.
    private protected async Task Check(Files files, DamageTally tally, string what)
    {
        try
        {
            if (await TryReadAll(Write(files)) is { } read)
            {
                Assert.That(read, Is.EquivalentTo(Expected), "opened without a word");
                tally.Harmless++;
            }
            else
            {
                tally.Refused++;
            }

            string path = Write(files);
            IReadOnlyList<string> told = await RepairAsync(path);
            List<KeyValuePair<long, string>> found;
            await using (MessageBroker broker = await Open(path))
            {
                found = await DrainAll(broker);
                MessageQueue fresh = await broker.DeclareQueueAsync("fresh");
                Assert.That((await fresh.SendAsync(Text("new"))).Sequence, Is.GreaterThan(_sent.Keys.Max()), "a number was used again");
            }
            await using (MessageBroker again = await Open(path))
                Assert.That((await Drain(again.GetQueue("fresh"))).Select(Text), Is.EqualTo(["new"]));

            string findings = string.Join('\n', told);
            Assert.That(found, Is.Unique);
            Assert.That(found, Is.SubsetOf(_sent), "delivered what was never sent");
            KeyValuePair<long, string>[] lost = [.. Expected.Except(found)], back = [.. found.Except(Expected)];
            bool commitsAreMissing = findings.Contains("missing", StringComparison.Ordinal);
            Assert.That(back.Length == 0 || commitsAreMissing, $"{back.Length} acknowledged messages are back, and the report does not say so:\n{findings}");
            foreach ((long number, _) in lost)
                Assert.That(commitsAreMissing || findings.Contains($"Message {number} of ", StringComparison.Ordinal) || findings.Contains("By its commits", StringComparison.Ordinal), $"message {number} is missing, and the report does not say so:\n{findings}");
            tally.Lost += lost.Length;
            tally.Back += back.Length;
            tally.Whole += lost.Length + back.Length == 0 ? 1 : 0;
        }
        catch (Exception error)
        {
            Assert.Fail($"{what}: {error}");
        }
    }

    private async Task<List<KeyValuePair<long, string>>?> TryReadAll(string path)
    {
        MessageBroker? broker = null;
        try
        {
            broker = await Open(path);
            return await DrainAll(broker);
        }
        catch (StoreException error)
        {
            Assert.That(error.Fault, Is.EqualTo(StoreFault.Unreadable).Or.EqualTo(StoreFault.Stopped), error.Message);
            return null;
        }
        finally
        {
            if (broker is not null)
                await broker.DisposeAsync();
        }
    }

    // Three queues with a backlog, of which a part was acknowledged; a part in the data file, a part in the log; then the process ends.
    protected async Task<Files> CrashedStore()
    {
        string path = Folder.File("queue.db");
        MessageBroker broker = await Open(path);
        var random = new Random(7);
        MessageQueue[] queues = [await broker.DeclareQueueAsync("a"), await broker.DeclareQueueAsync("b"), await broker.DeclareQueueAsync("c")];
        for (int step = 0; step < 150; step++)
        {
            MessageQueue queue = queues[random.Next(3)];
            string text = $"{queue.Name} {step} {new string('x', random.Next(10) == 0 ? random.Next(20_000) : random.Next(600))}";
            SendReceipt receipt = await queue.SendAsync(Text(text));
            _sent.Add(receipt.Sequence, text);
            Expected.Add(receipt.Sequence, text);
            if (random.Next(6) == 0 && await queue.ReceiveAsync(TimeSpan.Zero) is { } delivery)
            {
                await delivery.AckAsync();
                Expected.Remove(delivery.Sequence);
            }
            // The store takes two looks to see that nothing goes on.
            if (step == 80)
                Clock.Advance(TimeSpan.FromSeconds(5));
        }
        // At rest, these are the files that a kill would leave.
        broker.Pipeline!.Witness!.Abandon();
        var files = new Files(await File.ReadAllBytesAsync(path), await File.ReadAllBytesAsync(LogOf(path)), await File.ReadAllBytesAsync(Witness.PathOf(path)));
        await broker.DisposeAsync();
        return files;
    }

    protected string Write(Files files)
    {
        string path = Path.Combine(Directory.CreateDirectory(Folder.File($"copy {++_copies}")).FullName, "queue.db");
        File.WriteAllBytes(path, files.Data);
        File.WriteAllBytes(LogOf(path), files.Log);
        File.WriteAllBytes(Witness.PathOf(path), files.Witness);
        return path;
    }

    protected string Damage(byte[] bytes, Random random)
    {
        int page = random.Next(bytes.Length / PageBytes), at = page * PageBytes;
        switch (random.Next(4))
        {
            case 0:
                bytes[at + random.Next(PageBytes)] ^= (byte)(1 << random.Next(8));
                return $"a bit of page {page}";
            case 1:
                bytes.AsSpan(at, PageBytes).Clear();
                return $"all of page {page}, cleared,";
            case 2:
                bytes.AsSpan(at + (random.Next(PageBytes / 512) * 512), 512).Clear();
                return $"a sector of page {page}, cleared,";
            default:
                random.NextBytes(bytes.AsSpan(at, PageBytes));
                return $"all of page {page}, scrambled,";
        }
    }

    protected static async Task<List<KeyValuePair<long, string>>> DrainAll(MessageBroker broker)
    {
        var all = new List<KeyValuePair<long, string>>();
        foreach (MessageQueue queue in broker.Queues)
        {
            List<Delivery> delivered = await Drain(queue);
            Assert.That(delivered.Select(delivery => delivery.Sequence), Is.Ordered);
            all.AddRange(delivered.Select(delivery => KeyValuePair.Create(delivery.Sequence, Text(delivery))));
        }
        return all;
    }

    protected static async Task<List<Delivery>> Drain(MessageQueue queue)
    {
        var all = new List<Delivery>();
        while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero) is { Count: > 0 } some)
            all.AddRange(some);
        foreach (Delivery delivery in all)
            delivery.Ack();
        return all;
    }

    protected static Message Text(string text) => new(Encoding.UTF8.GetBytes(text));

    protected static string Text(Delivery delivery) => Encoding.UTF8.GetString(delivery.Message.Body.Span);

    protected sealed record Files(byte[] Data, byte[] Log, byte[] Witness);
}
