using System.Diagnostics;
using QueueKit.Diagnostics;

namespace QueueKit.Queues;

/// <summary>A transaction's sends and settles while somebody listens: for each queue one operation of its sends, and one for each kind of settle.</summary>
internal sealed class ObservedTransaction
{
    private readonly List<Operation> _sends = [];
    private readonly List<(ObservedQueue Queue, SettlementKind Kind, Operation Operation, List<Message> Messages)> _settles = [];

    /// <summary>Adds what is sent to a queue; the messages get the context of their send.</summary>
    public void Send(ObservedQueue queue, Span<Message> messages)
    {
        // Neighbours, not one inside the other.
        Activity? before = Activity.Current;
        _sends.Add(queue.BeginSend(messages));
        Activity.Current = before;
    }

    public void Settle(InFlightDelivery delivery, SettlementKind kind)
    {
        ObservedQueue queue = delivery.Queue.Observed!;
        foreach ((ObservedQueue of, SettlementKind known, _, List<Message> messages) in _settles)
        {
            if (of == queue && known == kind)
            {
                messages.Add(delivery.Message);
                return;
            }
        }
        _settles.Add((queue, kind, queue.BeginSettle(kind), [delivery.Message]));
    }

    /// <summary>Everything is committed or, with an <paramref name="error"/>, nothing.</summary>
    public void End(string? error)
    {
        foreach (Operation send in _sends)
            send.End(error);
        foreach ((_, _, Operation operation, List<Message> messages) in _settles)
            operation.End([.. messages], error);
    }
}
