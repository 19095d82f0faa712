using System.Text;
using QueueKit.Stores;

namespace QueueKit.Testing.Contract;

/// <summary>A broker's work on three queues of a store: messages of all sizes, some delayed, a part acknowledged. It knows what was confirmed.</summary>
internal sealed class Traffic(int seed)
{
    private static readonly string[] s_queues = ["a", "b", "c"];

    private readonly Random _random = new(seed);
    private readonly SortedDictionary<long, string> _expected = [];
    private int _last;

    /// <summary>Opens a broker, does something with it, and closes it.</summary>
    public static async Task WithBrokerAsync(ContractRun run, IMessageStoreProvider provider, Func<MessageBroker, Task> use)
    {
        MessageBroker broker = await MessageBroker.OpenAsync(new MessageBrokerOptions { Store = provider }, run.Token).ConfigureAwait(false);
        await using (broker.ConfigureAwait(false))
            await use(broker).ConfigureAwait(false);
    }

    /// <summary>Sends so many messages, and takes some of them.</summary>
    public async Task RunAsync(MessageBroker broker, int messages)
    {
        foreach (string name in s_queues)
            await broker.DeclareQueueAsync(name).ConfigureAwait(false);
        for (int i = 0; i < messages; i++)
        {
            MessageQueue queue = broker.GetQueue(s_queues[_random.Next(s_queues.Length)]);
            bool isDelayed = _random.Next(12) == 0;
            string text = $"{queue.Name} {++_last} {new string('x', _random.Next(10) == 0 ? _random.Next(20_000) : _random.Next(600))}";
            var message = new Message(Encoding.UTF8.GetBytes(text)) { Delay = isDelayed ? TimeSpan.FromDays(1) : null };
            SendReceipt receipt = await queue.SendAsync(message).ConfigureAwait(false);
            if (!isDelayed)
                _expected.Add(receipt.Sequence, text);
            if (_random.Next(6) == 0 && await queue.ReceiveAsync(TimeSpan.Zero).ConfigureAwait(false) is { } delivery)
            {
                await delivery.AckAsync().ConfigureAwait(false);
                _expected.Remove(delivery.Sequence);
            }
        }
    }

    public static QueueSnapshot[] Snapshots(MessageBroker broker) => [.. s_queues.Select(name => broker.GetQueue(name).GetSnapshot())];

    /// <summary>Takes whatever is not delayed out of every queue, in the order of delivery within each.</summary>
    public static async Task<List<KeyValuePair<long, string>>> DrainAsync(MessageBroker broker)
    {
        var all = new List<KeyValuePair<long, string>>();
        foreach (MessageQueue queue in broker.Queues)
        {
            while (await queue.ReceiveBatchAsync(1000, TimeSpan.Zero).ConfigureAwait(false) is { Count: > 0 } some)
            {
                foreach (Delivery delivery in some)
                {
                    all.Add(new(delivery.Sequence, Encoding.UTF8.GetString(delivery.Message.Body.Span)));
                    delivery.Ack();
                }
            }
        }
        return all;
    }

    /// <summary>Everything that was confirmed is there as it was sent, and nothing that was acknowledged.</summary>
    public void ExpectExactly(ContractRun run, List<KeyValuePair<long, string>> found, string when) =>
        run.True(IsExactly(found), $"{when}: the {_expected.Count} messages that were confirmed and not acknowledged", Difference(found));

    private bool IsExactly(List<KeyValuePair<long, string>> found) => found.Count == _expected.Count && !_expected.Except(found).Any();

    private string Difference(List<KeyValuePair<long, string>> found)
    {
        KeyValuePair<long, string>[] missing = [.. _expected.Except(found)], others = [.. found.Except(_expected)];
        return $"{found.Count} messages; missing {Name(missing)}; more or different {Name(others)}";
    }

    private static string Name(KeyValuePair<long, string>[] messages) => Expect.Describe(messages.Select(static message => message.Key));
}
