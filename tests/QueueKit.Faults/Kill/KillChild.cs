using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace QueueKit.Faults.Kill;

/// <summary>The process that is killed: producers and a consumer of one queue, which tell the parent everything at once, in lines.</summary>
/// <remarks>
/// What it tells, before or after it is done:
/// <c>s ID</c> about to be sent, <c>c ID</c> confirmed, <c>d ID redelivered attempt</c> delivered, <c>k ID</c> about to be acked, <c>a ID</c> ack confirmed,
/// <c>o MESSAGES</c> opened, <c>e</c> empty, <c>x TEXT</c> something that must not be.
/// An id is producer, life and number, and a mark if the message is scheduled; a body is the id and a hash over it, of a length of its own.
/// </remarks>
internal static class KillChild
{
    private static readonly Stream s_out = Console.OpenStandardOutput();
    private static readonly Lock s_lock = new();

    public static async Task<int> RunAsync(ChildOptions options)
    {
        await using MessageBroker broker = await MessageBroker.OpenAsync(Stores.Open(options.Store, options.Folder));
        // Enough attempts that nobody is given up: a process death counts for a message that was alone.
        MessageQueue queue = await broker.DeclareQueueAsync("work", new QueueOptions
        {
            Overflow = OverflowPolicy.Buffer,
            MaxMessages = 64,
            MaxBufferedMessages = 2_000,
            MaxAttempts = null,
            RetryDelay = RetryDelay.None,
        });
        Tell($"o {queue.GetSnapshot().Messages}");
        Task consuming = ConsumeAsync(queue, options);
        if (!options.Drain)
            await Task.WhenAll(Enumerable.Range(0, ChildOptions.Producers).Select(producer => Task.Run(() => ProduceAsync(queue, options, producer))));
        await consuming;
        return 0;
    }

    private static async Task ProduceAsync(MessageQueue queue, ChildOptions options, int producer)
    {
        var random = new Random(options.Seed * 31 + producer);
        for (int number = 0; ; number++)
        {
            bool isScheduled = random.Next(3) == 0;
            string id = $"{producer}.{options.Life}.{number}";
            if (isScheduled)
                id += ChildOptions.ScheduledMark;
            Tell($"s {id}");
            await queue.SendAsync(new Message(BodyOf(id, random.Next(4) == 0 ? random.Next(20_000) : random.Next(200)))
            {
                // Of these too memory holds only the next few.
                Delay = isScheduled ? TimeSpan.FromMilliseconds(random.Next(1, 300)) : null,
            });
            Tell($"c {id}");
        }
    }

    private static async Task ConsumeAsync(MessageQueue queue, ChildOptions options)
    {
        var random = new Random(options.Seed);
        using var places = new SemaphoreSlim(ChildOptions.Workers);
        while (true)
        {
            await places.WaitAsync();
            Delivery? delivery = options.Drain ? await queue.ReceiveAsync(TimeSpan.FromSeconds(2)) : await queue.ReceiveAsync();
            if (delivery is null)
            {
                Tell(queue.GetSnapshot().Messages == 0 ? "e" : "x the queue is not empty and delivers nothing");
                return;
            }
            string id = IdOf(delivery.Message.Body.Span);
            Tell($"d {id} {(delivery.IsRedelivered ? 1 : 0)} {delivery.Attempt}");
            int pauses = random.Next(4);
            _ = Task.Run(async () =>
            {
                for (int i = 0; i < pauses; i++)
                    await Task.Yield();
                Tell($"k {id}");
                if (await delivery.AckAsync() != SettleResult.Settled)
                    Tell($"x the ack of {id} was not accepted");
                Tell($"a {id}");
                places.Release();
            });
        }
    }

    private static byte[] BodyOf(string id, int padding)
    {
        byte[] name = Encoding.ASCII.GetBytes(id);
        byte[] body = new byte[2 + name.Length + padding + SHA256.HashSizeInBytes];
        BinaryPrimitives.WriteUInt16LittleEndian(body, (ushort)name.Length);
        name.CopyTo(body, 2);
        body.AsSpan(2 + name.Length, padding).Fill((byte)padding);
        SHA256.HashData(body.AsSpan(..^SHA256.HashSizeInBytes), body.AsSpan(^SHA256.HashSizeInBytes..));
        return body;
    }

    private static string IdOf(ReadOnlySpan<byte> body)
    {
        if (body.Length < 2 + SHA256.HashSizeInBytes || !SHA256.HashData(body[..^SHA256.HashSizeInBytes]).AsSpan().SequenceEqual(body[^SHA256.HashSizeInBytes..]))
        {
            Tell("x a body is damaged");
            return "?";
        }
        return Encoding.ASCII.GetString(body.Slice(2, BinaryPrimitives.ReadUInt16LittleEndian(body)));
    }

    // One write per line, and nothing is kept back: what is told is in the pipe before the next step.
    private static void Tell(string line)
    {
        byte[] bytes = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{line}\n"));
        lock (s_lock)
        {
            s_out.Write(bytes);
            s_out.Flush();
        }
    }
}
